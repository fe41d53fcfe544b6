"""Computes what an ext4 filesystem spends on itself, and so how large it must be for its files.

Blocks are of 4 KiB and inodes of 256 bytes. A group has 32768 blocks; each has two bitmaps and a
share of the inode table; groups 0, 1 and the powers of 3, 5 and 7 also have a copy of the
superblock and of the descriptors, with room kept for more descriptors, by which the filesystem can
grow while it is mounted (kernel documentation, "ext4 data structures"; mke2fs 1.47).
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from typing import BinaryIO

from voidimg.formats.contents import Contents
from voidimg.formats.reading import read_at

BLOCK_BYTES = 4096
INODE_BYTES = 256
DESCRIPTOR_BYTES = 64
BLOCKS_PER_GROUP = 8 * BLOCK_BYTES
GROWTH_LIMIT_BYTES = 2 * 2**40
"""Online growth reaches this: the largest disk that an MBR can describe."""

FIRST_INODE = 11
"""The first ten inodes are reserved; mke2fs makes lost+found the eleventh."""

_DESCRIPTORS_PER_BLOCK = BLOCK_BYTES // DESCRIPTOR_BYTES
_INODES_PER_BLOCK = BLOCK_BYTES // INODE_BYTES
_BYTES_PER_INODE = 16384
_MAX_INODES_PER_GROUP = 8 * BLOCK_BYTES
_LOST_AND_FOUND_BLOCKS = 4
_SMALLEST_LAST_GROUP = 50
"""mke2fs leaves a last group out that would not have this many blocks beside its metadata."""
_ROOM_IN_DIRECTORY_BLOCK = BLOCK_BYTES - 12
_SMALLEST_BLOCKS = 512
_LABEL_BYTES = 16


def is_label(label: str) -> bool:
    """Whether the superblock has room for `label`, and people can read it; empty is none."""
    return len(label.encode("utf-8", "replace")) <= _LABEL_BYTES and (
        not label or label.isprintable()
    )


@dataclass(frozen=True, slots=True)
class Ext4Geometry:
    """An ext4 filesystem of `blocks` (4 KiB) with `inodes`; `journal_mib` 0 means none."""

    blocks: int
    inodes: int
    journal_mib: int

    @property
    def groups(self) -> int:
        """Block groups."""
        return max(1, -(-self.blocks // BLOCKS_PER_GROUP))

    @property
    def free_blocks(self) -> int:
        """Blocks for files in the empty filesystem, what is reserved for root included."""
        own = _metadata_blocks(self.blocks, self.inodes // self.groups)
        journal = self.journal_mib * 2**20 // BLOCK_BYTES
        return self.blocks - own - 1 - _LOST_AND_FOUND_BLOCKS - journal


def geometry_of(size_bytes: int, contents_inodes: int, *, journal: bool) -> Ext4Geometry:
    """The filesystem that `size_bytes` give: an inode for 16 KiB, or a quarter over the need."""
    blocks = size_bytes // BLOCK_BYTES
    wanted = max(blocks * BLOCK_BYTES // _BYTES_PER_INODE, contents_inodes * 5 // 4 + 64)
    groups = max(1, -(-blocks // BLOCKS_PER_GROUP))
    per_group = _inodes_per_group(wanted, groups)
    rest = blocks % BLOCKS_PER_GROUP
    own = _group_metadata_blocks(groups - 1, groups, per_group)
    if groups > 1 and 0 < rest < own + _SMALLEST_LAST_GROUP:
        blocks -= rest
        groups -= 1
        per_group = _inodes_per_group(wanted, groups)
    return Ext4Geometry(blocks, per_group * groups, _journal_mib(blocks) if journal else 0)


def blocks_needed(contents: Contents) -> int:
    """The blocks that files and directories take, with some for the trees of split files."""
    files = sum(-(-size // BLOCK_BYTES) for size in contents.files)
    split = sum(1 + size // 2**29 for size in contents.files if size > 2**22)
    directories = sum(directory_blocks(names) for names in contents.directories) - 1  # "/" has one
    return files + split + directories + contents.attribute_blocks + files // 512


def directory_blocks(names: tuple[str, ...]) -> int:
    """Blocks of a directory: entries of 8 bytes and the name, rounded up to 4, never split."""
    blocks, used = 1, 24  # "." and ".."
    for name in names:
        entry_bytes = -(-(8 + len(name.encode("utf-8", "surrogateescape"))) // 4) * 4
        if used + entry_bytes > _ROOM_IN_DIRECTORY_BLOCK:
            blocks, used = blocks + 1, 0
        used += entry_bytes
    return blocks


def fits(geometry: Ext4Geometry, contents: Contents) -> bool:
    """Whether the filesystem holds `contents`."""
    return (
        geometry.blocks >= _SMALLEST_BLOCKS
        and geometry.free_blocks >= blocks_needed(contents)
        and geometry.inodes >= contents.inodes + FIRST_INODE
    )


def smallest_fitting(
    contents: Contents, *, free_bytes: int, reserved_percent: int, journal: bool, step_bytes: int
) -> int:
    """The least multiple of `step_bytes` that holds `contents` and leaves `free_bytes` to users.

    What is reserved for root (`reserved_percent`) comes on top.
    """
    needed = blocks_needed(contents) + -(-free_bytes // BLOCK_BYTES)
    size_bytes = max(step_bytes, needed * BLOCK_BYTES // step_bytes * step_bytes)
    while True:
        geometry = geometry_of(size_bytes, contents.inodes, journal=journal)
        missing = needed + geometry.blocks * reserved_percent // 100 - geometry.free_blocks
        if missing <= 0 and fits(geometry, contents):
            return size_bytes
        size_bytes += max(step_bytes, missing * BLOCK_BYTES // step_bytes * step_bytes)


def reserved_descriptor_blocks(blocks: int) -> int:
    """Blocks kept in each copy for the descriptors of a filesystem grown to the limit."""
    limit_groups = GROWTH_LIMIT_BYTES // BLOCK_BYTES // BLOCKS_PER_GROUP
    groups = -(-blocks // BLOCKS_PER_GROUP)
    present = -(-groups // _DESCRIPTORS_PER_BLOCK)
    return max(0, limit_groups // _DESCRIPTORS_PER_BLOCK - present)


def _inodes_per_group(wanted: int, groups: int) -> int:
    per_group = -(-wanted // groups)
    per_group = -(-per_group // _INODES_PER_BLOCK) * _INODES_PER_BLOCK
    return min(per_group, _MAX_INODES_PER_GROUP)


def _metadata_blocks(blocks: int, inodes_per_group: int) -> int:
    groups = -(-blocks // BLOCKS_PER_GROUP)
    own = sum(_group_metadata_blocks(group, groups, inodes_per_group) for group in range(groups))
    return own + 1  # the block through which the resize inode reaches the reserved descriptors


def _group_metadata_blocks(group: int, groups: int, inodes_per_group: int) -> int:
    blocks = 2 + inodes_per_group // _INODES_PER_BLOCK
    if has_superblock(group):
        descriptors = -(-groups // _DESCRIPTORS_PER_BLOCK)
        blocks += 1 + descriptors + reserved_descriptor_blocks(groups * BLOCKS_PER_GROUP)
    return blocks


def has_superblock(group: int) -> bool:
    """Whether `group` has a copy of superblock and descriptors, with the feature sparse_super."""
    if group <= 1:
        return True
    for base in (3, 5, 7):
        power = base
        while power < group:
            power *= base
        if power == group:
            return True
    return False


def _journal_mib(blocks: int) -> int:
    """As mke2fs chooses it by size: 4 MiB below 128 MiB, 16 below 1 GiB, 32, then 64 from 2 GiB."""
    for limit, mib in ((32768, 4), (262144, 16), (524288, 32)):
        if blocks < limit:
            return mib
    return 64


EXT4_MAGIC = 0xEF53


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


def read_ext4(image: BinaryIO, offset_bytes: int) -> Ext4Volume | None:
    """The ext2/3/4 filesystem at `offset_bytes`, or None when there is none."""
    block = read_at(image, offset_bytes + 1024, 1024)
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
