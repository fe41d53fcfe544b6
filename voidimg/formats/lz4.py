"""LZ4 frames, decoded slowly and safely: XBPS reads them but Void has none.

The format is the "LZ4 Frame Format Description" 1.6.4 and the "LZ4 Block Format Description"::

    offset  size  field
    0       4     magic 04 22 4D 18
    4       1     FLG: version 01, independent blocks, block checksums, content size,
                  content checksum, reserved, dictionary id
    5       1     BD: maximum size of a block, 4 to 7 for 64 KiB to 4 MiB
    6       0/8   content size, little endian
    ..      1     second byte of xxHash32 of the descriptor
    then blocks: 4 bytes size (top bit: stored), the bytes, 0/4 checksum; size 0 ends
    then 0/4      xxHash32 of the content

What ``lz4 -l`` writes, the only form that kernels unpack, is older: the magic 02 21 4C 18, then
blocks of up to 8 MiB, each with its compressed size (4 bytes) before it, up to another magic or the
end.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from typing import BinaryIO

MAGIC = b"\x04\x22\x4d\x18"
LEGACY_MAGIC = b"\x02\x21\x4c\x18"
_WINDOW_BYTES = 64 * 1024
_LEGACY_BLOCK_BYTES = 8 * 2**20
_LEGACY_PACKED_BYTES = _LEGACY_BLOCK_BYTES + _LEGACY_BLOCK_BYTES // 255 + 16
"""What a block takes at most (LZ4_compressBound)."""
_BLOCK_BYTES = {4: 64 * 1024, 5: 256 * 1024, 6: 2**20, 7: 4 * 2**20}
_P1, _P2, _P3, _P4, _P5 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1
_MASK = 0xFFFFFFFF


class Lz4Error(ValueError):
    """The bytes are not a sound LZ4 frame."""


def decoded_blocks(file: BinaryIO) -> Iterator[bytes]:
    """The content of the LZ4 frames in `file`, a block at a time, each at most 8 MiB.

    Raises:
        EOFError: the last frame is not complete.
        Lz4Error: anything else is wrong.
    """
    magic = _exactly(file, 4)
    while magic:
        if magic == LEGACY_MAGIC:
            magic = yield from _legacy_frame(file)
            continue
        if magic != MAGIC:
            raise Lz4Error("no LZ4 frame where one must begin")
        yield from _frame(file)
        magic = file.read(4)


def _legacy_frame(file: BinaryIO) -> Generator[bytes, None, bytes]:
    """Its blocks; returns the magic that follows it, nothing at the end."""
    while (head := file.read(4)) and head not in (MAGIC, LEGACY_MAGIC):
        size = int.from_bytes(head, "little")
        if len(head) < 4 or size > _LEGACY_PACKED_BYTES:
            raise Lz4Error("an LZ4 block is larger than its frame allows")
        yield _decode(_exactly(file, size), b"", _LEGACY_BLOCK_BYTES)
    return head


def _frame(file: BinaryIO) -> Iterator[bytes]:
    flags, descriptor = _exactly(file, 2)
    block_bytes = _BLOCK_BYTES.get(descriptor >> 4)
    if flags >> 6 != 1 or flags & 0b11 or descriptor & 0b10001111 or block_bytes is None:
        raise Lz4Error("an LZ4 frame of an unknown kind, or one with a dictionary")
    size = _exactly(file, 8) if flags & 0b1000 else b""
    if (
        _exactly(file, 1)[0]
        != XxHash32().update(bytes((flags, descriptor)) + size).value() >> 8 & 255
    ):
        raise Lz4Error("the checksum of the LZ4 frame header does not fit")
    content = XxHash32()
    total = 0
    window = b""
    while length := int.from_bytes(_exactly(file, 4), "little"):
        if length & 0x7FFFFFFF > block_bytes:
            raise Lz4Error("an LZ4 block is larger than its frame allows")
        raw = _exactly(file, length & 0x7FFFFFFF)
        if flags & 0b10000:
            _compare(file, XxHash32().update(raw))
        block = raw if length >> 31 else _decode(raw, window, block_bytes)
        if not flags & 0b100000:
            window = (window + block)[-_WINDOW_BYTES:]
        if flags & 0b100:
            content.update(block)
        total += len(block)
        yield block
    if flags & 0b100:
        _compare(file, content)
    if size and total != int.from_bytes(size, "little"):
        raise Lz4Error("the content of the LZ4 frame has not the size it states")


def _decode(raw: bytes, window: bytes, limit: int) -> bytes:
    """One compressed block; matches may reach back into `window`."""
    out = bytearray(window)
    limit += len(window)
    position, end = 0, len(raw)
    try:
        while True:
            token = raw[position]
            literals, position = _length(raw, position + 1, token >> 4)
            if position + literals > end:
                raise Lz4Error("an LZ4 block ends within its literals")
            out += raw[position : position + literals]
            position += literals
            if position == end:
                break
            offset = raw[position] | raw[position + 1] << 8
            match, position = _length(raw, position + 2, token & 15)
            match += 4
            if not 0 < offset <= len(out) or len(out) + match > limit:
                raise Lz4Error("an LZ4 match reaches outside of the block")
            start = len(out) - offset
            # A match may overlap itself; it then repeats its first `offset` bytes.
            piece = out[start : start + match]
            out += piece if offset >= match else (piece * (match // offset + 1))[:match]
    except IndexError:
        raise Lz4Error("an LZ4 block ends too early") from None
    if len(out) > limit:
        raise Lz4Error("an LZ4 block is larger than its frame allows")
    return bytes(out[len(window) :])


def _length(raw: bytes, position: int, length: int) -> tuple[int, int]:
    """A length whose four bits were `length`, and the position after it."""
    if length == 15:
        byte = 255
        while byte == 255:
            byte = raw[position]
            length += byte
            position += 1
    return length, position


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise EOFError("an LZ4 frame ends too early")
    return data


def _compare(file: BinaryIO, checksum: XxHash32) -> None:
    if int.from_bytes(_exactly(file, 4), "little") != checksum.value():
        raise Lz4Error("a checksum of the LZ4 frame does not fit")


class XxHash32:
    """xxHash32 with seed 0, fed in pieces."""

    def __init__(self) -> None:
        self._lanes = [(_P1 + _P2) & _MASK, _P2, 0, -_P1 & _MASK]
        self._rest = b""
        self._total = 0

    def update(self, data: bytes) -> XxHash32:
        """Add `data`; returns itself."""
        self._total += len(data)
        data = self._rest + data
        whole = len(data) & ~15
        one, two, three, four = self._lanes
        for a, b, c, d in struct.iter_unpack("<4I", data[:whole]):
            one = one + a * _P2 & _MASK
            two = two + b * _P2 & _MASK
            three = three + c * _P2 & _MASK
            four = four + d * _P2 & _MASK
            one = (one << 13 | one >> 19) * _P1 & _MASK
            two = (two << 13 | two >> 19) * _P1 & _MASK
            three = (three << 13 | three >> 19) * _P1 & _MASK
            four = (four << 13 | four >> 19) * _P1 & _MASK
        self._lanes = [one, two, three, four]
        self._rest = data[whole:]
        return self

    def value(self) -> int:
        """The hash of everything so far, 32 bits."""
        if self._total >= 16:
            value = sum(
                _rotate(lane, bits) for lane, bits in zip(self._lanes, (1, 7, 12, 18), strict=True)
            )
        else:
            value = _P5
        value = value + self._total & _MASK
        words = len(self._rest) & ~3
        for (word,) in struct.iter_unpack("<I", self._rest[:words]):
            value = _rotate(value + word * _P3 & _MASK, 17) * _P4 & _MASK
        for byte in self._rest[words:]:
            value = _rotate(value + byte * _P5 & _MASK, 11) * _P1 & _MASK
        value = (value ^ value >> 15) * _P2 & _MASK
        value = (value ^ value >> 13) * _P3 & _MASK
        return value ^ value >> 16


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & _MASK
