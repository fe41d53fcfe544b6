"""One gzip member (RFC 1952) whose deflate stream is made of blocks that were compressed alone.

Each block ends on a whole byte by an empty stored block (a full flush) and refers to nothing before
it, so blocks can be made side by side and kept; what comes out is one member, which every reader of
gzip takes. Some take the first of several for the whole file. The compressor is zlib-ng as its
Python package brings it: that of the host differs between hosts.
"""

from __future__ import annotations

import struct

HEADER = bytes((0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 255))
"""Deflate, no name, no time, the best compression, from no system in particular."""

_RAW = -15
_LAST_BLOCK = b"\x03\x00"
"""An empty block that says that it is the last."""


def library_version() -> str:
    """The version of the compressor: another one may give other bytes."""
    from zlib_ng import zlib_ng

    return f"zlib-ng {zlib_ng.ZLIBNG_VERSION}"


def compress_block(content: bytes, level: int) -> bytes:
    """`content` as a piece of a deflate stream that can stand behind any other."""
    from zlib_ng import zlib_ng

    packer = zlib_ng.compressobj(level, zlib_ng.DEFLATED, _RAW)
    packed: bytes = packer.compress(content) + packer.flush(zlib_ng.Z_FULL_FLUSH)
    return packed


def checksum(content: bytes | memoryview, before: int = 0) -> int:
    """The CRC-32 of `content` behind what has the CRC-32 `before`."""
    from zlib_ng import zlib_ng

    found: int = zlib_ng.crc32(content, before)
    return found


def member_end(crc: int, content_bytes: int) -> bytes:
    """What follows the last piece: the end of the stream, and what it must have given."""
    return _LAST_BLOCK + struct.pack("<II", crc, content_bytes & 0xFFFFFFFF)
