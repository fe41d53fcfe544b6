"""U-Boot, as Debian builds it for QEMU's ``virt``: it reads extlinux.conf or boot.scr of the image.

It is the generic U-Boot of QEMU, not the one on the image, which only its own board can run. So the
device tree is QEMU's: a menu that names the board's own (``FDT``) does not start here, one with
``FDTDIR`` or ``DEVICETREEDIR`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from voidimg.errors import ToolError
from voidimg.host_packages import this_host
from voidimg.smoke.setting import Setting

_PLACES: Mapping[str, tuple[str, ...]] = {
    "qemu-system-aarch64": (
        "/usr/lib/u-boot/qemu_arm64/u-boot.bin",
        "/usr/share/uboot/qemu_arm64/u-boot.bin",
        "/usr/share/u-boot/qemu_arm64/u-boot.bin",
    ),
    "qemu-system-arm": (
        "/usr/lib/u-boot/qemu_arm/u-boot.bin",
        "/usr/share/uboot/qemu_arm/u-boot.bin",
        "/usr/share/u-boot/qemu_arm/u-boot.bin",
    ),
}
"""Program -> where Debian, Fedora and Alpine have it."""


def find_u_boot(qemu: str) -> Path:
    """U-Boot for the machine ``virt`` of the program `qemu`.

    Raises:
        ToolError: none is installed; the hint is the command of this host that installs it.
    """
    for place in _PLACES.get(qemu, ()):
        if Path(place).is_file():
            return Path(place)
    raise ToolError(
        f"no U-Boot for {qemu} is installed",
        code="MISSING",
        where=qemu,
        hint=this_host().installing(["U-Boot"]) if qemu in _PLACES else None,
    )


def play(setting: Setting) -> tuple[str, ...]:
    """QEMU's words for it.

    Raises:
        ToolError: it is not installed.
    """
    return ("-bios", str(find_u_boot(setting.qemu)))
