"""Scripts of U-Boot as it loads them: the text behind a header, a "legacy image". Pure.

U-Boot's ``include/image.h`` and ``doc/README.imagetools``: a header of 64 bytes, big endian, then
a list of the lengths of the files in it, which ends with 0, then the files; a script is one file.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

_HEADER = struct.Struct(">IIIIIIIBBBB32s")
_MAGIC = 0x27051956
_CRC_AT = 4
_LINUX = 5
_SCRIPT = 6
_ARCHES = {"aarch64": 22, "armv5tel": 2, "armv6l": 2, "armv7l": 2, "mipsel": 5, "ppc": 7,
           "ppc64": 7, "ppc64le": 7, "i686": 3, "x86_64": 24, "riscv64": 26}  # fmt: skip
"""What the header calls the machines; U-Boot does not look at it before it runs a script."""
NAME = "U-Boot boot script"
MAX_SCRIPT_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class UbootScript:
    """A script as it was found: its text, and what the header says of it.

    `flaw` says why U-Boot would not run it; None when it would.
    """

    text: str
    name: str
    time: int
    flaw: str | None = None


def write_script(text: str, machine: str, epoch: int) -> bytes:
    """The image of the script `text`.

    Args:
        text: commands of U-Boot, in ASCII or UTF-8.
        machine: XBPS architecture without libc.
        epoch: the time that the header says, in seconds since 1970.

    >>> read_script(write_script("boot", "aarch64", 0)).text
    'boot'
    """
    content = text.encode("utf-8", "surrogateescape")
    data = struct.pack(">II", len(content), 0) + content
    fields = (epoch & 0xFFFFFFFF, len(data), 0, 0, zlib.crc32(data))
    kinds = (_LINUX, _ARCHES[machine], _SCRIPT, 0)
    blank = _HEADER.pack(_MAGIC, 0, *fields, *kinds, NAME.encode())
    return _HEADER.pack(_MAGIC, zlib.crc32(blank), *fields, *kinds, NAME.encode()) + data


def read_script(content: bytes) -> UbootScript:
    """The script in `content`, as far as it can be read; its `flaw` says what is wrong with it."""
    if len(content) < _HEADER.size or not content.startswith(struct.pack(">I", _MAGIC)):
        return UbootScript("", "", 0, "it does not begin with the header of a U-Boot image")
    _, crc, time, size, _, _, data_crc, _, _, kind, compression, raw = _HEADER.unpack_from(content)
    name = raw.rstrip(b"\0").decode("utf-8", "replace")
    data = content[_HEADER.size : _HEADER.size + size]
    blank = content[:_CRC_AT] + bytes(4) + content[_CRC_AT + 4 : _HEADER.size]
    length, rest = (struct.unpack_from(">I", data)[0], len(data) - 8) if len(data) >= 8 else (0, -1)
    text = data[8 : 8 + min(length, MAX_SCRIPT_BYTES)].decode("utf-8", "replace")
    flaws = (
        (zlib.crc32(blank) != crc, "the checksum of its header is wrong"),
        (kind != _SCRIPT, f"the header says type {kind}, and a script is {_SCRIPT}"),
        (compression != 0, "it is compressed, which U-Boot does not undo in a script"),
        (len(data) < size, f"it has {len(data)} bytes of data, and the header says {size}"),
        (zlib.crc32(data) != data_crc, "the checksum of its data is wrong"),
        (length != rest, f"the list in it says {length} bytes, and {max(0, rest)} follow"),
    )  # fmt: skip
    return UbootScript(text, name, time, next((flaw for wrong, flaw in flaws if wrong), None))
