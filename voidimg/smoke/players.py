"""Which player starts a machine of which firmware."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from voidimg.smoke import bios, raspberry_pi, u_boot, uefi
from voidimg.smoke.setting import Setting
from voidimg.spec.smoke_model import Firmware

PLAYERS: Mapping[Firmware, Callable[[Setting], tuple[str, ...]]] = {
    "raspberry-pi": raspberry_pi.play,
    "bios": bios.play,
    "uefi": uefi.play,
    "uefi-ia32": uefi.play,
    "u-boot": u_boot.play,
}
"""Firmware -> what gives the words by which QEMU starts the image as that firmware does.

A player raises `GuestError` for what would keep the firmware from starting the image, and
`ToolError` for what is not installed here.
"""
