"""Which package of the host brings a program, and how the host's own package tool installs it.

voidimg runs on any Linux. Advice in the words of another distribution is no advice, so each program
that is called has its package in each family; which family this is, os-release(5) says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from voidimg.programs import program_path

Tool = Literal["xbps", "apt", "dnf", "pacman", "apk"]
"""A family of package tools."""

_INSTALL: Mapping[Tool, tuple[str, ...]] = {
    "xbps": ("xbps-install", "-S"),
    "apt": ("apt-get", "install"),
    "dnf": ("dnf", "install"),
    "pacman": ("pacman", "-S"),
    "apk": ("apk", "add"),
}
_OF_SYSTEM: Mapping[str, Tool] = {
    "void": "xbps",
    "debian": "apt",
    "ubuntu": "apt",
    "fedora": "dnf",
    "rhel": "dnf",
    "centos": "dnf",
    "arch": "pacman",
    "alpine": "apk",
}
"""``ID`` or a word of ``ID_LIKE`` -> its package tool."""

_OS_RELEASE = (Path("/etc/os-release"), Path("/usr/lib/os-release"))


def _everywhere(name: str, **others: str) -> Mapping[Tool, str]:
    """The package `name` in all families but those of `others`."""
    return {tool: others.get(tool, name) for tool in get_args(Tool)}


_E2FSPROGS = _everywhere("e2fsprogs")
_E2FSPROGS_MORE = _everywhere("e2fsprogs", apk="e2fsprogs-extra")
_DTC = _everywhere("dtc", apt="device-tree-compiler")
_MTOOLS = _everywhere("mtools")
_SHADOW = _everywhere("shadow", apt="uidmap", dnf="shadow-utils", apk="shadow-subids")
_UTIL_LINUX = _everywhere("util-linux")
_APT: Mapping[Tool, str] = {"apt": "apt"}


def _emulator(cpu: str) -> Mapping[Tool, str]:
    """The static qemu-user for `cpu`, with its registration where there is one."""
    return _everywhere(
        "qemu-user-static", dnf=f"qemu-user-static-{_FEDORA_CPU.get(cpu, cpu)}", apk=f"qemu-{cpu}"
    )


_FEDORA_CPU = {"i386": "x86", "x86_64": "x86", "ppc64": "ppc", "ppc64le": "ppc", "mipsel": "mips"}

PACKAGES: Mapping[str, Mapping[Tool, str]] = {
    "AAVMF": _everywhere("edk2-aarch64", xbps="qemu", apt="qemu-efi-aarch64", apk="aavmf"),
    "AAVMF32": _everywhere("edk2-arm", xbps="qemu", apt="qemu-efi-arm", apk="qemu"),
    "OVMF": _everywhere("edk2-ovmf", apt="ovmf", apk="ovmf"),
    "OVMF32": _everywhere("edk2-ovmf", apt="ovmf-ia32", dnf="edk2-ovmf-ia32", apk="ovmf"),
    "U-Boot": _everywhere("u-boot-qemu", dnf="uboot-images-armv8", pacman="uboot-tools"),
    "apt-config": _APT,
    "apt-get": _APT,
    "bash": _everywhere("bash"),
    "bsdtar": _everywhere(
        "bsdtar", apt="libarchive-tools", pacman="libarchive", apk="libarchive-tools"
    ),
    "cp": _everywhere("coreutils"),
    "debugfs": _E2FSPROGS_MORE,
    "depmod": _everywhere("kmod"),
    "dtc": _DTC,
    "dumpe2fs": _E2FSPROGS_MORE,
    "e2fsck": _E2FSPROGS,
    "fdtput": _DTC,
    "fsck.vfat": _everywhere("dosfstools"),
    "grub-mkimage": _everywhere("grub", apt="grub-common", dnf="grub2-tools"),
    "mcopy": _MTOOLS,
    "mdir": _MTOOLS,
    "mke2fs": _E2FSPROGS,
    "mkfs.vfat": _everywhere("dosfstools"),
    "mksquashfs": _everywhere("squashfs-tools"),
    "mmd": _MTOOLS,
    "mount": _UTIL_LINUX,
    "mtype": _MTOOLS,
    "newgidmap": _SHADOW,
    "newuidmap": _SHADOW,
    "openssl": _everywhere("openssl"),
    "qemu-aarch64-static": _emulator("aarch64"),
    "qemu-arm-static": _emulator("arm"),
    "qemu-i386-static": _emulator("i386"),
    "qemu-mipsel-static": _emulator("mipsel"),
    "qemu-ppc-static": _emulator("ppc"),
    "qemu-ppc64-static": _emulator("ppc64"),
    "qemu-ppc64le-static": _emulator("ppc64le"),
    "qemu-riscv64-static": _emulator("riscv64"),
    "qemu-x86_64-static": _emulator("x86_64"),
    "qemu-img": _everywhere("qemu-img", apt="qemu-utils"),
    "qemu-system-aarch64": _everywhere("qemu-system-aarch64", apt="qemu-system-arm"),
    "qemu-system-arm": _everywhere("qemu-system-arm"),
    "qemu-system-i386": _everywhere(
        "qemu-system-x86", xbps="qemu-system-i386", apk="qemu-system-i386"
    ),
    "qemu-system-x86_64": _everywhere(
        "qemu-system-x86", xbps="qemu-system-amd64", apk="qemu-system-x86_64"
    ),
    "resize2fs": _E2FSPROGS_MORE,
    "unsquashfs": _everywhere("squashfs-tools"),
    "unshare": _UTIL_LINUX,
    "zstd": _everywhere("zstd"),
}
"""A program (or UEFI firmware) that is used -> the package that has it, in each family."""


@dataclass(frozen=True, slots=True)
class Host:
    """The machine's distribution: its name for people, and its package tool if it is known."""

    title: str
    tool: Tool | None

    def package_of(self, program: str) -> str:
        """The package that has `program`; its Debian name where the family is not known."""
        return PACKAGES.get(program, {}).get(self.tool or "apt", program)

    def installing(self, programs: Iterable[str]) -> str:
        """The command that installs the packages of `programs`, or what to look for."""
        packages = sorted({self.package_of(program) for program in programs})
        if self.tool is None:
            return f"install what Debian calls {' '.join(packages)}"
        return " ".join((*_INSTALL[self.tool], *packages))


@cache
def this_host() -> Host:
    """The machine this runs on."""
    for path in _OS_RELEASE:
        try:
            return host_of(path.read_text("utf-8", "replace"), _tools_here())
        except OSError:
            continue
    return host_of("", _tools_here())


def _tools_here() -> tuple[Tool, ...]:
    return tuple(tool for tool, words in _INSTALL.items() if program_path(words[0]))


def host_of(os_release: str, installed: Sequence[Tool]) -> Host:
    """The distribution whose os-release(5) file has this text, and has `installed` tools.

    What the file says counts if that tool is there, or none is; else the first that is there.
    """
    values = {}
    for line in os_release.splitlines():
        key, separator, value = line.strip().partition("=")
        if separator and not key.startswith("#"):
            values[key] = value.strip("\"'")
    names = [values.get("ID", ""), *values.get("ID_LIKE", "").split()]
    stated = [_OF_SYSTEM[name.lower()] for name in names if name.lower() in _OF_SYSTEM]
    there = [tool for tool in stated if tool in installed]
    found = [*there, *installed] or stated
    title = values.get("PRETTY_NAME") or values.get("NAME") or names[0] or "Linux"
    return Host(title, found[0] if found else None)
