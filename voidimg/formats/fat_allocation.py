"""Which bytes of a FAT filesystem are in use: its structures, and every cluster that is taken."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import BinaryIO

from voidimg.formats.extents import Extent, merged, runs
from voidimg.formats.fat import read_fat
from voidimg.formats.partition_table import SECTOR_BYTES
from voidimg.formats.reading import read_at

_MOST_TABLE_BYTES = 2**30 + 4096
"""The table of the largest FAT32: 2^28 entries."""


def fat_in_use(image: BinaryIO, offset_bytes: int, size_bytes: int) -> list[Extent] | None:
    """The bytes in use, counted from the start of the filesystem at `offset_bytes` of `image`.

    Reserved sectors, the tables, the root directory, and each cluster whose entry is not 0: lost
    and bad ones too. None when there is no FAT filesystem, or one that is not whole.
    """
    volume = read_fat(image, offset_bytes, size_bytes)
    if volume is None:
        return None
    boot = read_at(image, offset_bytes, SECTOR_BYTES)
    fats = boot[16]
    root_sectors = -(-int.from_bytes(boot[17:19], "little") * 32 // SECTOR_BYTES)
    system = volume.reserved_sectors + fats * volume.fat_sectors + root_sectors
    clusters_at = system * SECTOR_BYTES
    table_bytes = min(volume.fat_sectors * SECTOR_BYTES, _MOST_TABLE_BYTES)
    table = read_at(image, offset_bytes + volume.reserved_sectors * SECTOR_BYTES, table_bytes)
    entries = _entries(table, volume.bits)
    if len(entries) < volume.clusters + 2:
        return None
    used = (n for n, value in enumerate(entries[2 : volume.clusters + 2]) if value)
    size = volume.cluster_bytes
    files = ((clusters_at + a * size, clusters_at + b * size) for a, b in runs(used))
    return merged([(0, clusters_at), *files])


def _entries(table: bytes, bits: int) -> array[int]:
    """The entries of a table; of FAT32 without the four bits that mean nothing."""
    if bits == 12:
        return array("H", _fat12(table))
    width = bits // 8
    entries = array("H" if bits == 16 else "I", table[: len(table) // width * width])
    if bits == 32:
        return array("I", (entry & 0x0FFFFFFF for entry in entries))
    return entries


def _fat12(table: bytes) -> Iterator[int]:
    for at in range(0, len(table) - 2, 3):
        pair = int.from_bytes(table[at : at + 3], "little")
        yield pair & 0xFFF
        yield pair >> 12
