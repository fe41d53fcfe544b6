"""Reads pieces of a file that is a disk or a filesystem."""

from __future__ import annotations

from io import SEEK_END
from typing import BinaryIO


def read_at(image: BinaryIO, offset: int, length: int) -> bytes:
    """Up to `length` bytes at `offset`; fewer at the end of `image`, none beyond it.

    `offset` may be any that a table of a stranger can hold: no file system has the largest.
    """
    if offset >= image.seek(0, SEEK_END):
        return b""
    image.seek(offset)
    return image.read(length)
