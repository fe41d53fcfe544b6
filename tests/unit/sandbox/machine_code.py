"""Programs that make system calls and tell what came of them: some bytes of machine code.

Each program writes the result of each call, 8 bytes little endian, to its standard output.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

Call = tuple[int, int, int]
"""Number, first and second argument; the others are 0."""

_SEGMENT_OFFSET = 120
_BASE = 0x400000


def program_of(machine: str, calls: Sequence[Call]) -> bytes:
    """A static ELF program that makes `calls`; `machine` is x86_64, i386-entry or aarch64.

    ``i386-entry`` is a program of x86_64 that makes them by ``int 0x80``, as 32-bit programs do.
    """
    code = {"x86_64": _x86_64, "i386-entry": _i386, "aarch64": _aarch64}[machine](calls)
    number = 183 if machine == "aarch64" else 62
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    entry = _BASE + _SEGMENT_OFFSET
    header += struct.pack("<HHIQQQIHHHHHH", 2, number, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = _SEGMENT_OFFSET + len(code)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000) + code


def results(output: bytes) -> list[int]:
    """The results that a program wrote."""
    return [value for (value,) in struct.iter_unpack("<q", output)]


_TELL_X86 = bytes.fromhex("50 b801000000 bf01000000 4889e6 ba08000000 0f05 58")
"""push rax; write(1, rsp, 8); pop rax."""
_END_X86 = bytes.fromhex("b83c000000 31ff 0f05")


def _x86_64(calls: Sequence[Call]) -> bytes:
    made = b""
    for number, first, second in calls:
        made += b"\xb8" + struct.pack("<I", number)
        made += b"\xbf" + struct.pack("<I", first) + b"\xbe" + struct.pack("<I", second)
        made += bytes.fromhex("31d2 4531d2 4531c0 0f05") + _TELL_X86
    return made + _END_X86


def _i386(calls: Sequence[Call]) -> bytes:
    made = b""
    for number, first, second in calls:
        made += b"\xb8" + struct.pack("<I", number)
        made += b"\xbb" + struct.pack("<I", first) + b"\xb9" + struct.pack("<I", second)
        made += bytes.fromhex("31d2 31f6 31ff cd80 4898") + _TELL_X86
    return made + _END_X86


def _aarch64(calls: Sequence[Call]) -> bytes:
    words: list[int] = []
    for number, first, second in calls:
        words.append(0xD2800008 | number << 5)  # mov x8, number
        for register, value in enumerate((first, second, 0, 0, 0)):
            words.append(0xD2800000 | (value & 0xFFFF) << 5 | register)
            words.append(0xF2A00000 | (value >> 16) << 5 | register)
        words += [0xD4000001, 0xD10043FF, 0xF90003E0]  # svc; sub sp, sp, 16; str x0, [sp]
        words += [0xD2800020, 0x910003E1, 0xD2800102, 0xD2800808, 0xD4000001, 0x910043FF]
    words += [0xD2800000, 0xD2800BA8, 0xD4000001]
    return b"".join(struct.pack("<I", word) for word in words)
