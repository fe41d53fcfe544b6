"""Checks of Raspberry Pi images: what the firmware of each generation and the kernel look for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from voidimg.arch import PI_KERNELS
from voidimg.formats.fat import MBR_TYPES
from voidimg.formats.kernel_image import KernelImage
from voidimg.lint.model import Problem
from voidimg.lint.subject import GROWPART, Subject

_PACKAGES = frozenset({"rpi-base", "rpi-firmware", "rpi-kernel", "rpi5-kernel"})
_KERNELS = {arch: f"/{name}" for arch, name in PI_KERNELS.items()}
_OLD, _NEW = ("/bootcode.bin", "/start.elf", "/fixup.dat"), ("/start4.elf", "/fixup4.dat")
_FIRMWARE: Mapping[str, tuple[str, ...]] = {
    "armv6l": _OLD,
    "armv7l": _OLD,
    "aarch64": (*_OLD, *_NEW),
}
"""Up to the Pi 3 the first stage is on the FAT; a Pi 4 has it in its EEPROM; a Pi 5 all of it."""
_DEVICE_TREES: Mapping[str, Mapping[str, str]] = {
    "armv6l": {"bcm2708": "Pi 1 and Zero"},
    "armv7l": {"bcm2709": "Pi 2"},
    "aarch64": {"bcm2710": "Pi 3 and Zero 2 W", "bcm2711": "Pi 4 and 400", "bcm2712": "Pi 5"},
}
_BOOT_TYPES = tuple(kind for kind, bits in MBR_TYPES.items() if bits == (32,))
"""The partition types that the ROM of a Pi 3 takes (raspberrypi/firmware issue 1711)."""
_SERVICES = (("sshd",), ("ntpd", "chronyd"), ("dhcpcd", "NetworkManager"))
_PAGE_BYTES = {"rpi-kernel": 4096, "rpi5-kernel": 16384}
_MODULES = re.compile(r"/usr/lib/modules/([^/]+)")
_GROWS = re.compile(r"^\s*ENABLE_ROOT_GROWPART\s*=\s*[\"']?(yes|true|1)", re.MULTILINE)
_FIRMWARE_HINT = "is the package rpi-firmware in the image, whole?"


def is_pi(subject: Subject) -> bool:
    """Of PLATFORMFS tarballs and images for the Raspberry Pi."""
    return bool(_PACKAGES & subject.packages) or "/bootcode.bin" in subject.boot


def is_pi_image(subject: Subject) -> bool:
    """Of disk images for the Raspberry Pi."""
    return subject.disk is not None and is_pi(subject)


def pi_boot_partition(subject: Subject) -> Iterator[Problem]:
    """The first partition is a FAT of a type that the boot ROM of every generation takes."""
    disk = subject.disk
    if disk is None:
        return
    first = next((entry for entry in disk.table.partitions if entry.number == 1), None)
    if first is None or disk.fat is None or disk.fat[0] != first:
        yield Problem("partition 1", "it is no FAT filesystem", "the firmware looks nowhere else")
    elif disk.table.label == "mbr" and first.type not in _BOOT_TYPES:
        yield Problem(
            "partition 1", f"its type is {first.type}", "a Pi 3 starts 0x0c and 0x0b only"
        )


def pi_cmdline_line(subject: Subject) -> Iterator[Problem]:
    """cmdline.txt is there, and is one line: the firmware takes no more."""
    content = subject.read_boot("/cmdline.txt")
    hint = "write one line with the words of the kernel command line"
    if content is None:
        yield Problem("/boot/cmdline.txt", "there is no such file", hint)
    elif len(content.splitlines()) != 1:
        count = len(content.splitlines())
        yield Problem("/boot/cmdline.txt", f"it has {count} lines; only the first counts", hint)


def pi_cmdline_root(subject: Subject) -> Iterator[Problem]:
    """The kernel is told its root by the PARTUUID of the root partition."""
    if subject.disk is None or subject.disk.root is None:
        return
    expected = f"PARTUUID={subject.disk.root[0].partuuid}"
    roots = [word[5:] for word in _words(subject) if word.startswith("root=")]
    hint = f"write root={expected}: it is found on SD, USB and NVMe, and without an initramfs"
    if not roots:
        yield Problem("/boot/cmdline.txt", "there is no root=", hint)
    elif roots[-1].lower() != expected.lower():
        what = f"root={roots[-1]} is not the root partition of this image"
        yield Problem("/boot/cmdline.txt", what, hint)


def pi_rootwait(subject: Subject) -> Iterator[Problem]:
    """The kernel waits for its root."""
    if "rootwait" not in _words(subject):
        yield Problem(
            "/boot/cmdline.txt", "there is no rootwait: USB and NVMe come later than the kernel",
            "add rootwait",
        )  # fmt: skip


def pi_config(subject: Subject) -> Iterator[Problem]:
    """config.txt is there: a Pi 5 does not start without it."""
    if "/config.txt" not in subject.boot:
        yield Problem("/boot/config.txt", "there is no such file", _FIRMWARE_HINT)


def pi_kernel(subject: Subject) -> Iterator[Problem]:
    """The kernel has the name that the firmware starts, and is a kernel."""
    name = _KERNELS.get(subject.arch or "")
    if name is None:
        return
    hint = "is the package rpi-kernel or rpi5-kernel in the image?"
    if name not in subject.boot:
        what = f"there is no such file: the firmware starts it on {subject.arch}"
        yield Problem(f"/boot{name}", what, hint)
    elif _kernel(subject).release is None:
        yield Problem(f"/boot{name}", "the file does not say a release: is it a kernel?", hint)


def pi_kernel_modules(subject: Subject) -> Iterator[Problem]:
    """The modules are those of the kernel."""
    release = _kernel(subject).release
    found = sorted(
        match[1] for path in subject.entries if (match := _MODULES.fullmatch(path)) is not None
    )
    if release is not None and release not in found:
        yield Problem(
            "/usr/lib/modules",
            f"the kernel is {release}, but there are modules for {', '.join(found) or 'none'}",
            "/boot must be filled from the tree that has the modules: build the image again",
        )


def pi_page_size(subject: Subject) -> Iterator[Problem]:
    """The kernel has the page size of its package: 4 KiB, or 16 KiB for the Pi 5 alone."""
    pages = _kernel(subject).page_bytes
    for package, expected in _PAGE_BYTES.items():
        if package in subject.packages and pages not in (None, expected):
            yield Problem(
                "/boot/kernel8.img", f"it has pages of {pages} bytes, but {package} {expected}",
                "boot files and packages are of two kernels: build the image again",
            )  # fmt: skip


def pi_firmware(subject: Subject) -> Iterator[Problem]:
    """The first stages of every generation are there."""
    for name in _FIRMWARE.get(subject.arch or "", ()):
        if name not in subject.boot:
            yield Problem(f"/boot{name}", "there is no such file", _FIRMWARE_HINT)


def pi_device_trees(subject: Subject) -> Iterator[Problem]:
    """Each generation has its device trees."""
    for prefix, boards in _DEVICE_TREES.get(subject.arch or "", {}).items():
        if not any(re.fullmatch(rf"/{prefix}-.*\.dtb", path) for path in subject.boot):
            what = f"there is none: {boards} cannot start from this"
            yield Problem(f"/boot/{prefix}-*.dtb", what, "is the kernel's package whole?")


def pi_overlays(subject: Subject) -> Iterator[Problem]:
    """There are overlays, which config.txt asks for by name."""
    if not any(re.fullmatch(r"/overlays/.*\.dtbo", path) for path in subject.boot):
        what = "there are none: no dtoverlay= of config.txt has an effect"
        yield Problem("/boot/overlays", what, "is the kernel's package whole?")


def pi_journal(subject: Subject) -> Iterator[Problem]:
    """The root filesystem has no journal: it would wear flash out sooner."""
    root = None if subject.disk is None else subject.disk.root
    if root is not None and root[1].journal:
        what = "it has a journal, which is written to all the time"
        yield Problem(f"partition {root[0].number}", what, "set journal = false in ext4 of [disk]")


def pi_services(subject: Subject) -> Iterator[Problem]:
    """A board without screen and keyboard can be reached: network, clock, SSH."""
    for names in _SERVICES:
        if not set(names) & set(subject.found.services):
            yield Problem(
                "services", f"{' or '.join(names)} is not enabled", "add it to the services"
            )


def pi_growpart(subject: Subject) -> Iterator[Problem]:
    """The root grows to the medium at the first start."""
    text = (subject.tree.read(GROWPART) or b"").decode("utf-8", "replace")
    if _GROWS.search(text) is None:
        yield Problem(
            GROWPART, "ENABLE_ROOT_GROWPART is not yes: the root stays as small as the image",
            "add the package cloud-guest-utils and set it",
        )  # fmt: skip


def _words(subject: Subject) -> list[str]:
    content = subject.read_boot("/cmdline.txt") or b""
    lines = content.decode("utf-8", "replace").splitlines()
    return lines[0].split() if lines else []


def _kernel(subject: Subject) -> KernelImage:
    name = _KERNELS.get(subject.arch or "")
    return KernelImage(None, None) if name is None else subject.boot_kernel(name)
