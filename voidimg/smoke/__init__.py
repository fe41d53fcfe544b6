"""Boots images under QEMU and judges them by what the guest answers on its console."""
