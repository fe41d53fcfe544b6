"""What goes into each filesystem, measured: enough to compute sizes before anything is written."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import LayoutError
from voidimg.formats.contents import Contents
from voidimg.spec.disk_model import Blob, Disk
from voidimg.tree import beneath
from voidimg.tree.openat2 import Links, open_inside
from voidimg.tree.paths import mapped
from voidimg.tree.walk import DIRECTORY

_INLINE_ATTRIBUTE_BYTES = 64
"""Extended attributes up to about this size live in an ext4 inode of 256 bytes."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A tree as a disk will hold it: contents by partition name, blob sizes by path.

    `kernel_bytes` is the length of the largest kernel in ``/boot`` with its initramfs.
    """

    contents: dict[str, Contents]
    blob_bytes: dict[str, int]
    kernel_bytes: int = 0


def measure_tree(tree: Path, disk: Disk) -> Measured:
    """What each partition of `disk` gets of `tree`.

    Raises:
        LayoutError: a mount point or blob of the plan is not in the tree, or is a link.
        StoreError: a path of the tree is too long for any program.
    """
    mounts = [partition.mount for partition in disk.partitions if partition.mount is not None]
    contents = {}
    for partition in disk.partitions:
        if partition.mount is None:
            contents[partition.name] = Contents()
            continue
        with mount_point(tree, partition.mount) as top:
            left_out = other_mount_points(partition.mount, mounts)
            with mapped("measure", partition.mount):
                contents[partition.name] = _measure(top, left_out)
    blobs = {}
    for blob in disk.blobs:
        size = beneath.size_of(tree, blob.source)
        if size is None:
            raise LayoutError(
                f"the tree has no file {blob.source} to write {place_of(blob)}",
                code="NO-BLOB",
                where=blob.source,
                hint="add the package that brings the boot loader",
            )
        blobs[blob.source] = size
    return Measured(contents, blobs, _kernel_bytes(tree))


def place_of(blob: Blob) -> str:
    """Where `blob` is written, for people."""
    if blob.partition is not None:
        return f"into the partition {blob.partition}"
    return f"at byte {blob.offset}"


def _kernel_bytes(tree: Path) -> int:
    """The bytes of the largest kernel in ``/boot`` of `tree`, those of its initramfs included."""
    with beneath.directory(tree, "/boot") as top:
        if top is None:
            return 0
        sizes = {
            name: status.st_size
            for name in os.listdir(top)
            if stat.S_ISREG((status := os.stat(name, dir_fd=top, follow_symlinks=False)).st_mode)
        }
    kernels = [name for name in sizes if name.startswith(("vmlinu", "kernel"))]
    found = [
        sizes[name] + sizes.get(f"initramfs-{name.partition('-')[2]}.img", 0) for name in kernels
    ]
    return max(found, default=0)


@contextmanager
def mount_point(tree: Path, mount: str) -> Iterator[int]:
    """A descriptor of the directory of `tree` that a partition is mounted on, while this lasts.

    Raises:
        LayoutError: there is no such directory, or it is a link.
    """
    with beneath.directory(tree, mount) as top:
        if top is None:
            raise LayoutError(
                f"the tree has no directory {mount} for a partition",
                code="NO-MOUNT-POINT",
                where=mount,
                hint="let a package or a file of the recipe provide it",
            )
        yield top


def other_mount_points(mount: str, mounts: Sequence[str]) -> frozenset[str]:
    """Where other partitions are mounted below `mount`: paths relative to it."""
    top = mount.rstrip("/") + "/"
    return frozenset(
        other.rstrip("/").removeprefix(top)
        for other in mounts
        if other.rstrip("/") != mount.rstrip("/") and other.startswith(top)
    )


@dataclass(frozen=True, slots=True)
class Listed:
    """A directory that `walk` met: its path below the top (the top's is empty), and its entries.

    `fd` is its descriptor, open until the next one is asked for. `entries` are names with their
    lstat, in byte order.
    """

    path: bytes
    fd: int
    entries: tuple[tuple[bytes, os.stat_result], ...]


def walk(top: int, left_out: frozenset[str] = frozenset()) -> Iterator[Listed]:
    """Each directory from the directory `top` down; those in `left_out` without their entries.

    Raises:
        OSError: a path is too long, or a directory became a link meanwhile.
    """
    barred = {os.fsencode(path) for path in left_out}
    pending = [b""]
    while pending:
        path = pending.pop()
        place = open_inside(top, path, Links.REFUSED)
        try:
            fd = os.open(b".", DIRECTORY, dir_fd=place)
        finally:
            os.close(place)
        try:
            names = [] if path in barred else sorted(os.fsencode(name) for name in os.listdir(fd))
            entries = tuple(
                (name, os.stat(name, dir_fd=fd, follow_symlinks=False)) for name in names
            )
            yield Listed(path, fd, entries)
        finally:
            os.close(fd)
        prefix = path + b"/" if path else b""
        pending += [
            prefix + name for name, status in reversed(entries) if stat.S_ISDIR(status.st_mode)
        ]


def _measure(top: int, left_out: frozenset[str]) -> Contents:
    files: list[int] = []
    directories: list[tuple[str, ...]] = []
    others = attribute_blocks = 0
    seen: set[tuple[int, int]] = set()
    for listed in walk(top, left_out):
        directories.append(tuple(os.fsdecode(name) for name, _ in listed.entries))
        attribute_blocks += _needs_attribute_block(listed.fd, b".")
        for name, status in listed.entries:
            if stat.S_ISDIR(status.st_mode):
                continue
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            attribute_blocks += _needs_attribute_block(listed.fd, name)
            if stat.S_ISREG(status.st_mode) or status.st_size > 59:
                files.append(status.st_size)
            else:
                others += 1
    return Contents(tuple(sorted(files)), others, tuple(directories), attribute_blocks)


def _needs_attribute_block(directory: int, name: bytes) -> bool:
    path = os.fsencode(beneath.held(directory)) + b"/" + name
    try:
        names = os.listxattr(path, follow_symlinks=False)
        size = sum(
            len(name) + len(os.getxattr(path, name, follow_symlinks=False)) for name in names
        )
    except OSError:  # the filesystem of the tree has none
        return False
    return size > _INLINE_ATTRIBUTE_BYTES
