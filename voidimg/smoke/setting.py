"""What a player of firmware is told: the machine, and the image that it is to start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from voidimg.spec.smoke_model import Machine


@dataclass(frozen=True, slots=True)
class Setting:
    """A `machine` of QEMU's program `qemu` that is to start an image.

    Attributes:
        machine: the machine.
        qemu: the program that emulates it.
        image: the raw disk image or ISO, which is only read.
        arch: the image's architecture, XBPS's, with or without ``-musl``.
        keep: makes a nameless file of some content, and gives a path of it that is valid as long
            as the guest runs.
    """

    machine: Machine
    qemu: str
    image: Path
    arch: str
    keep: Callable[[bytes], Path]
