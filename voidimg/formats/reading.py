"""Reads pieces of a file that is a disk or a filesystem."""

from __future__ import annotations

from typing import BinaryIO


def read_at(image: BinaryIO, offset: int, length: int) -> bytes:
    """Up to `length` bytes at `offset`; fewer at the end of `image`."""
    image.seek(offset)
    return image.read(length)
