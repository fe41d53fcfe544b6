"""Opens an artifact of any kind for reading: raw image, tar or ISO, compressed or not."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voidimg.atomic import path_of, private_directory
from voidimg.errors import LayoutError, PackageError, storing
from voidimg.fetch import require_room
from voidimg.foreign import open_regular
from voidimg.formats import qcow2, sparse_tar
from voidimg.formats.compression import Stream, open_stream
from voidimg.formats.unpacked_size import unpacked_bytes
from voidimg.units import format_size

_MAGIC = {
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    qcow2.MAGIC: "qcow2",
}
_TARRED_DISK = b"disk.raw"
"""The one file of a tar for Google Cloud."""
_HEAD_BYTES = 2**15 + 6
_COPY_BYTES = 2**20
_MAX_BYTES = 64 * 2**30
_MARGIN_BYTES = 256 * 2**20
"""What must be free at any time while an image is unpacked: it never fills a file system."""
"""Larger images than any that Void publishes; a stream that gives more was made to fill disks."""

ArtifactKind = Literal["disk image", "tar", "ISO image"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact by its first bytes; `compression` is ``none``, ``xz``, ``zstd`` and so on.

    Of a disk in another file it says which: ``qcow2``, or ``gcp`` for the tar of Google Cloud.
    """

    path: Path
    kind: ArtifactKind
    compression: str


def open_artifact(path: Path) -> Artifact:
    """What `path` is, by content and not by name.

    Raises:
        LayoutError: it is none of them, or damaged.
        StoreError: it cannot be read.
    """
    require_file(path)
    with open_regular(path, block_device=True) as file:
        begin = file.read(8)
        if begin.startswith(qcow2.MAGIC):
            qcow2.read_qcow2(file, str(path))
            return Artifact(path, "disk image", "qcow2")
    with _whole(path) as stream:
        head = stream.read(_HEAD_BYTES)
    if head[257:262] == b"ustar" and head.partition(b"\0")[0] == _TARRED_DISK:
        return Artifact(path, "disk image", "gcp")
    found = (name for magic, name in _MAGIC.items() if begin.startswith(magic))
    return Artifact(path, _kind(head, path), next(found, "none"))


def require_file(path: Path) -> None:
    """Raise `LayoutError` when `path` is a pipe, which may wait for its writer for ever.

    Raises:
        StoreError: there is nothing at `path`, or it cannot be looked at.
    """
    with storing(path, "read"):
        mode = path.stat().st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        raise LayoutError(
            f"{path} is a pipe, and an artifact is read from more than one place",
            code="PIPE",
            where=str(path),
            hint="write it to a file first",
        )


def _kind(head: bytes, path: Path) -> ArtifactKind:
    if head[257:262] == b"ustar":
        return "tar"
    if head[2**15 + 1 : 2**15 + 6] == b"CD001":  # before the disk: a hybrid has an MBR too
        return "ISO image"
    if head[510:512] == b"\x55\xaa":
        return "disk image"
    raise LayoutError(
        f"{path} is of an unknown kind" if head else f"{path} is empty",
        code="UNKNOWN-ARTIFACT",
        where=str(path),
        hint="what can be read are ISO images, disk images and tars, the latter two plain or"
        " compressed by xz, zstd or gzip, and disk images as qcow2, VHD or a tar for Google Cloud",
    )


def not_readable_here(artifact: Artifact) -> LayoutError:
    """The error of what reads disk images about an artifact of another kind."""
    article = "an" if artifact.kind == "ISO image" else "a"
    return LayoutError(
        f"{artifact.path} is {article} {artifact.kind}",
        code="UNKNOWN-ARTIFACT",
        where=str(artifact.path),
        hint="a disk image is asked for",
    )


@contextmanager
def raw_image(artifact: Artifact, scratch: Path | None) -> Iterator[Path]:
    """The image as a raw file: itself, or a sparse temporary one in `scratch` while this lasts.

    Raises:
        LayoutError: it is no disk image, or the compressed stream is damaged or truncated.
        StoreError: the temporary file cannot be written.
    """
    if artifact.kind != "disk image":
        raise not_readable_here(artifact)
    if artifact.compression == "none":
        yield artifact.path
        return
    directory = scratch or Path(tempfile.gettempdir())
    with storing(directory, "decompress into"):
        directory.mkdir(parents=True, exist_ok=True)
        _require_room_for(artifact, directory)
        # Without a name it is gone with us, even if we are killed.
        with tempfile.TemporaryFile(dir=directory, buffering=0) as raw:
            room = _Room(directory, f"unpacking {artifact.path.name}")
            if artifact.compression == "qcow2":
                _unpack_qcow2(artifact.path, raw.fileno(), room)
            elif artifact.compression == "gcp":
                _unpack_gcp(artifact.path, raw.fileno(), room)
            else:
                _decompress(artifact.path, raw.fileno(), room)
            yield path_of(raw.fileno())


def _require_room_for(artifact: Artifact, directory: Path) -> None:
    """Ask for room before the first byte is written; holes are not counted on.

    Raises:
        LayoutError: it says that it is larger than any image that is read.
        DiskFullError: there is not so much room.
    """
    path = artifact.path
    if artifact.compression == "qcow2":
        with open_regular(path, block_device=True) as image:
            size = qcow2.read_qcow2(image, str(path)).virtual_bytes
        needed = min(size, _MARGIN_BYTES)  # the disk of a machine is mostly holes
    elif artifact.compression == "gcp":
        with _whole(path) as stream:
            size = sparse_tar.read_header(stream, str(path)).size
        needed = min(size, _MARGIN_BYTES)
    else:
        size = needed = unpacked_bytes(path) or 0
    if size > _MAX_BYTES:
        raise LayoutError(
            f"{path} holds {format_size(size)}, more than the {format_size(_MAX_BYTES)} that are"
            " read of an image",
            code="TOO-LARGE",
            where=str(path),
            hint="unpack it by hand if it is to be trusted",
        )
    require_room(directory, needed, f"unpacking {path.name}")


class _Room:
    """Room while a file is written: what an artifact says of its size need not be so."""

    def __init__(self, directory: Path, purpose: str):
        self._directory = directory
        self._purpose = purpose
        self._left = 0

    def written(self, size: int) -> None:
        """Ask again when half of what was free at least is written; `size` bytes will be now."""
        self._left -= size
        if self._left < 0:
            require_room(self._directory, _MARGIN_BYTES, self._purpose)
            self._left = _MARGIN_BYTES // 2


@contextmanager
def temporary_file(scratch: Path | None, name: str) -> Iterator[Path]:
    """A place for a file of one's own in `scratch`, or the system's directory for such files.

    Raises:
        StoreError: it cannot be written to.
    """
    directory = scratch or Path(tempfile.gettempdir())
    with storing(directory, "write into"):
        directory.mkdir(parents=True, exist_ok=True)
        with private_directory(directory) as private:
            yield private / name


def _unpack_qcow2(path: Path, raw: int, room: _Room) -> None:
    with open_regular(path, block_device=True) as image:
        os.truncate(raw, qcow2.read_qcow2(image, str(path)).virtual_bytes)
        for at, content in qcow2.stored_clusters(image, str(path)):
            room.written(len(content))
            os.pwrite(raw, content, at)


def _unpack_gcp(path: Path, raw: int, room: _Room) -> None:
    with _whole(path) as stream:
        tarred = sparse_tar.read_header(stream, str(path))
        os.truncate(raw, tarred.size)
        for start, length in tarred.segments:
            for at in range(start, start + length, _COPY_BYTES):
                wanted = min(_COPY_BYTES, start + length - at)
                piece = stream.read(wanted)
                if len(piece) != wanted:
                    raise PackageError("the tar ends within its file", code="ARCHIVE-TRUNCATED")
                room.written(wanted)
                os.pwrite(raw, piece, at)
            stream.read(-length % sparse_tar.BLOCK_BYTES)
        while stream.read(_COPY_BYTES):
            pass  # what the compressed stream says of itself stands at its end


def _decompress(path: Path, raw: int, room: _Room) -> None:
    zeros = bytes(_COPY_BYTES)
    at = 0
    with _whole(path) as stream:
        while piece := stream.read(_COPY_BYTES):
            if piece != zeros[: len(piece)]:
                room.written(len(piece))
                os.pwrite(raw, piece, at)
            at += len(piece)
        os.truncate(raw, at)


@contextmanager
def _whole(path: Path) -> Iterator[Stream]:
    """The decompressed bytes of `path`, with damage told in words that fit an image."""
    with not_sound(path):
        stream = open_stream(path, max_bytes=_MAX_BYTES)
        try:
            yield stream
        finally:
            stream.close()


@contextmanager
def not_sound(path: Path) -> Iterator[None]:
    """Turn what the readers of archives raise into a `LayoutError` about the artifact `path`."""
    try:
        yield
    except PackageError as error:
        raise LayoutError(
            f"{path} is damaged: {error.what}",
            code="DAMAGED",
            where=str(path),
            hint="compare its checksum, and fetch or build it again",
        ) from error
