"""UEFI: the firmware that QEMU runs, as code, and variables as they are at first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import ToolError, storing
from voidimg.host_packages import this_host
from voidimg.smoke.setting import Setting


@dataclass(frozen=True, slots=True)
class Uefi:
    """Two flash chips: `code` is only read; a machine writes to a copy of `variables`."""

    code: Path
    variables: Path

    @property
    def wants_smm(self) -> bool:
        """Whether it was built with Secure Boot; without keys that is not in force."""
        return ".secboot." in self.code.name


_X86 = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/qemu/edk2-x86_64-code.fd", "/usr/share/qemu/edk2-i386-vars.fd"),
)
_X86_32 = (
    # Debian builds none of 32 bits without Secure Boot.
    ("/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF32_VARS_4M.fd"),
    ("/usr/share/edk2/ia32/OVMF_CODE.4m.fd", "/usr/share/edk2/ia32/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2/ovmf-ia32/OVMF_CODE.fd", "/usr/share/edk2/ovmf-ia32/OVMF_VARS.fd"),
    ("/usr/share/qemu/edk2-i386-code.fd", "/usr/share/qemu/edk2-i386-vars.fd"),
)
_ARM = (
    ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    ("/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd"),
    ("/usr/share/qemu/edk2-aarch64-code.fd", "/usr/share/qemu/edk2-arm-vars.fd"),
)
_ARM_32 = (
    ("/usr/share/AAVMF/AAVMF32_CODE.fd", "/usr/share/AAVMF/AAVMF32_VARS.fd"),
    ("/usr/share/edk2/arm/QEMU_CODE.fd", "/usr/share/edk2/arm/QEMU_VARS.fd"),
    ("/usr/share/qemu/edk2-arm-code.fd", "/usr/share/qemu/edk2-arm-vars.fd"),
)
_PLACES: Mapping[tuple[str, bool], tuple[str, tuple[tuple[str, str], ...]]] = {
    ("qemu-system-x86_64", False): ("OVMF", _X86),
    ("qemu-system-x86_64", True): ("OVMF32", _X86_32),
    ("qemu-system-i386", False): ("OVMF32", _X86_32),
    ("qemu-system-i386", True): ("OVMF32", _X86_32),
    ("qemu-system-aarch64", False): ("AAVMF", _ARM),
    ("qemu-system-arm", False): ("AAVMF32", _ARM_32),
}
"""Program, and whether 32 bits are asked for -> what it is called in `voidimg.host_packages`, and
where Debian, Arch, Fedora, and QEMU itself have it, without Secure Boot where there is a choice."""


def find_uefi(qemu: str, *, ia32: bool = False) -> Uefi:
    """The firmware for machines of the program `qemu`; with `ia32` that of 32 bits for PCs.

    Raises:
        ToolError: none is installed; the hint is the command of this host that installs it.
    """
    name, places = _PLACES.get((qemu, ia32), (None, ()))
    for code, variables in places:
        if Path(code).is_file() and Path(variables).is_file():
            return Uefi(Path(code), Path(variables))
    width = " of 32 bits" if ia32 else ""
    raise ToolError(
        f"no UEFI firmware{width} for {qemu} is installed",
        code="MISSING",
        where=qemu,
        hint=None if name is None else this_host().installing([name]),
    )


def play(setting: Setting) -> tuple[str, ...]:
    """QEMU's words for UEFI, with variables of its own that are those of a new machine.

    Raises:
        ToolError: it is not installed.
        StoreError: its variables cannot be read.
    """
    uefi = find_uefi(setting.qemu, ia32=setting.machine.firmware == "uefi-ia32")
    with storing(uefi.variables, "read"):
        variables = setting.keep(uefi.variables.read_bytes())
    return words_of(uefi, variables)


def words_of(uefi: Uefi, variables: Path) -> tuple[str, ...]:
    """QEMU's words for the two chips; the machine writes to `variables`."""
    flash = "if=pflash,format=raw"
    words = ["-drive", f"{flash},readonly=on,file={uefi.code}"]
    words += ["-drive", f"{flash},file={variables}"]
    if uefi.wants_smm:
        words += ["-machine", "smm=on"]
        words += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
    return tuple(words)
