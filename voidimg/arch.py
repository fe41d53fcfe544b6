"""Architectures and C libraries as XBPS names them, and what others call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Arch = Literal[
    "aarch64",
    "armv5tel",
    "armv6l",
    "armv7l",
    "i686",
    "mipsel",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv64",
    "x86_64",
]
"""Void's architectures without libc."""

Libc = Literal["glibc", "musl"]
LIBCS: tuple[Libc, ...] = get_args(Libc)

_MUSL = "-musl"

ARCHES: tuple[str, ...] = tuple(f"{arch}{end}" for arch in get_args(Arch) for end in ("", _MUSL))
"""Every architecture of XBPS."""

X86 = ("x86_64", "i686")
WSL_ARCHES = ("x86_64", "aarch64")
"""Those that Windows can run, with either libc."""

_QEMU: Mapping[str, str] = {
    "aarch64": "aarch64",
    "armv5tel": "arm",
    "armv6l": "arm",
    "armv7l": "arm",
    "i686": "i386",
    "mipsel": "mipsel",
    "ppc": "ppc",
    "ppc64": "ppc64",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "x86_64": "x86_64",
}
"""What QEMU calls them."""

GRUB_PLATFORMS: Mapping[str, tuple[str, ...]] = {
    "x86_64": ("x86_64-efi", "i386-efi"),
    "i686": ("x86_64-efi", "i386-efi"),
    "aarch64": ("arm64-efi",),
}
"""GRUB's names of the UEFI firmware that an architecture may meet: some 64-bit PCs have that of 32
bits."""

EFI_FILES: Mapping[str, str] = {
    "x86_64-efi": "BOOTX64.EFI",
    "i386-efi": "BOOTIA32.EFI",
    "arm64-efi": "BOOTAA64.EFI",
}
"""GRUB's name of a platform -> what its firmware starts from a removable medium (UEFI
specification, 3.5.1.1)."""

PI_KERNELS: Mapping[str, str] = {
    "armv6l": "kernel.img",
    "armv7l": "kernel7.img",
    "aarch64": "kernel8.img",
}
"""What the firmware of a Raspberry Pi starts by default (void-packages, srcpkgs/rpi-kernel)."""


def without_libc(arch: str) -> str:
    """The machine of an architecture of XBPS.

    >>> without_libc("aarch64-musl"), without_libc("aarch64")
    ('aarch64', 'aarch64')
    """
    return arch.removesuffix(_MUSL)


def with_libc(name: str, libc: Libc) -> str:
    """The name of an architecture or platform with the C library `libc`: glibc goes unsaid.

    >>> with_libc("x86_64", "musl"), with_libc("x86_64", "glibc")
    ('x86_64-musl', 'x86_64')
    """
    return name + _MUSL if libc == "musl" else name


def libc_of(name: str) -> Libc:
    """The C library that the name of an architecture or platform says."""
    return "musl" if name.endswith(_MUSL) else "glibc"


def qemu_cpu(arch: str) -> str | None:
    """What QEMU calls the machine of `arch`; None when it is not known."""
    return _QEMU.get(without_libc(arch))


def emulators_of(arch: str) -> tuple[str, ...]:
    """The programs that can run those of `arch` on another machine, the preferred one first."""
    cpu = qemu_cpu(arch)
    return () if cpu is None else (f"qemu-{cpu}-static", f"qemu-{cpu}")
