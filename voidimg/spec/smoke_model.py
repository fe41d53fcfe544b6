"""The models of how QEMU boots an artifact, and of what must be true of the guest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from voidimg.spec.base import Model
from voidimg.spec.words import (
    Bytes,
    DtbNode,
    DtbProperty,
    DtbValue,
    QemuCpu,
    QemuMachine,
    QemuProgram,
)


class DtbEdit(Model):
    """A property to set in a copy of the device tree, for QEMU's sake."""

    node: DtbNode
    property: DtbProperty
    value: DtbValue


Medium = Literal["sd", "usb", "nvme", "virtio", "scsi", "sata", "ide", "cd"]
"""What an image is attached as."""

Firmware = Literal["raspberry-pi", "bios", "uefi", "uefi-ia32", "u-boot"]
"""What starts a machine. UEFI is of the width of the emulated processor; ``uefi-ia32`` is that of
32 bits on a 64-bit PC, as some tablets have it."""

LIVE_FIRMWARE: frozenset[Firmware] = frozenset({"bios", "uefi", "uefi-ia32"})
"""What starts live ISOs."""

_PC = frozenset({"qemu-system-x86_64", "qemu-system-i386"})
_ARM = frozenset({"qemu-system-aarch64", "qemu-system-arm"})
FIRMWARE_PROGRAMS: Mapping[Firmware, frozenset[str]] = {
    "raspberry-pi": _ARM,
    "bios": _PC,
    "uefi": _PC | _ARM,
    "uefi-ia32": _PC,
    "u-boot": _ARM,
}
"""Firmware -> the programs of QEMU on whose machines it runs or is played."""


class Machine(Model):
    """A QEMU machine that boots the disk image or the live ISO from `medium` by `firmware`.

    BIOS and UEFI start disk images and live ISOs as they are, U-Boot disk images. The firmware of
    a Raspberry Pi is played: kernel, device tree and command line are read from the boot partition
    of a disk image, `append` is added to the command line, and `dtb` names another device tree.

    No field holds words of QEMU's command line: those could name files of the host and start
    programs, and a platform may be a stranger's.
    """

    medium: Medium
    """What the image is attached as."""
    controller: Literal["xhci", "ehci", "sdhci"] | None = None
    """What is added for a medium ``usb`` or ``sd`` where the machine has nothing of its own; U-Boot
    of QEMU knows ``ehci`` only."""
    machine: QemuMachine
    """Of QEMU's ``-machine``: its name alone."""
    firmware: Firmware = "raspberry-pi"
    """What starts the machine."""
    cpu: QemuCpu | None = None
    """A model of QEMU's ``-cpu``, with features that are on or off: ``qemu64,+ssse3``."""
    smp: int = Field(default=1, ge=1, le=64)
    memory: Bytes = Field(default=2**30, ge=2**20, le=2**36)
    dtb: str | None = None
    """Without it a board of QEMU gets what config.txt and the board's name say."""
    dtb_edits: tuple[DtbEdit, ...] = ()
    append: str = ""
    power_of_two: bool = False
    deadline_seconds: int = Field(default=300, ge=1, le=86400)
    """Until the login must be there."""


class Statement(Model):
    """A fact about the booted guest: `command`, typed on its console, prints what `expect` matches.

    `expect` is a regex searched in the output; ``{root_partuuid}``, ``{boot_partuuid}`` and
    ``{date}`` stand for the image's own, ``{volume_id}`` and ``{kernel_release}`` for those of a
    live ISO. It is tried again until `within_seconds` have passed.
    """

    name: str
    command: str
    expect: str
    within_seconds: int = Field(default=60, ge=1)


class Smoke(Model):
    """How QEMU can boot the image, and what must be true of the guest."""

    qemu: QemuProgram = "qemu-system-aarch64"
    """The program that emulates the machine: one of QEMU's, by its name."""
    user: str = "root"
    """Who logs in on the console of a disk image; on a live system that is its live user."""
    machines: tuple[Machine, ...] = ()
    statements: tuple[Statement, ...] = ()
