"""Formats of files and file systems: bytes, and nothing of Void."""
