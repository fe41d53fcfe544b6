"""Namespaces, chroot and qemu-user: the only place that starts target code."""
