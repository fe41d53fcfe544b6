"""What goes into each filesystem, measured: enough to compute sizes before anything is written."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import LayoutError
from voidimg.formats.contents import Contents
from voidimg.spec.disk_model import Disk

_INLINE_ATTRIBUTE_BYTES = 64
"""Extended attributes up to about this size live in an ext4 inode of 256 bytes."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A tree as a disk will hold it: contents by partition name, blob sizes by path."""

    contents: dict[str, Contents]
    blob_bytes: dict[str, int]


def measure_tree(tree: Path, disk: Disk) -> Measured:
    """What each partition of `disk` gets of `tree`.

    Raises:
        LayoutError: a mount point or blob of the plan is not in the tree.
    """
    mounts = [partition.mount for partition in disk.partitions if partition.mount is not None]
    contents = {}
    for partition in disk.partitions:
        if partition.mount is None:
            contents[partition.name] = Contents()
            continue
        top = host_path(tree, partition.mount)
        if not top.is_dir():
            raise LayoutError(
                f"the tree has no directory {partition.mount} for the partition {partition.name}",
                code="NO-MOUNT-POINT",
                where=partition.mount,
                hint="let a package or a file of the recipe provide it",
            )
        contents[partition.name] = _measure(top, excluded(tree, partition.mount, mounts))
    blobs = {}
    for blob in disk.blobs:
        path = host_path(tree, blob.source)
        if path.is_symlink() or not path.is_file():
            raise LayoutError(
                f"the tree has no file {blob.source} to write at byte {blob.offset}",
                code="NO-BLOB",
                where=blob.source,
                hint="add the package that brings the boot loader",
            )
        blobs[blob.source] = path.stat().st_size
    return Measured(contents, blobs)


def host_path(tree: Path, path: str) -> Path:
    """Where the image's `path` is on the host.

    Raises:
        LayoutError: a directory on the way is a symbolic link, or the path climbs up: either could
            lead out of the tree.
    """
    at = tree
    parts = [part for part in path.split("/") if part]
    for part in parts:
        if part in (".", "..") or (at != tree and at.is_symlink()):
            raise LayoutError(
                f"{path} does not stay inside the tree",
                code="OUTSIDE",
                where=path,
                hint="name the real path, without links on the way",
            )
        at /= part
    return at


def excluded(tree: Path, mount: str, mounts: list[str]) -> frozenset[Path]:
    """The directories below `mount` that other partitions are mounted on."""
    top = mount.rstrip("/") + "/"
    return frozenset(
        host_path(tree, other)
        for other in mounts
        if other.rstrip("/") != mount.rstrip("/") and (other.rstrip("/") + "/").startswith(top)
    )


def _measure(top: Path, left_out: frozenset[Path]) -> Contents:
    files: list[int] = []
    directories: list[tuple[str, ...]] = []
    others = attribute_blocks = 0
    seen: set[tuple[int, int]] = set()
    for directory, entries in walk(top, left_out):
        directories.append(tuple(entry.name for entry in entries))
        attribute_blocks += _needs_attribute_block(directory)
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                continue
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            attribute_blocks += _needs_attribute_block(entry.path)
            if stat.S_ISREG(status.st_mode) or status.st_size > 59:
                files.append(status.st_size)
            else:
                others += 1
    return Contents(tuple(sorted(files)), others, tuple(directories), attribute_blocks)


def walk(
    top: Path, left_out: frozenset[Path] = frozenset()
) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Each directory from `top` down with its entries sorted by name; those in `left_out` empty."""
    pending = [str(top)]
    barred = {str(path) for path in left_out}
    while pending:
        directory = pending.pop()
        if directory in barred:
            yield directory, []
            continue
        with os.scandir(directory) as listing:
            entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
        yield directory, entries
        pending += [e.path for e in reversed(entries) if e.is_dir(follow_symlinks=False)]


def _needs_attribute_block(path: str) -> bool:
    try:
        names = os.listxattr(path, follow_symlinks=False)
        size = sum(
            len(name) + len(os.getxattr(path, name, follow_symlinks=False)) for name in names
        )
    except OSError:  # the filesystem of the tree has none
        return False
    return size > _INLINE_ATTRIBUTE_BYTES
