"""Where the frames of a zstd file begin and end, and how much they hold (RFC 8878, 3.1).

Only the headers of frames and blocks are read, so the walk takes a read for each 128 KiB of
content. Decoders need it: the library's reader takes a truncated frame for the end of the data, and
one-shot readers stop after the first frame.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAGIC = b"\x28\xb5\x2f\xfd"
_MAGIC = int.from_bytes(MAGIC, "little")
_SKIPPABLE = 0x184D2A50


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame; positions in bytes of the file.

    `content_bytes` is what its header says it holds: None when it does not say, 0 for a frame that
    readers skip.
    """

    start: int
    end: int
    content_bytes: int | None


def begins_like_zstd(head: bytes) -> bool:
    """Whether a file that begins with `head` (4 bytes or more) is one of zstd frames."""
    magic = int.from_bytes(head[:4], "little")
    return magic in (_MAGIC, *range(_SKIPPABLE, _SKIPPABLE + 16))


def frames(file: BinaryIO) -> Iterator[Frame]:
    """The frames of `file` from its first byte to its last, each whole.

    Raises:
        EOFError: the last frame is not complete.
        ValueError: something between the frames is not a frame.
        OSError: it cannot be read.
    """
    size = file.seek(0, os.SEEK_END)
    start = 0
    while start < size:
        frame = _frame_at(file, start)
        if frame.end > size:
            raise EOFError("a zstd frame ends too early")
        yield frame
        start = frame.end


def _frame_at(file: BinaryIO, start: int) -> Frame:
    """The frame that begins at `start`; it may end beyond the end of `file`."""
    file.seek(start)
    header = file.read(18)
    if len(header) < 8:
        raise EOFError("a zstd frame ends within its header")
    magic = int.from_bytes(header[:4], "little")
    if magic & ~15 == _SKIPPABLE:
        return Frame(start, start + 8 + int.from_bytes(header[4:8], "little"), 0)
    if magic != _MAGIC:
        raise ValueError("bytes after the end of the zstd data")
    descriptor = header[4]
    single_segment = descriptor >> 5 & 1
    size_at = 5 + (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3]
    size_bytes = (single_segment, 2, 4, 8)[descriptor >> 6]
    content = None
    if size_bytes:
        # Two bytes hold the size less 256.
        content = int.from_bytes(header[size_at : size_at + size_bytes], "little")
        content += 256 if size_bytes == 2 else 0
    end = _end_of_blocks(file, start + size_at + size_bytes)
    return Frame(start, end + 4 * (descriptor >> 2 & 1), content)


def _end_of_blocks(file: BinaryIO, position: int) -> int:
    last = 0
    while not last:
        file.seek(position)
        header = file.read(3)
        if len(header) < 3:
            raise EOFError("a zstd frame ends between two blocks")
        word = int.from_bytes(header, "little")
        last, kind, size = word & 1, word >> 1 & 3, word >> 3
        position += 3 + (1 if kind == 1 else size)
    return position
