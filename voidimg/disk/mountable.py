"""Whether the kernels of a tree can mount what its disk will hold: told before anything is written.

By what a kernel says of itself below ``/usr/lib/modules``: ``modules.builtin`` lists the drivers
that are part of it, others are files there. A kernel without such a list is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from voidimg.errors import LayoutError, one_or_many
from voidimg.rootfs.kernels import BOOT, KERNELS, listed
from voidimg.spec.disk_model import Disk, Partition
from voidimg.tree.tree import Tree

_BUILTIN = "modules.builtin"
_LIST = "modules.dep"
_MAX_LIST_BYTES = 2**24
_DRIVERS: Mapping[str, tuple[str, ...]] = {"ext4": ("ext4",), "vfat": ("vfat", "fat")}
"""Filesystem -> the drivers of Linux without which it cannot be mounted."""


def require_mountable(tree: Path, disk: Disk) -> None:
    """Raise for each filesystem of `disk` that a kernel of `tree` cannot mount.

    Raises:
        LayoutError: it has no driver for it, or has that of the root as a module and no initramfs
            to load it from; several are in a `CollectedError`.
    """
    with Tree(tree) as opened:
        initramfs = any(name.startswith("init") for name in listed(opened, BOOT))
        kernels = {release: _drivers(opened, release) for release in listed(opened, KERNELS)}
    problems = [
        problem
        for release, known in kernels.items()
        if known is not None
        for partition in disk.partitions
        if partition.mount is not None
        for problem in _problems(partition, release, *known, initramfs=initramfs)
    ]
    if problems:
        raise one_or_many(problems, "the kernel cannot mount what the disk would hold")


def _problems(
    partition: Partition,
    release: str,
    builtin: frozenset[str],
    modules: frozenset[str],
    *,
    initramfs: bool,
) -> Iterator[LayoutError]:
    for driver in _DRIVERS.get(partition.filesystem, ()):
        if driver in builtin:
            continue
        if driver not in modules:
            yield LayoutError(
                f"the kernel {release} has no driver {driver} for the partition"
                f" {partition.name}, which is mounted at {partition.mount}",
                code="NOT-MOUNTABLE",
                where=partition.name,
                hint="choose a filesystem that it knows, or another kernel",
            )
        elif partition.mount == "/" and not initramfs:
            yield LayoutError(
                f"the kernel {release} has {driver} as a module, which it cannot load before"
                " the root is mounted, and there is no initramfs",
                code="NOT-MOUNTABLE",
                where=partition.name,
                hint='write initramfs = "dracut" in [boot] and add the package dracut',
            )


def _drivers(tree: Tree, release: str) -> tuple[frozenset[str], frozenset[str]] | None:
    """The drivers that are part of a kernel, and its modules; None: it does not say."""
    place = f"{KERNELS}/{release}"
    if not tree.exists(f"{place}/{_BUILTIN}"):
        return None
    builtin = _names(tree.read(f"{place}/{_BUILTIN}", max_bytes=_MAX_LIST_BYTES))
    if not tree.exists(f"{place}/{_LIST}"):
        return builtin, frozenset()
    return builtin, _names(tree.read(f"{place}/{_LIST}", max_bytes=_MAX_LIST_BYTES))


def _names(content: bytes) -> frozenset[str]:
    """The names of the modules at the beginning of each line."""
    lines = content.decode("utf-8", "replace").splitlines()
    paths = (PurePosixPath(line.partition(":")[0].strip()) for line in lines)
    return frozenset(path.name.partition(".")[0].replace("-", "_") for path in paths)
