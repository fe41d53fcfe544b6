"""Image sets: names, checksums, minisign, verify."""
