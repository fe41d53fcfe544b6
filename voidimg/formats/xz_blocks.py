"""Assembles one standard .xz stream out of blocks that were compressed on their own.

The .xz file format 1.1.0: stream header (12 bytes), blocks, index (for each block its unpadded and
uncompressed size), footer (12 bytes). liblzma as Python offers it makes whole streams only, so a
block is compressed as a stream of one block and taken out of it. Its header is written anew with
both sizes in it, which lets `xz -T` decompress with many threads too.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

_FLAGS = bytes((0, lzma.CHECK_CRC64))
_CHECK_BYTES = 8
_ONE_FILTER_BOTH_SIZES = 0xC0
_DICTIONARY_BITS = (18, 20, 21, 22, 22, 23, 23, 24, 25, 26)
"""Of each preset level, as liblzma defines them."""

STREAM_HEADER = b"\xfd7zXZ\0" + _FLAGS + struct.pack("<I", zlib.crc32(_FLAGS))


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """What the index says of one block; `unpadded_bytes` counts header, content and check."""

    unpadded_bytes: int
    content_bytes: int


def compress_block(content: bytes, level: int, block_bytes: int) -> bytes:
    """`content` as one .xz block, padded to a multiple of four bytes.

    The dictionary is never larger than `block_bytes`: there is nothing further back to refer to,
    and the memory that compressing and decompressing take follows from it.
    """
    dictionary_bytes = min(2 ** _DICTIONARY_BITS[level], block_bytes)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": level, "dict_size": dictionary_bytes}]
    stream = lzma.compress(content, lzma.FORMAT_XZ, lzma.CHECK_CRC64, filters=filters)
    index_bytes = (struct.unpack_from("<I", stream, len(stream) - 8)[0] + 1) * 4
    index_at = len(stream) - len(STREAM_HEADER) - index_bytes
    unpadded_bytes, _ = _read_number(stream, index_at + 2)  # after the indicator and the count 1
    block = stream[len(STREAM_HEADER) : index_at]
    old_header_bytes = (block[0] + 1) * 4
    filter_flags = block[2:5]  # filter number, length of its properties, coded dictionary size
    packed_bytes = unpadded_bytes - old_header_bytes - _CHECK_BYTES
    return _block_header(packed_bytes, len(content), filter_flags) + block[old_header_bytes:]


def record_of(block: bytes) -> IndexRecord:
    """The index record of a block that `compress_block` made."""
    packed_bytes, at = _read_number(block, 2)
    content_bytes, _ = _read_number(block, at)
    return IndexRecord((block[0] + 1) * 4 + packed_bytes + _CHECK_BYTES, content_bytes)


def stream_end(records: Iterable[IndexRecord]) -> bytes:
    """Index and footer of the stream that has these blocks."""
    listed = tuple(records)
    index = b"\0" + _number(len(listed))
    index += b"".join(_number(r.unpadded_bytes) + _number(r.content_bytes) for r in listed)
    index = _padded(index)
    index += struct.pack("<I", zlib.crc32(index))
    backward = struct.pack("<I", len(index) // 4 - 1) + _FLAGS
    return index + struct.pack("<I", zlib.crc32(backward)) + backward + b"YZ"


def _block_header(packed_bytes: int, content_bytes: int, filter_flags: bytes) -> bytes:
    fields = _number(packed_bytes) + _number(content_bytes) + filter_flags
    body = _padded(bytes((0, _ONE_FILTER_BOTH_SIZES)) + fields)
    body = bytes(((len(body) + 4) // 4 - 1,)) + body[1:]
    return body + struct.pack("<I", zlib.crc32(body))


def _padded(field: bytes) -> bytes:
    return field + bytes(-len(field) % 4)


def _number(value: int) -> bytes:
    """`value` in the format's multibyte form: seven bits a byte, least significant first."""
    coded = bytearray()
    while value >= 0x80:
        coded.append(value & 0x7F | 0x80)
        value >>= 7
    coded.append(value)
    return bytes(coded)


def _read_number(source: bytes, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and where it ends."""
    value = shift = 0
    while True:
        byte = source[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
