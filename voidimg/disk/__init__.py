"""Disk images: partition tables, filesystems, sparse files, compression."""
