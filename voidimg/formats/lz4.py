"""LZ4 by its library, the extra ``voidimg[lz4]``: XBPS and Linux read it, Void writes none.

The frames that ``lz4`` writes are decoded by the library alone. What ``lz4 -l`` writes, the only
form that kernels unpack, is older, and the library knows its blocks only: the magic 02 21 4C 18,
then blocks of up to 8 MiB, each with its compressed size (4 bytes, little endian) before it, up to
another magic or the end (Linux: ``lib/decompress_unlz4.c``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from voidimg.errors import ToolError

if TYPE_CHECKING:
    from types import ModuleType

MAGIC = b"\x04\x22\x4d\x18"
LEGACY_MAGIC = b"\x02\x21\x4c\x18"
_BLOCK_BYTES = 8 * 2**20
_PACKED_BYTES = _BLOCK_BYTES + _BLOCK_BYTES // 255 + 16
"""What a block of the older form takes at most (LZ4_compressBound)."""


class FrameDecompressor:
    """A frame, with the interface of the standard library's incremental decompressors."""

    def __init__(self) -> None:
        self._decompressor = _library("frame").LZ4FrameDecompressor()

    @property
    def eof(self) -> bool:
        """Whether the frame has ended."""
        return bool(self._decompressor.eof)

    @property
    def needs_input(self) -> bool:
        """Whether more content needs more compressed bytes."""
        return bool(self._decompressor.needs_input)

    @property
    def unused_data(self) -> bytes:
        """What came after the end of the frame."""
        return self._decompressor.unused_data or b""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """At most `max_length` bytes of content.

        Raises:
            ValueError: the bytes are not a sound LZ4 frame.
        """
        try:
            content: bytes = self._decompressor.decompress(data, max_length)
        except RuntimeError as error:
            raise ValueError(f"LZ4: {error}") from error
        return content


def legacy_blocks(file: BinaryIO) -> Iterator[bytes]:
    """The content of `file`, which ``lz4 -l`` wrote, a block at a time, each at most 8 MiB.

    Raises:
        EOFError: the last block is not complete.
        ValueError: anything else is wrong.
        ToolError: the library is missing.
    """
    block = _library("block")
    while head := file.read(4):
        if head == LEGACY_MAGIC:
            continue
        size = int.from_bytes(head, "little")
        if len(head) < 4:
            raise EOFError("an LZ4 block ends within its size")
        if size > _PACKED_BYTES:
            raise ValueError("an LZ4 block is larger than its form allows")
        packed = file.read(size)
        if len(packed) < size:
            raise EOFError("an LZ4 block ends too early")
        try:
            yield block.decompress(packed, uncompressed_size=_BLOCK_BYTES)
        except block.LZ4BlockError as error:
            raise ValueError(f"LZ4: {error}") from error


def _library(part: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(f"lz4.{part}")
    except ImportError as error:
        raise ToolError(
            "LZ4 cannot be read here: the Python library lz4 is missing",
            code="LIBRARY",
            where="lz4",
            hint="install it with: pip install 'voidimg[lz4]'",
        ) from error
