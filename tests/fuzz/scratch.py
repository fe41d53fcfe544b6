"""Where targets put the files that a parser wants to open, and how hostile bytes are made likely.

Checksums keep a fuzzer out: it cannot guess them. So they are repaired before the bytes are read.
"""

from __future__ import annotations

import functools
import struct
import tempfile
import zlib
from pathlib import Path

from voidimg.formats.partition_table import SECTOR_BYTES, blank_crc

_TAR_BLOCK = 512
_CHECKSUM = slice(148, 156)


@functools.cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    """One for the whole process. libFuzzer ends without removing it: see `tests.fuzz.__main__`."""
    return tempfile.TemporaryDirectory(prefix="fuzz.")


def scratch() -> Path:
    """A directory for the files of this process, removed when it ends."""
    return Path(_directory().name)


def file_with(data: bytes, name: str) -> Path:
    """The file `name` in the scratch directory, with the content `data`."""
    path = scratch() / name
    path.write_bytes(data)
    return path


def with_tar_checksums(data: bytes) -> bytes:
    """`data` with the checksum of everything in it that looks like a tar header made right."""
    repaired = bytearray(data)
    for at in range(0, len(data) - _TAR_BLOCK + 1, _TAR_BLOCK):
        block = repaired[at : at + _TAR_BLOCK]
        if block[257:262] == b"ustar":
            block[_CHECKSUM] = b" " * 8
            repaired[at + 148 : at + 156] = b"%06o\0 " % sum(block)
    return bytes(repaired)


def with_gpt_checksums(data: bytes) -> bytes:
    """`data` with both checksums of a GPT in sector 1 made right."""
    header = data[SECTOR_BYTES : 2 * SECTOR_BYTES]
    if len(header) < SECTOR_BYTES or header[:8] != b"EFI PART":
        return data
    header_bytes = struct.unpack_from("<I", header, 12)[0]
    table_sector, count, entry_bytes = struct.unpack_from("<QII", header, 72)
    table = data[table_sector * SECTOR_BYTES :][: count * entry_bytes]
    repaired = bytearray(header)
    struct.pack_into("<I", repaired, 88, zlib.crc32(table))
    checked = blank_crc(bytes(repaired[: min(header_bytes, SECTOR_BYTES)]))
    struct.pack_into("<I", repaired, 16, zlib.crc32(checked))
    return data[:SECTOR_BYTES] + bytes(repaired) + data[2 * SECTOR_BYTES :]
