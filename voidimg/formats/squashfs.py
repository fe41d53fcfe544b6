"""The superblock of a squashfs: what one says of itself."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voidimg.errors import LayoutError, storing
from voidimg.foreign import open_regular

Compressor = Literal["gzip", "lzo", "xz", "lz4", "zstd"]
_COMPRESSORS: Mapping[int, Compressor] = {1: "gzip", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}
_MAGIC = b"hsqs"
MIN_BLOCK_BYTES, MAX_BLOCK_BYTES = 4096, 2**20


@dataclass(frozen=True, slots=True)
class Squashfs:
    """What a squashfs says of itself; `bytes_used` is its size without padding."""

    compressor: Compressor
    block_bytes: int
    inodes: int
    epoch: int
    bytes_used: int


def read_squashfs(path: Path, offset_bytes: int = 0, size_bytes: int | None = None) -> Squashfs:
    """The superblock of the squashfs in `path` at `offset_bytes` (format 4.0, little endian).

    It has room for `size_bytes`, by default up to the end of the file.

    Magic ``hsqs``, inodes (u32 at 4), time (u32 at 8), block size (u32 at 12), compressor (u16 at
    20), version (two u16 at 28), bytes used (u64 at 40).

    Raises:
        LayoutError: it is not a squashfs 4.0, or shorter than it says.
        StoreError: it cannot be read.
    """
    with storing(path, "read"), open_regular(path, block_device=True) as file:
        file.seek(offset_bytes)
        head = file.read(96)
        size = file.seek(0, 2) - offset_bytes if size_bytes is None else size_bytes
    if len(head) < 96 or not head.startswith(_MAGIC) or head[28:32] != b"\4\0\0\0":
        raise _damaged(path, "it is not a squashfs 4.0")
    inodes, epoch, block_bytes, _, kind = struct.unpack_from("<4IH", head, 4)
    (bytes_used,) = struct.unpack_from("<Q", head, 40)
    if kind not in _COMPRESSORS:
        raise _damaged(path, f"its compressor has the unknown number {kind}")
    if bytes_used > size:
        raise _damaged(path, f"it has {size} bytes of {bytes_used}")
    return Squashfs(_COMPRESSORS[kind], block_bytes, inodes, epoch, bytes_used)


def _damaged(path: Path, why: str) -> LayoutError:
    return LayoutError(
        f"{path} is not a sound squashfs: {why}", code="SQUASHFS-DAMAGED", where=str(path),
        hint="the file may not be complete: build it again",
    )  # fmt: skip
