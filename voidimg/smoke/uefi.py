"""Finds the UEFI firmware that QEMU can run: its code, and variables as they are at first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import ToolError
from voidimg.host_packages import this_host


@dataclass(frozen=True, slots=True)
class Uefi:
    """Two flash chips: `code` is only read; a machine writes to a copy of `variables`."""

    code: Path
    variables: Path


_X86 = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/qemu/edk2-x86_64-code.fd", "/usr/share/qemu/edk2-i386-vars.fd"),
)
_ARM = (
    ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    ("/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd"),
    ("/usr/share/qemu/edk2-aarch64-code.fd", "/usr/share/qemu/edk2-arm-vars.fd"),
)
_PLACES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "qemu-system-x86_64": _X86,
    "qemu-system-aarch64": _ARM,
}
"""Program -> where Debian, Arch, Fedora, and QEMU itself have firmware without Secure Boot."""

_NAMES = {"qemu-system-x86_64": "OVMF", "qemu-system-aarch64": "AAVMF"}


def find_uefi(qemu: str) -> Uefi:
    """The firmware for machines of the program `qemu`.

    Raises:
        ToolError: none is installed; the hint is the command of this host that installs it.
    """
    for code, variables in _PLACES.get(qemu, ()):
        if Path(code).is_file() and Path(variables).is_file():
            return Uefi(Path(code), Path(variables))
    name = _NAMES.get(qemu)
    raise ToolError(
        f"no UEFI firmware for {qemu} is installed",
        code="MISSING",
        where=qemu,
        hint=None if name is None else this_host().installing([name]),
    )
