"""Boot tests under QEMU: machines, console, verdicts."""
