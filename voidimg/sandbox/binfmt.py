"""Lets the kernel run programs of another architecture through qemu-user.

Since Linux 6.7 a user namespace has binfmt_misc entries of its own, and only there something is
registered, never on the host. On older kernels a registration that root made on the host is used,
if it has the flag F (the emulator was opened at registration, hence need not exist in the tree).
"""

from __future__ import annotations

import os
import platform
import struct
from dataclasses import dataclass
from pathlib import Path

from voidimg.arch import qemu_cpu, without_libc
from voidimg.errors import SandboxError, ToolError
from voidimg.run import find_program
from voidimg.sandbox import kernel

_DIRECTORY = Path("/proc/sys/fs/binfmt_misc")

_registered: set[str] = set()
"""The architectures that this process, or one that it was forked from, has registered."""

_FLAGS = "POCF"
"""Preserve argv[0]; open the binary for the emulator, with the binary's credentials; fix binary."""


@dataclass(frozen=True, slots=True)
class _Elf:
    """What the ELF header of an architecture's programs says."""

    bits: int
    little: bool
    machine: int


_ELF = {
    "aarch64": _Elf(64, True, 183),
    "armv5tel": _Elf(32, True, 40),
    "armv6l": _Elf(32, True, 40),
    "armv7l": _Elf(32, True, 40),
    "i686": _Elf(32, True, 3),
    "mipsel": _Elf(32, True, 8),
    "ppc": _Elf(32, False, 20),
    "ppc64": _Elf(64, False, 21),
    "ppc64le": _Elf(64, True, 21),
    "riscv64": _Elf(64, True, 243),
    "x86_64": _Elf(64, True, 62),
}
"""By XBPS architecture without ``-musl``; machine numbers are the EM_ values of elf.h."""


def is_native(arch: str, machine: str | None = None) -> bool:
    """Whether programs of the XBPS architecture `arch` run here without an emulator.

    `machine` is the host's, as uname says. An aarch64 host counts as foreign for 32-bit ARM:
    many such processors have no 32-bit mode, and the emulator works on all of them.
    """
    machine = platform.machine() if machine is None else machine
    base = without_libc(arch)
    return base == machine or (base == "i686" and machine == "x86_64")


def register(arch: str) -> None:
    """Make programs of the XBPS architecture `arch` runnable in this user namespace.

    Does nothing for the native architecture, or when it was done before.

    Raises:
        SandboxError: the architecture is unknown, or the kernel is too old and the host has no
            registration with the flag F.
        ToolError: the emulator is not installed.
    """
    if is_native(arch):
        return
    elf, cpu = _ELF.get(without_libc(arch)), qemu_cpu(arch)
    if elf is None or cpu is None:
        raise SandboxError(
            f"the architecture {arch} cannot be emulated here",
            code="ARCH",
            where=arch,
            hint=f"known are: {', '.join(sorted(_ELF))}, each also with -musl",
        )
    entry = _DIRECTORY / f"voidimg-{cpu}"
    if arch in _registered:
        return
    of_host = _host_entry(elf)
    try:
        emulator = _emulator(cpu)
    except ToolError:
        if of_host:
            return
        raise
    try:
        # Always an instance of this user namespace: what shows here may be the host's.
        if not _registered:
            kernel.mount("binfmt_misc", str(_DIRECTORY), "binfmt_misc")
        if not entry.exists():  # another architecture may have the same emulator
            _write_entry(registration(entry.name, arch, emulator))
        _registered.add(arch)
    except OSError as error:
        if of_host:
            return
        raise SandboxError(
            f"programs for {arch} cannot be run here: the kernel has no binfmt_misc "
            f"for user namespaces ({error.strerror})",
            code="BINFMT",
            where=str(_DIRECTORY),
            hint="use Linux 6.7 or newer (with the module binfmt_misc loaded), or let root "
            f"register qemu-{cpu} with the flag F, as Debian's qemu-user-static does",
        ) from error


def registration(name: str, arch: str, emulator: str) -> bytes:
    r"""The line for binfmt_misc's ``register``: ``:name:M::magic:mask:emulator:flags``.

    The magic is the start of an ELF header: identification (16 bytes), e_type, e_machine. The mask
    leaves out the OS ABI byte and the lowest bit of e_type (2 = program, 3 = position independent).
    Bytes are written ``\xNN``, as the kernel's parser wants them.
    """
    elf = _ELF[without_libc(arch)]
    order = "<" if elf.little else ">"
    identification = bytes((0x7F, 0x45, 0x4C, 0x46, elf.bits // 32, 1 if elf.little else 2, 1))
    magic = identification.ljust(16, b"\0") + struct.pack(f"{order}HH", 2, elf.machine)
    mask = b"\xff" * 7 + b"\0" + b"\xff" * 8 + struct.pack(f"{order}HH", 0xFFFE, 0xFFFF)
    return f":{name}:M::{_escape(magic)}:{_escape(mask)}:{emulator}:{_FLAGS}".encode()


def _escape(raw: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in raw)


def _write_entry(line: bytes) -> None:
    descriptor = os.open(_DIRECTORY / "register", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def _emulator(cpu: str) -> str:
    """A statically linked qemu for `cpu`; a dynamic one would look for its libraries in the tree.

    Raises:
        ToolError: there is none.
    """
    try:
        return find_program(f"qemu-{cpu}-static")
    except ToolError as missing:
        try:
            plain = find_program(f"qemu-{cpu}")
        except ToolError:
            raise missing from None
        if not _is_static(Path(plain)):
            raise missing from None
        return plain


def _is_static(path: Path) -> bool:
    """Whether the ELF program has no interpreter (segment type PT_INTERP, 3); 64-bit hosts only."""
    with path.open("rb") as file:
        header = file.read(64)
        if header[:5] != b"\x7fELF\x02":
            return False
        (offset,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        file.seek(offset)
        table = file.read(size * count)
    types = [struct.unpack_from("<I", table, at)[0] for at in range(0, len(table), size)]
    return 3 not in types


def _host_entry(elf: _Elf) -> bool:
    """Whether the host's list has an enabled entry for this machine with the flag F."""
    machine = struct.pack("<H" if elf.little else ">H", elf.machine).hex()
    try:
        texts = [
            path.read_text("ascii", "replace")
            for path in sorted(_DIRECTORY.iterdir())
            if path.name not in ("register", "status")
        ]
    except OSError:
        return False
    for text in texts:
        lines = dict(line.split(None, 1) for line in text.splitlines() if " " in line)
        magic = lines.get("magic", "")
        fixed = "F" in lines.get("flags:", "")
        if fixed and magic.startswith("7f454c46") and magic[36:40] == machine:
            return text.startswith("enabled")
    return False
