"""Reads what FAT and ext4 filesystems say of themselves, natively: a few hundred bytes each.

FAT: the BIOS parameter block of sector 0 (Microsoft FAT specification 1.03). ext4: the superblock,
1024 bytes at byte 1024 (kernel documentation, "ext4 data structures").
"""

from __future__ import annotations

import struct
import uuid
from array import array
from dataclasses import dataclass
from typing import BinaryIO, Literal

from voidimg.formats.partition_table import SECTOR_BYTES

EXT4_MAGIC = 0xEF53
_FAT12_BYTES = 8192
"""More than the table of a FAT12 volume takes: 4086 entries of 12 bits."""
_PIECE_BYTES = 2**20
_EXT4_FEATURES = {
    0x5C: {  # s_feature_compat
        0x4: "has_journal",
        0x8: "ext_attr",
        0x10: "resize_inode",
        0x20: "dir_index",
        0x200: "sparse_super2",
        0x1000: "orphan_file",
    },
    0x60: {  # s_feature_incompat
        0x2: "filetype",
        0x4: "needs_recovery",
        0x10: "meta_bg",
        0x40: "extent",
        0x80: "64bit",
        0x200: "flex_bg",
        0x2000: "metadata_csum_seed",
        0x8000: "inline_data",
        0x10000: "encrypt",
        0x20000: "casefold",
    },
    0x64: {  # s_feature_ro_compat
        0x1: "sparse_super",
        0x2: "large_file",
        0x8: "huge_file",
        0x10: "uninit_bg",
        0x20: "dir_nlink",
        0x40: "extra_isize",
        0x100: "quota",
        0x400: "metadata_csum",
    },
}


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


@dataclass(frozen=True, slots=True)
class Ext4Volume:
    """An ext2, ext3 or ext4 filesystem, by its superblock."""

    uuid: str
    label: str
    block_bytes: int
    blocks: int
    free_blocks: int
    inodes: int
    free_inodes: int
    reserved_blocks: int
    reserved_gdt_blocks: int
    clean: bool
    features: tuple[str, ...]

    @property
    def journal(self) -> bool:
        """Whether it has a journal."""
        return "has_journal" in self.features

    @property
    def free_bytes(self) -> int:
        """Room left, what is reserved for root included."""
        return self.free_blocks * self.block_bytes

    @property
    def growth_limit_bytes(self) -> int:
        """Up to what size the kernel can grow it while mounted, by its reserved descriptors."""
        descriptor_bytes = 64 if "64bit" in self.features else 32
        per_block = self.block_bytes // descriptor_bytes
        group_bytes = 8 * self.block_bytes * self.block_bytes
        groups = -(-self.blocks * self.block_bytes // group_bytes)
        used = -(-groups // per_block)
        return (used + self.reserved_gdt_blocks) * per_block * group_bytes


def _at(image: BinaryIO, offset: int, length: int) -> bytes:
    image.seek(offset)
    return image.read(length)


def read_fat(image: BinaryIO, offset_bytes: int, size_bytes: int) -> FatVolume | None:
    """The FAT filesystem at `offset_bytes`, or None when there is none of sane geometry."""
    boot = _at(image, offset_bytes, SECTOR_BYTES)
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
    if clusters < 4085:
        return 12
    return 16 if clusters < 65525 else 32


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
        return _free_in_fat12(_at(image, table_bytes, min(size_bytes, _FAT12_BYTES)), clusters)
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


def read_ext4(image: BinaryIO, offset_bytes: int) -> Ext4Volume | None:
    """The ext2/3/4 filesystem at `offset_bytes`, or None when there is none."""
    block = _at(image, offset_bytes + 1024, 1024)
    if len(block) < 1024 or struct.unpack_from("<H", block, 0x38)[0] != EXT4_MAGIC:
        return None
    inodes, blocks, reserved, free_blocks, free_inodes = struct.unpack_from("<5I", block, 0)
    features = tuple(
        name
        for at, names in _EXT4_FEATURES.items()
        for bit, name in names.items()
        if struct.unpack_from("<I", block, at)[0] & bit
    )
    if "64bit" in features:
        blocks |= struct.unpack_from("<I", block, 0x150)[0] << 32
        reserved |= struct.unpack_from("<I", block, 0x154)[0] << 32
        free_blocks |= struct.unpack_from("<I", block, 0x158)[0] << 32
    state = struct.unpack_from("<H", block, 0x3A)[0]
    return Ext4Volume(
        uuid=str(uuid.UUID(bytes=block[0x68:0x78])),
        label=block[0x78:0x88].rstrip(b"\0").decode("utf-8", "replace"),
        block_bytes=1024 << min(struct.unpack_from("<I", block, 0x18)[0], 6),
        blocks=blocks,
        free_blocks=free_blocks,
        inodes=inodes,
        free_inodes=free_inodes,
        reserved_blocks=reserved,
        reserved_gdt_blocks=struct.unpack_from("<H", block, 0xCE)[0],
        clean=state & 3 == 1 and "needs_recovery" not in features,
        features=features,
    )
