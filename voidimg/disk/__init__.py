"""Disk images: partition tables, filesystems, boot loader blobs, sparse files, compression."""
