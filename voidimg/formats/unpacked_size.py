"""How large the content of a compressed file is, by what the file says, before it is unpacked.

xz: the indexes at the ends of its streams (xz-file-format 1.2.1, section 4). zstd: the content
sizes of its frames (RFC 8878, 3.1.1.1). gzip: the size at its end, which is that modulo 4 GiB
(RFC 1952).
Nothing here is proven: whoever unpacks holds the content against it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from voidimg.foreign import open_regular
from voidimg.formats.zstd_frames import begins_like_zstd, frames

_XZ_MAGIC, _GZIP_MAGIC = b"\xfd7zXZ\0", b"\x1f\x8b"
_XZ_END = b"YZ"
_HEADER_BYTES = 12
_MAX_INDEX_BYTES = 16 * 2**20
_MAX_STREAMS = 4096


def unpacked_bytes(path: Path) -> int | None:
    """The size of the content of `path` in bytes, as it says; None when it does not.

    Raises:
        OSError: it cannot be read.
    """
    with open_regular(path, block_device=True) as file:
        magic = file.read(6)
        size = file.seek(0, os.SEEK_END)
        if magic == _XZ_MAGIC:
            return _xz_bytes(file, size)
        if magic[:2] == _GZIP_MAGIC and size >= 18:
            file.seek(-4, os.SEEK_END)
            return int.from_bytes(file.read(4), "little")
        if begins_like_zstd(magic):
            return _zstd_bytes(file)
    return None


def _xz_bytes(file: BinaryIO, end: int) -> int | None:
    """The sum over all streams, from the last to the first; between them may be zeros."""
    total = 0
    for _ in range(_MAX_STREAMS):
        while end >= 4 and _at(file, end - 4, 4) == bytes(4):
            end -= 4
        if end < 2 * _HEADER_BYTES:
            return total if end == 0 else None
        footer = _at(file, end - _HEADER_BYTES, _HEADER_BYTES)
        index_bytes = (int.from_bytes(footer[4:8], "little") + 1) * 4
        start = end - _HEADER_BYTES - index_bytes
        if footer[10:] != _XZ_END or index_bytes > _MAX_INDEX_BYTES or start < _HEADER_BYTES:
            return None
        sums = _index_sums(_at(file, start, index_bytes))
        if sums is None:
            return None
        total += sums[1]
        end = start - sums[0] - _HEADER_BYTES
        if end == 0:
            return total
    return None


def _index_sums(index: bytes) -> tuple[int, int] | None:
    """The bytes that the blocks of an index take, and those of their content."""
    numbers = _numbers(index[1:-4])
    count = next(numbers, None)
    if index[:1] != b"\0" or count is None or count > len(index):
        return None
    packed = content = 0
    for _ in range(count):
        unpadded, unpacked = next(numbers, None), next(numbers, None)
        if unpadded is None or unpacked is None:
            return None
        packed += -(-unpadded // 4) * 4
        content += unpacked
    return packed, content


def _numbers(source: bytes) -> Iterator[int]:
    """The variable-length integers of `source`."""
    value = shift = 0
    for byte in source:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0
        elif shift >= 63:
            return


def _zstd_bytes(file: BinaryIO) -> int | None:
    """The sum over all frames; None when one does not say, or is not whole."""
    total = 0
    try:
        for frame in frames(file):
            if frame.content_bytes is None:
                return None
            total += frame.content_bytes
    except (EOFError, ValueError):
        return None
    return None if total >= 2**63 else total


def _at(file: BinaryIO, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size)
