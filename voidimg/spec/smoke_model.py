"""The models of how QEMU boots an artifact, and of what must be true of the guest."""

from __future__ import annotations

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


class Machine(Model):
    """A QEMU machine that can boot the disk image or the live ISO from `medium`.

    A machine with `firmware` starts a live ISO as it is. One without has its firmware played, and
    starts a disk image: `append` is added to the kernel command line, `dtb` names a file of the
    boot partition. `power_of_two` says that the medium must have such a size.

    No field holds words of QEMU's command line: those could name files of the host and start
    programs, and a platform may be a stranger's.
    """

    medium: Literal["sd", "usb", "nvme", "virtio", "cd"]
    """What the image is attached as."""
    controller: Literal["xhci", "sdhci"] | None = None
    """What is added for a medium ``usb`` or ``sd`` where the machine has nothing of its own."""
    machine: QemuMachine
    """Of QEMU's ``-machine``: its name alone."""
    firmware: Literal["bios", "uefi"] | None = None
    """What starts a live ISO; UEFI has the width of the emulated processor."""
    cpu: QemuCpu | None = None
    """A model of QEMU's ``-cpu``, with features that are on or off: ``qemu64,+ssse3``."""
    smp: int = Field(default=1, ge=1, le=64)
    memory: Bytes = Field(default=2**30, ge=2**20, le=2**36)
    dtb: str | None = None
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
