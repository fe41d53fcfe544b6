"""Which bytes of a disk image have to be written to a medium, whatever that held before.

Holes of the file and blocks of zeros do not say it: the zeros of a FAT, of a directory or of an
inode table mean something, and left out they would be what the medium had there. So it follows from
what the filesystems themselves say is in use. Where they are not known, or cannot be relied on, the
whole partition is written. Nothing here writes or asks for anything but bytes of the image.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from voidimg.errors import LayoutError
from voidimg.formats.block_map import BLOCK_BYTES, BlockMap, MappedRange
from voidimg.formats.ext4_allocation import ext4_in_use
from voidimg.formats.extents import Extent, in_whole_blocks, merged, outside
from voidimg.formats.fat_allocation import fat_in_use
from voidimg.formats.partition_table import SECTOR_BYTES, PartitionEntry, PartitionTable
from voidimg.formats.reading import read_at

_GPT_BACKUP_BYTES = 33 * SECTOR_BYTES
_MARGIN_BYTES = 2**20
"""At both ends of a partition: where the marks of other filesystems, LVM, RAID and LUKS lie.

Left as they were on the medium, one of them could be taken for what the partition holds.
"""
_PAGE_BYTES = 4096
_SWAP = b"SWAPSPACE2"
_COPY_BYTES = 2**20


def bytes_in_use(image: BinaryIO, table: PartitionTable) -> list[Extent]:
    """What of `image`, whose table is `table`, means something to firmware, loader and kernel.

    All before the first partition, and the second copy of a GPT; a gap between partitions or behind
    them as a whole when something is in it, since zeros of a boot loader count; of a partition what
    its filesystem says is in use.
    """
    size = image.seek(0, os.SEEK_END)
    entries = sorted(table.partitions, key=lambda entry: entry.start_sector)
    partitions = [(one.offset_bytes, one.offset_bytes + one.size_bytes) for one in entries]
    first = partitions[0][0] if partitions else size
    found: list[Extent] = [(0, first)]
    if table.label == "gpt":
        found.append((max(0, size - _GPT_BACKUP_BYTES), size))
    for start, end in outside([(0, size)], [*found, *partitions]):
        if _is_used(image, start, end):
            found.append((start, end))
    for entry in entries:
        at = entry.offset_bytes
        found += [(at + start, at + end) for start, end in _partition_in_use(image, entry)]
    return merged(found)


def bytes_to_write(image: BinaryIO, table: PartitionTable) -> list[Extent]:
    """`bytes_in_use`, and where something older on the medium could mislead."""
    found = bytes_in_use(image, table)
    for entry in table.partitions:
        start, end = entry.offset_bytes, entry.offset_bytes + entry.size_bytes
        found.append((start, min(end, start + _MARGIN_BYTES)))
        found.append((max(start, end - _MARGIN_BYTES), end))
    return merged(found)


def block_map(image: BinaryIO, table: PartitionTable) -> BlockMap:
    """The block map of the raw `image`, whose table is `table`; pure but for reading it."""
    size = image.seek(0, os.SEEK_END)
    extents = in_whole_blocks(bytes_to_write(image, table), BLOCK_BYTES, size)
    ranges = tuple(
        MappedRange(start // BLOCK_BYTES, (end - 1) // BLOCK_BYTES, _sha256(image, start, end))
        for start, end in extents
    )
    return BlockMap(size, BLOCK_BYTES, ranges)


def wrong_ranges(image: BinaryIO, found: BlockMap) -> Iterator[Extent]:
    """The ranges of `found` whose checksum is not that of what is in `image`."""
    for one in found.ranges:
        start, end = found.extent(one)
        if _sha256(image, start, end) != one.sha256:
            yield start, end


def not_mapped(image: BinaryIO, table: PartitionTable, found: BlockMap) -> Sequence[Extent]:
    """What of `bytes_in_use` the map `found` leaves out."""
    return list(outside(bytes_in_use(image, table), found.extents))


def filesystems_in_use(image: BinaryIO, table: PartitionTable) -> list[Extent]:
    """What of `image` the filesystems use that are known, and nothing else."""
    return merged(
        (entry.offset_bytes + start, entry.offset_bytes + end)
        for entry in table.partitions
        for start, end in _filesystem_in_use(image, entry) or ()
    )


def _filesystem_in_use(image: BinaryIO, entry: PartitionEntry) -> list[Extent] | None:
    """What is in use of a partition, counted from its start; None when that is not known."""
    for reader in (fat_in_use, ext4_in_use):
        known = reader(image, entry.offset_bytes, entry.size_bytes)
        if known is not None:
            return known
    return None


def _partition_in_use(image: BinaryIO, entry: PartitionEntry) -> list[Extent]:
    """What is in use of a partition, counted from its start; all when that is not known."""
    known = _filesystem_in_use(image, entry)
    if known is not None:
        return known
    if read_at(image, entry.offset_bytes, _PAGE_BYTES).endswith(_SWAP):
        return [(0, min(_PAGE_BYTES, entry.size_bytes))]
    return [(0, entry.size_bytes)]


def _is_used(image: BinaryIO, start: int, end: int) -> bool:
    """Whether anything between `start` and `end` is not zero."""
    zeros = bytes(_COPY_BYTES)
    for at in range(start, end, _COPY_BYTES):
        piece = read_at(image, at, min(_COPY_BYTES, end - at))
        if piece != zeros[: len(piece)]:
            return True
    return False


def _sha256(image: BinaryIO, start: int, end: int) -> str:
    running = hashlib.sha256()
    for at in range(start, end, _COPY_BYTES):
        piece = read_at(image, at, min(_COPY_BYTES, end - at))
        if not piece:
            raise LayoutError("the image is shorter than its block map", code="TRUNCATED")
        running.update(piece)
    return running.hexdigest()
