"""FAT filesystems: their geometry, whether files fit one, and what a volume says of itself.

The type (12, 16, 32 bits) follows from the number of clusters alone (Microsoft FAT specification
1.03), so the cluster size must be chosen to give a number that agrees. The size of the tables is
computed as mkfs.fat 4.2 does with ``-a``. A volume is read by the BIOS parameter block of sector 0.
"""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal

from voidimg.errors import LayoutError
from voidimg.formats.contents import Contents
from voidimg.formats.partition_table import SECTOR_BYTES
from voidimg.formats.reading import read_at
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

_LABEL = re.compile(r"(?! )[A-Z0-9!#$%&'()@^_`{}~ -]{0,11}")
"""What mkfs.fat 4.2 and every reader take: no small letters, none of ``*?.,;:/\\|+=<>[]"``."""

_MOST_SECTORS = 2**32 - 1
"""Field of 32 bits in the BIOS parameter block."""

MBR_TYPES: Mapping[str, tuple[Bits, ...]] = {
    "0x01": (12,), "0x04": (16,), "0x06": (16,), "0x0e": (16,), "0x0b": (32,), "0x0c": (32,),
}  # fmt: skip
"""MBR type byte -> the FAT that it announces to firmware and readers."""


def is_label(label: str) -> bool:
    """Whether a volume can have `label`; an empty one is none."""
    return _LABEL.fullmatch(label) is not None


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
    least, most = _CLUSTERS[bits]
    guess = max((contents.bytes + free_bytes) // SECTOR_BYTES, least * (per_cluster or 1))
    sectors = max(step_sectors, guess // step_sectors * step_sectors)
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
    numbered = geometry.sectors <= _MOST_SECTORS
    return numbered and floor <= geometry.clusters <= most - margin


def _disagreement(geometry: FatGeometry, where: str) -> LayoutError:
    least, most = _CLUSTERS[geometry.bits]
    size = format_size(geometry.sectors * SECTOR_BYTES)
    fitting = [
        f"{count}"
        for count in (1, 2, 4, 8, 16, 32, 64, 128)
        if _is_valid(_geometry(geometry.sectors, geometry.bits, count), margin=0)
    ]
    if fitting:
        advice = f"{' or '.join(fitting)} sectors_per_cluster would do"
    elif geometry.clusters < least:
        advice = "change the size to a larger one, or take fewer bits"
    else:
        advice = "change the size to a smaller one, or take more bits"
    meaning = f"at least {least}" if geometry.bits == 32 else f"{least} to {most}"
    return LayoutError(
        f"{size} in clusters of {format_size(geometry.cluster_bytes)} are {geometry.clusters}"
        f" clusters, but FAT{geometry.bits} means {meaning}",
        code="FAT-CLUSTERS",
        where=where,
        hint=advice,
    )


_FAT12_BYTES = 8192
"""More than the table of a FAT12 volume takes: 4086 entries of 12 bits."""


_PIECE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class FatVolume:
    """A FAT filesystem. `serial` is as in fstab and blkid: ``ABCD-EF01``.

    `bits` follows from the cluster count alone: < 4085 is 12, < 65525 is 16.
    """

    bits: Literal[12, 16, 32]
    serial: str
    label: str
    sectors: int
    sectors_per_cluster: int
    reserved_sectors: int
    fat_sectors: int
    clusters: int
    free_clusters: int
    hidden_sectors: int

    @property
    def cluster_bytes(self) -> int:
        """The unit in which files take space."""
        return self.sectors_per_cluster * SECTOR_BYTES

    @property
    def free_bytes(self) -> int:
        """Room left, in whole clusters."""
        return self.free_clusters * self.cluster_bytes


def read_fat(image: BinaryIO, offset_bytes: int, size_bytes: int) -> FatVolume | None:
    """The FAT filesystem at `offset_bytes`, or None when there is none of sane geometry."""
    boot = read_at(image, offset_bytes, SECTOR_BYTES)
    if len(boot) < SECTOR_BYTES or boot[510:512] != b"\x55\xaa" or boot[0] not in (0xEB, 0xE9):
        return None
    sector_bytes, per_cluster, reserved, fats, root_entries, sectors16 = struct.unpack_from(
        "<HBHBHH", boot, 11
    )
    fat16_sectors, hidden, sectors32, fat32_sectors = struct.unpack_from("<H4xIII", boot, 22)
    sectors = sectors16 or sectors32
    fat_sectors = fat16_sectors or fat32_sectors
    if sector_bytes != SECTOR_BYTES or not reserved or fats not in (1, 2) or not fat_sectors:
        return None
    if per_cluster not in (1, 2, 4, 8, 16, 32, 64, 128) or sectors * SECTOR_BYTES > size_bytes:
        return None
    root_sectors = -(-root_entries * 32 // SECTOR_BYTES)
    clusters = (sectors - reserved - fats * fat_sectors - root_sectors) // per_cluster
    if clusters < 1:
        return None
    bits = fat_bits(clusters)
    serial_at = 67 if bits == 32 else 39
    serial = struct.unpack_from("<I", boot, serial_at)[0]
    return FatVolume(
        bits=bits,
        serial=fat_serial(serial),
        label=boot[serial_at + 4 : serial_at + 15].decode("cp437").rstrip(),
        sectors=sectors,
        sectors_per_cluster=per_cluster,
        reserved_sectors=reserved,
        fat_sectors=fat_sectors,
        clusters=clusters,
        free_clusters=_free_clusters(
            image,
            offset_bytes + reserved * SECTOR_BYTES,
            fat_sectors * SECTOR_BYTES,
            bits,
            clusters,
        ),
        hidden_sectors=hidden,
    )


def fat_bits(clusters: int) -> Literal[12, 16, 32]:
    """The FAT type of a volume of so many clusters: nothing else decides it."""
    if clusters <= _CLUSTERS[12][1]:
        return 12
    return 16 if clusters <= _CLUSTERS[16][1] else 32


def fat_serial(number: int) -> str:
    """A FAT serial as fstab's ``UUID=`` takes it: ``ABCD-EF01``."""
    return f"{number >> 16:04X}-{number & 0xFFFF:04X}"


def _free_clusters(
    image: BinaryIO, table_bytes: int, size_bytes: int, bits: int, clusters: int
) -> int:
    """How many entries of the file allocation table at `table_bytes` are 0; two are no clusters.

    Read in pieces: the table of a volume that only pretends to be large can be larger than memory.
    """
    if bits == 12:
        return _free_in_fat12(read_at(image, table_bytes, min(size_bytes, _FAT12_BYTES)), clusters)
    width = bits // 8
    left = min(size_bytes - 2 * width, clusters * width)
    image.seek(table_bytes + 2 * width)
    free = 0
    while left > 0 and (piece := image.read(min(left, _PIECE_BYTES))):
        entries = array("H" if bits == 16 else "I")
        entries.frombytes(piece[: len(piece) // width * width])
        free += entries.count(0)
        left -= len(piece)
    return free


def _free_in_fat12(table: bytes, clusters: int) -> int:
    pairs = (table[i] | table[i + 1] << 8 | table[i + 2] << 16 for i in range(0, len(table) - 2, 3))
    entries = [half for pair in pairs for half in (pair & 0xFFF, pair >> 12)]
    return entries[2 : clusters + 2].count(0)
