"""Image sets: checksums, minisign keys and signatures, verification."""
