"""The image that is written: opened once, read forward, and the same from beginning to end."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from voidimg.artifacts.registry import read_name
from voidimg.errors import LayoutError, StoreError, VerifyError, storing
from voidimg.foreign import open_regular
from voidimg.formats import qcow2, sparse_tar, vhd
from voidimg.formats.block_map import BlockMap
from voidimg.formats.compression import Stream
from voidimg.formats.extents import Extent
from voidimg.inspection.opened import not_sound, open_artifact

PIECE_BYTES = 2**20
_MAX_BYTES = 2**44
"""Larger than any medium that an image is written to."""

Piece = tuple[int, bytes]
"""Where on the disk, and what; pieces come in the order of the disk, zeros may be left out."""


@dataclass(frozen=True, slots=True)
class Source:
    """An image that is open: `compression` says how its disk lies in the file."""

    path: Path
    file: BinaryIO
    compression: str
    stamp: tuple[int, ...]

    def pieces(self) -> Iterator[Piece]:
        """The disk, piece by piece; at its end the sizes are checked.

        Raises:
            LayoutError: the image is damaged.
        """
        self.file.seek(0)
        with not_sound(self.path):
            match self.compression:
                case "qcow2":
                    yield from qcow2.stored_clusters(self.file, str(self.path))
                case "gcp":
                    yield from self._tarred()
                case _:
                    yield from self._streamed()

    def _stream(self) -> Stream:
        return Stream(self.file, where=str(self.path), max_bytes=_MAX_BYTES)

    def _streamed(self) -> Iterator[Piece]:
        stream = self._stream()
        at = 0
        while piece := stream.read(PIECE_BYTES):
            yield at, piece
            at += len(piece)

    def _tarred(self) -> Iterator[Piece]:
        stream = self._stream()
        tarred = sparse_tar.read_header(stream, str(self.path))
        for start, length in tarred.segments:
            for at in range(start, start + length, PIECE_BYTES):
                wanted = min(PIECE_BYTES, start + length - at)
                piece = stream.read(wanted)
                if len(piece) != wanted:
                    raise LayoutError(
                        f"{self.path} ends within its disk", code="DAMAGED", where=str(self.path)
                    )
                yield at, piece
            stream.read(-length % sparse_tar.BLOCK_BYTES)
        while stream.read(PIECE_BYTES):
            pass  # what the compressed stream says of itself stands at its end

    def known_bytes(self) -> int | None:
        """The size of the disk, where the file cannot but say it rightly."""
        self.file.seek(0)
        match self.compression:
            case "none":
                return os.fstat(self.file.fileno()).st_size
            case "qcow2":
                return qcow2.read_qcow2(self.file, str(self.path)).virtual_bytes
            case "gcp":
                with not_sound(self.path):
                    return sparse_tar.read_header(self._stream(), str(self.path)).size
        return None

    def require_unchanged(self) -> None:
        """Raise when the file was changed or replaced since it was opened.

        Raises:
            StoreError: it was.
        """
        with storing(self.path, "read"):
            found = self.path.stat()
        if stamp_of(found) != self.stamp:
            raise StoreError(
                f"{self.path} changed while it was read",
                code="CHANGED",
                where=str(self.path),
                hint="wait until nothing writes to it any more, and try again",
            )


@contextmanager
def opened_source(path: Path) -> Iterator[Source]:
    """The image `path`, while this lasts.

    Raises:
        LayoutError: it is no disk image or ISO, or damaged.
        StoreError: it cannot be read.
    """
    artifact = open_artifact(path)
    if artifact.kind == "tar":
        raise LayoutError(
            f"{path} is a tar, and no image of a medium",
            code="UNKNOWN-ARTIFACT",
            where=str(path),
            hint="a tar is unpacked onto a filesystem; name an .img or .iso",
        )
    with storing(path, "read"), open_regular(path) as file:
        source = Source(path, file, artifact.compression, stamp_of(os.fstat(file.fileno())))
        _require_no_vhd(source)
        yield source
        source.require_unchanged()


def stamp_of(found: os.stat_result) -> tuple[int, ...]:
    """What is different after every change of a file, its replacement included."""
    times = (found.st_mtime_ns, found.st_ctime_ns)
    return (found.st_mode, found.st_dev, found.st_ino, found.st_size, *times)


def disk_bytes(source: Source, block_map: BlockMap | None, *, trusted: bool) -> int:
    """The size of the disk in `source`; the whole of it is read when that is not known to be sound.

    Args:
        source: the image.
        block_map: of it; its size must be that of the disk.
        trusted: the file is known to be what its maker meant, so that its map can be believed.

    Raises:
        LayoutError: the image is damaged, or the block map is of another one.
    """
    known = source.known_bytes()
    if trusted and known is None and block_map is not None:
        return block_map.image_bytes
    size = known if trusted and known else _read_through(source, block_map, known)
    if block_map is not None and block_map.image_bytes != size:
        raise VerifyError(
            f"the block map is of an image of {block_map.image_bytes} bytes, but"
            f" {source.path.name} has {size}",
            code="BLOCK-MAP",
            where=str(source.path),
            hint="get both again, or write all of it: --no-bmap",
        )
    return size


def _read_through(source: Source, block_map: BlockMap | None, known: int | None) -> int:
    """Read all of the image, so that nothing is written of one that is damaged; its size."""
    end = 0

    def counted() -> Iterator[Piece]:
        nonlocal end
        for at, piece in source.pieces():
            end = at + len(piece)
            yield at, piece

    extents = () if block_map is None else block_map.extents
    sums = RangeSums(extents)
    for at, content in within(filled(counted(), known), extents):
        sums.take(at, content)
    size = end if known is None else known
    if block_map is not None and size == block_map.image_bytes:
        require_as_mapped(sums, block_map, source.path)
    return size


class RangeSums:
    """The SHA-256 of each of `extents`, of content that comes in their order."""

    def __init__(self, extents: Sequence[Extent]):
        self._extents = extents
        self._running = hashlib.sha256()
        self.sums: list[str] = []

    def take(self, at: int, content: bytes) -> None:
        """Take what lies in one extent."""
        self._running.update(content)
        if at + len(content) == self._extents[len(self.sums)][1]:
            self.sums.append(self._running.hexdigest())
            self._running = hashlib.sha256()


def require_as_mapped(sums: RangeSums, block_map: BlockMap, path: Path) -> None:
    """Raise when a range of `block_map` has another checksum than was computed of the image.

    Raises:
        VerifyError: one has.
    """
    for index, one in enumerate(block_map.ranges):
        if index >= len(sums.sums) or sums.sums[index] != one.sha256:
            start, end = block_map.extent(one)
            raise VerifyError(
                f"the bytes from {start} to {end} of {path.name} are not those of its block map",
                code="BLOCK-MAP",
                where=str(path),
                hint="the image or the map is damaged: get both again",
            )


def filled(pieces: Iterable[Piece], size: int | None) -> Iterator[Piece]:
    """`pieces`, and zeros where something was left out, up to `size` where that is known."""
    end = 0
    for at, piece in pieces:
        yield from _zeros(end, at)
        yield at, piece
        end = at + len(piece)
    if size is not None:
        yield from _zeros(end, size)


def within(pieces: Iterable[Piece], extents: Sequence[Extent]) -> Iterator[Piece]:
    """What of `pieces`, which leave nothing out, lies in `extents`; each piece in one of them."""
    index = 0
    for at, piece in pieces:
        end = at + len(piece)
        while index < len(extents) and extents[index][0] < end:
            first, last = extents[index]
            start, stop = max(at, first), min(end, last)
            if start < stop:
                yield start, piece[start - at : stop - at]
            if last > end:
                break
            index += 1


def _zeros(start: int, end: int) -> Iterator[Piece]:
    for at in range(start, end, PIECE_BYTES):
        yield at, _ZEROS[: end - at]


_ZEROS = bytes(PIECE_BYTES)


def _require_no_vhd(source: Source) -> None:
    named = read_name(source.path)
    is_vhd = named is not None and named[0].name == "vhd"
    if source.compression == "none" and not is_vhd:
        size = source.file.seek(0, os.SEEK_END)
        source.file.seek(max(0, size - vhd.FOOTER_BYTES))
        is_vhd = vhd.read_footer(source.file.read(vhd.FOOTER_BYTES)) is not None
    if is_vhd:
        raise LayoutError(
            f"{source.path} is a VHD, for virtual machines",
            code="UNKNOWN-ARTIFACT",
            where=str(source.path),
            hint="take the .img of the same set",
        )
