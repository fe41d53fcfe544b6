"""ROOTFS and PLATFORMFS: install, configure, files, services, accounts, tar."""
