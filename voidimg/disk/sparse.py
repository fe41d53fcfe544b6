"""Copies what a sparse file stores, and leaves its holes as holes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_COPY_BYTES = 2**20


def place_sparse(source: Path, target: Path, offset_bytes: int) -> None:
    """Copy `source` into `target` at `offset_bytes`, leaving its holes and zeros as holes."""
    with source.open("rb", buffering=0) as from_file, target.open("r+b", buffering=0) as to_file:
        copy_stored(from_file.fileno(), to_file.fileno(), offset_bytes)


def copy_stored(source: int, target: int, offset_bytes: int = 0) -> None:
    """Copy what the open file `source` stores into the open file `target`, but no zeros."""
    zeros = bytes(_COPY_BYTES)
    for start, end in stored_extents(source):
        for at in range(start, end, _COPY_BYTES):
            piece = os.pread(source, min(_COPY_BYTES, end - at), at)
            if piece != zeros[: len(piece)]:
                os.pwrite(target, piece, offset_bytes + at)


def stored_extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """The parts (first byte, byte after the last) of an open file that are not holes."""
    size, at = os.fstat(descriptor).st_size, 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole up to the end
            return
        at = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, at
