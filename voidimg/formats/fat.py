"""Computes the geometry of a FAT filesystem, and whether files fit it.

The type (12, 16, 32 bits) follows from the number of clusters alone (Microsoft FAT specification),
so the cluster size must be chosen to give a number that agrees. The size of the tables is computed
as mkfs.fat 4.2 does with ``-a``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from voidimg.disk.contents import Contents
from voidimg.errors import LayoutError
from voidimg.formats.partition_table import SECTOR_BYTES
from voidimg.units import format_size

Bits = Literal[12, 16, 32]
ROOT_ENTRIES = 512
"""Entries of the root directory of FAT12 and FAT16; on FAT32 it grows like any other."""

_ENTRY_BYTES = 32
_FATS = 2
_MARGIN = 16
"""Clusters to stay away from a limit of the type, as the specification advises."""
_CLUSTERS = {12: (1, 4084), 16: (4085, 65524), 32: (65525, 2**28 - 17)}
_ALIGNMENT_SECTORS = 8
_LEAST_RESERVED = {12: 1, 16: 1, 32: 32}
_PREFERRED_SECTORS = 8
"""4 KiB, the unit of flash pages and of the page cache: not exceeded without need."""


@dataclass(frozen=True, slots=True)
class FatGeometry:
    """Where everything in a FAT filesystem lies; `fat_sectors` is the size of one of two tables."""

    bits: Bits
    sectors: int
    sectors_per_cluster: int
    reserved_sectors: int
    fat_sectors: int
    clusters: int

    @property
    def cluster_bytes(self) -> int:
        """The unit in which files take space."""
        return self.sectors_per_cluster * SECTOR_BYTES


def choose_geometry(
    sectors: int, bits: Bits, sectors_per_cluster: int | None, where: str
) -> FatGeometry:
    """The geometry of a filesystem of `sectors` and `bits`.

    Without `sectors_per_cluster` the largest cluster up to 4 KiB is taken that gives a valid number
    of clusters, else the smallest larger one: 2 KiB for FAT32 at 256 MiB.

    Raises:
        LayoutError: no cluster size, or not the one asked for, agrees with `bits`.
    """
    if sectors_per_cluster is not None:
        geometry = _geometry(sectors, bits, sectors_per_cluster)
        if not _is_valid(geometry, margin=0):
            raise _disagreement(geometry, where)
        return geometry
    small = [size for size in (8, 4, 2, 1) if size <= _PREFERRED_SECTORS]
    for size in (*small, 16, 32, 64):
        geometry = _geometry(sectors, bits, size)
        if _is_valid(geometry, margin=_MARGIN):
            return geometry
    raise _disagreement(_geometry(sectors, bits, 1 if bits == 32 else 64), where)


def clusters_needed(geometry: FatGeometry, contents: Contents) -> int:
    """How many clusters the files and directories take, each rounded up.

    Directory entries are counted as if every name needed its long form.
    """
    cluster = geometry.cluster_bytes
    total = sum(-(-size // cluster) for size in contents.files)
    for place, names in enumerate(contents.directories):
        is_root = place == 0
        if is_root and geometry.bits != 32:
            continue
        entries = sum(entries_of(name) for name in names) + (1 if is_root else 2)
        total += max(1, -(-entries * _ENTRY_BYTES // cluster))
    return total


def entries_of(name: str) -> int:
    """Directory entries of a name: one, and one for each 13 UTF-16 units of its long form."""
    return 1 + -(-len(name.encode("utf-16-le", "surrogatepass")) // 26)


def check_root_directory(geometry: FatGeometry, contents: Contents, where: str) -> None:
    """Raise `LayoutError` when a FAT12 or FAT16 root directory cannot hold its names."""
    entries = sum(entries_of(name) for name in contents.directories[0]) + 1
    if geometry.bits != 32 and entries > ROOT_ENTRIES:
        raise LayoutError(
            f"the top directory needs {entries} entries, but FAT{geometry.bits} has {ROOT_ENTRIES}",
            code="FAT-ROOT-FULL",
            where=where,
            hint="use bits = 32, or move files into a directory",
        )


def smallest_fitting(
    contents: Contents, bits: Bits, per_cluster: int | None, free_bytes: int, step_sectors: int
) -> int:
    """The least multiple of `step_sectors` that holds `contents` and leaves `free_bytes`.

    Raises:
        LayoutError: FAT of these `bits` cannot be that large.
    """
    guess = (contents.bytes + free_bytes) // SECTOR_BYTES
    sectors = max(step_sectors, guess // step_sectors * step_sectors)
    least, most = _CLUSTERS[bits]
    ceiling = (most + 1) * (per_cluster or 64) + step_sectors
    while sectors < ceiling:
        geometry = _best_effort(sectors, bits, per_cluster)
        if geometry is None:
            sectors += step_sectors
            continue
        wanted = clusters_needed(geometry, contents) + -(-free_bytes // geometry.cluster_bytes)
        if geometry.clusters >= wanted:
            return sectors
        missing = (wanted - geometry.clusters) * geometry.sectors_per_cluster
        sectors += max(step_sectors, missing // step_sectors * step_sectors)
    raise LayoutError(
        f"FAT{bits} holds {least} to {most} clusters, which is too little for"
        f" {format_size(contents.bytes + free_bytes)}",
        code="FAT-TOO-SMALL",
        hint="use bits = 32",
    )


def _best_effort(sectors: int, bits: Bits, per_cluster: int | None) -> FatGeometry | None:
    try:
        return choose_geometry(sectors, bits, per_cluster, "")
    except LayoutError:
        return None


def _geometry(sectors: int, bits: Bits, per_cluster: int) -> FatGeometry:
    """The geometry whose clusters begin on a boundary of 4 KiB and of the cluster."""
    alignment = max(_ALIGNMENT_SECTORS, per_cluster)
    root_sectors = 0 if bits == 32 else ROOT_ENTRIES * _ENTRY_BYTES // SECTOR_BYTES
    least = _LEAST_RESERVED[bits]
    for reserved in range(least, least + 2 * alignment):
        geometry = _with_reserved(sectors, bits, per_cluster, reserved, root_sectors)
        if (reserved + _FATS * geometry.fat_sectors + root_sectors) % alignment == 0:
            return geometry
    return _with_reserved(sectors, bits, per_cluster, least, root_sectors)


def _with_reserved(
    sectors: int, bits: Bits, per_cluster: int, reserved: int, root_sectors: int
) -> FatGeometry:
    room = sectors - reserved - root_sectors
    cluster_bytes = per_cluster * SECTOR_BYTES
    # An entry has bits/8 bytes; the first two entries of each table are not clusters.
    half_bytes = bits // 4
    clusters = (2 * room * SECTOR_BYTES + _FATS * 2 * half_bytes) // (
        2 * cluster_bytes + _FATS * half_bytes
    )
    fat_bytes = ((clusters + 2) * half_bytes + 1) // 2
    fat_sectors = -(-fat_bytes // SECTOR_BYTES)
    clusters = max(0, (room - _FATS * fat_sectors) // per_cluster)
    return FatGeometry(bits, sectors, per_cluster, reserved, fat_sectors, clusters)


def _is_valid(geometry: FatGeometry, margin: int) -> bool:
    least, most = _CLUSTERS[geometry.bits]
    floor = least if geometry.bits == 12 else least + margin
    return floor <= geometry.clusters <= most - margin


def _disagreement(geometry: FatGeometry, where: str) -> LayoutError:
    least, most = _CLUSTERS[geometry.bits]
    size = format_size(geometry.sectors * SECTOR_BYTES)
    if geometry.clusters < least:
        advice = "a larger partition, fewer sectors_per_cluster or fewer bits"
    else:
        advice = "a smaller partition, more sectors_per_cluster or more bits"
    return LayoutError(
        f"{size} in clusters of {format_size(geometry.cluster_bytes)} are {geometry.clusters}"
        f" clusters, but FAT{geometry.bits} means {least} to {most}",
        code="FAT-CLUSTERS",
        where=where,
        hint=f"give it {advice}",
    )
