"""Checksums, minisign keys and signatures, and verification."""
