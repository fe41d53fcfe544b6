"""Which bytes of an ext2, ext3 or ext4 filesystem are in use, by its block bitmaps.

Layout (Linux, Documentation/filesystems/ext4; little endian). Superblock at byte 1024: 0x14 first
block, 0x18 block size, 0x20 blocks of a group, 0x28 inodes of a group, 0xCE reserved descriptor
blocks, 0xFE size of a descriptor. Descriptor: block bitmap 0x0 and 0x20, inode bitmap 0x4 and 0x24,
inode table 0x8 and 0x28, flags 0x12 (2: the block bitmap was never written).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from voidimg.formats.ext4 import Ext4Volume, has_superblock, read_ext4
from voidimg.formats.extents import Extent, merged, runs
from voidimg.formats.reading import read_at

_ABSENT_BITMAP = 0x2
_MOST_GROUPS = 2**20
_COMPAT, _INCOMPAT, _RO_COMPAT = 0x5C, 0x60, 0x64
_SPARSE_SUPER2 = 0x200
_JOURNAL_DEVICE, _META_BG, _64BIT = 0x8, 0x10, 0x80
_SPARSE_SUPER, _GDT_CSUM, _BIGALLOC, _METADATA_CSUM = 0x1, 0x10, 0x200, 0x400


def ext4_in_use(image: BinaryIO, offset_bytes: int, size_bytes: int) -> list[Extent] | None:
    """The bytes in use, counted from the start of the filesystem at `offset_bytes` of `image`.

    All that the bitmaps say, superblocks, descriptors and the reserved ones, bitmaps, and whole
    inode tables. None when there is no such filesystem, or one whose bitmaps cannot be relied on:
    it is not clean, or of a form that is not read here.
    """
    volume = read_ext4(image, offset_bytes)
    if volume is None or not volume.clean:
        return None
    found = _Layout.read(image, offset_bytes, volume)
    if found is None or volume.blocks * volume.block_bytes > size_bytes:
        return None
    extents: list[Extent] = [(0, (found.first_block + 1) * found.block_bytes)]
    for first, behind in _blocks(image, offset_bytes, found):
        if not 0 <= first <= behind <= found.blocks:
            return None
        extents.append((first * found.block_bytes, behind * found.block_bytes))
    return merged(extents)


@dataclass(frozen=True, slots=True)
class _Layout:
    blocks: int
    block_bytes: int
    first_block: int
    per_group: int
    inode_table_blocks: int
    descriptor_bytes: int
    reserved: int
    sparse: bool
    absent_bitmaps: bool

    @property
    def groups(self) -> int:
        return -(-(self.blocks - self.first_block) // self.per_group)

    @classmethod
    def read(cls, image: BinaryIO, offset: int, volume: Ext4Volume) -> _Layout | None:
        """The layout, or None when it cannot be or is not read here."""
        block = read_at(image, offset + 1024, 1024)
        compat, incompat, ro_compat = (
            struct.unpack_from("<I", block, at)[0] for at in (_COMPAT, _INCOMPAT, _RO_COMPAT)
        )
        if compat & _SPARSE_SUPER2 or incompat & (_META_BG | _JOURNAL_DEVICE):
            return None
        if ro_compat & _BIGALLOC or struct.unpack_from("<I", block, 0x18)[0] > 6:
            return None
        (first_block,) = struct.unpack_from("<I", block, 0x14)
        (per_group,) = struct.unpack_from("<I", block, 0x20)
        (inodes_per_group,) = struct.unpack_from("<I", block, 0x28)
        revision = struct.unpack_from("<I", block, 0x4C)[0]
        inode_bytes = struct.unpack_from("<H", block, 0x58)[0] if revision else 128
        descriptor_bytes = struct.unpack_from("<H", block, 0xFE)[0] if incompat & _64BIT else 32
        if not (
            0 < per_group <= 8 * volume.block_bytes
            and per_group % 8 == 0
            and first_block == (1 if volume.block_bytes == 1024 else 0)
            and volume.blocks > first_block
            and 128 <= inode_bytes <= volume.block_bytes
            and descriptor_bytes in (32, 64, 128)
            and 0 < inodes_per_group <= 8 * volume.block_bytes
        ):
            return None
        found = cls(
            blocks=volume.blocks,
            block_bytes=volume.block_bytes,
            first_block=first_block,
            per_group=per_group,
            inode_table_blocks=-(-inodes_per_group * inode_bytes // volume.block_bytes),
            descriptor_bytes=descriptor_bytes,
            reserved=volume.reserved_gdt_blocks,
            sparse=bool(ro_compat & _SPARSE_SUPER),
            absent_bitmaps=bool(ro_compat & (_GDT_CSUM | _METADATA_CSUM)),
        )
        return found if found.groups <= _MOST_GROUPS else None


def _blocks(image: BinaryIO, offset: int, layout: _Layout) -> Iterator[Extent]:
    """Ranges of blocks in use, of all groups."""
    table = read_at(
        image,
        offset + (layout.first_block + 1) * layout.block_bytes,
        layout.groups * layout.descriptor_bytes,
    )
    if len(table) < layout.groups * layout.descriptor_bytes:
        yield -1, -1  # it ends within its descriptors
        return
    descriptors = -(-len(table) // layout.block_bytes)
    for group in range(layout.groups):
        first = layout.first_block + group * layout.per_group
        behind = min(layout.blocks, first + layout.per_group)
        if not layout.sparse or has_superblock(group):
            yield first, min(behind, first + 1 + descriptors + layout.reserved)
        one = table[group * layout.descriptor_bytes :][: layout.descriptor_bytes]
        block_bitmap, inode_bitmap, inodes = _places(one)
        yield block_bitmap, block_bitmap + 1
        yield inode_bitmap, inode_bitmap + 1
        yield inodes, inodes + layout.inode_table_blocks
        flags = struct.unpack_from("<H", one, 0x12)[0] if layout.absent_bitmaps else 0
        if flags & _ABSENT_BITMAP:
            continue  # nothing but what was said above is in use
        bitmap = read_at(image, offset + block_bitmap * layout.block_bytes, layout.block_bytes)
        if len(bitmap) < layout.block_bytes:
            yield -1, -1
            return
        for start, end in runs(_bits(bitmap, behind - first)):
            yield first + start, first + end


def _places(descriptor: bytes) -> tuple[int, int, int]:
    """The blocks of block bitmap, inode bitmap and inode table."""
    low = struct.unpack_from("<III", descriptor)
    high = struct.unpack_from("<III", descriptor, 0x20) if len(descriptor) >= 64 else (0, 0, 0)
    block_bitmap, inode_bitmap, inodes = (a | b << 32 for a, b in zip(low, high, strict=True))
    return block_bitmap, inode_bitmap, inodes


def _bits(bitmap: bytes, count: int) -> Iterator[int]:
    """The numbers of the bits that are set, of the first `count`."""
    for index in range(-(-count // 8)):
        byte = bitmap[index]
        if not byte:
            continue
        for bit in range(8):
            if byte >> bit & 1 and index * 8 + bit < count:
                yield index * 8 + bit
