"""The raw disk in the files that clouds take: a fixed VHD, and the sparse tar of Google Cloud."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from voidimg.disk.image import copy_to_larger
from voidimg.disk.sparse import stored_extents
from voidimg.errors import storing
from voidimg.events import Listener, Progress, ignore
from voidimg.formats import sparse_tar, vhd
from voidimg.formats.sparse_tar import Segment
from voidimg.formats.tar_writer import end_of_archive

TARRED_NAME = "disk.raw"
"""What Google Cloud looks for in the tar."""

_GIB = 2**30
_GRANULE_BYTES = 4096
"""What of the disk is left out of the tar: blocks of this size that are all zeros."""
_COPY_BYTES = 2**20


class _Out(Protocol):
    """What a tar is written to."""

    def write(self, content: bytes, /) -> int: ...


def whole(size_bytes: int, unit_bytes: int) -> int:
    """`size_bytes` rounded up to whole units."""
    return -(-size_bytes // unit_bytes) * unit_bytes


def write_vhd(disk: Path, out: Path, identifier: uuid.UUID, epoch: int) -> None:
    """Write the raw `disk` as the fixed VHD `out`, enlarged to a whole MiB, as Azure asks.

    Raises:
        LayoutError: the disk has no sound partition table.
        StoreError: `out` cannot be written (`DiskFullError`: for want of space).
    """
    size = whole(disk.stat().st_size, vhd.GRANULE_BYTES)
    copy_to_larger(disk, out, size)
    with storing(out, "write"), out.open("r+b") as file:
        file.seek(size)
        file.write(vhd.footer(size, identifier, epoch))


def write_gcp_tar(
    disk: Path,
    enlarged: Path,
    out: _Out,
    epoch: int,
    *,
    listener: Listener = ignore,
    step: str = "gcp: pack",
) -> None:
    """Write the raw `disk` as the tar for Google Cloud into `out`, enlarged to a whole GiB.

    What is left out depends on the content of the disk alone, not on where its file has holes.
    Reports `Progress` of `step` in bytes.

    Args:
        disk: the raw disk.
        enlarged: a file that does not exist, for the disk of a whole GiB; removed again.
        out: takes the tar, not compressed.
        epoch: the time of the member, in seconds since 1970.
        listener: is told of progress.
        step: the name of what is reported.

    Raises:
        LayoutError: the disk has no sound partition table.
        StoreError: the larger file cannot be written (`DiskFullError`: for want of space).
    """
    size = whole(disk.stat().st_size, _GIB)
    copy_to_larger(disk, enlarged, size)
    with enlarged.open("rb", buffering=0) as file:
        descriptor = file.fileno()
        segments = list(_segments(descriptor))
        header = sparse_tar.encode_header(TARRED_NAME, size, segments, epoch)
        out.write(header)
        written = len(header)
        for start, length in segments:
            for at in range(start, start + length, _COPY_BYTES):
                piece = os.pread(descriptor, min(_COPY_BYTES, start + length - at), at)
                out.write(piece)
                written += len(piece)
            listener(Progress(step, start + length, size, "bytes"))
    out.write(end_of_archive(written))
    enlarged.unlink()


def _segments(descriptor: int) -> Iterator[Segment]:
    """The pieces of an open file that are not all zeros, of whole granules, as long as can be."""
    start = end = -1
    for at in _granules(descriptor):
        if at != end:
            if end > start:
                yield start, end - start
            start = at
        end = at + _GRANULE_BYTES
    if end > start:
        yield start, end - start


def _granules(descriptor: int) -> Iterator[int]:
    """The offsets of the granules of an open file that are not all zeros."""
    next_at = 0
    for begin, end in stored_extents(descriptor):
        first = max(next_at, begin // _GRANULE_BYTES * _GRANULE_BYTES)
        for at in range(first, end, _COPY_BYTES):
            # A piece may end behind the extent: then it holds zeros, which are left out.
            piece = os.pread(descriptor, min(_COPY_BYTES, whole(end - at, _GRANULE_BYTES)), at)
            for inner in range(0, len(piece), _GRANULE_BYTES):
                next_at = at + inner + _GRANULE_BYTES
                if piece[inner : inner + _GRANULE_BYTES] != _ZEROS:
                    yield at + inner


_ZEROS = bytes(_GRANULE_BYTES)
