"""A tar of one sparse file in the old form of GNU tar, as the import of Google Cloud asks for it.

The header is that of old GNU tar (magic ``ustar``, two blanks, NUL; type ``S``): size is that of
what is stored, 386 has four pairs of offset and length (12 bytes each), 482 says whether more
follow, 483 has the real size (12). Then come blocks of 21 pairs each, which at 504 say whether more
follow, then the stored pieces one behind the other (GNU tar manual, "Old GNU Format").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from voidimg.errors import LayoutError

BLOCK_BYTES = 512
Segment = tuple[int, int]
"""Offset and length of a piece that is stored, in bytes."""

_MAGIC = b"ustar  \0"
_PAIR = 24
_IN_HEADER = 4
_IN_BLOCK = 21
_MAX_SEGMENTS = 2**20
_MAX_BYTES = 2**46


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def encode_header(name: str, size: int, segments: Sequence[Segment], epoch: int) -> bytes:
    """The blocks before the stored pieces of the file `name`, which has `size` bytes in all.

    It is root's, has mode 0644 and the time `epoch`. `segments` are in order and in whole blocks,
    the last one may end with the file.
    """
    pairs = list(segments)
    if not pairs or sum(pairs[-1]) < size:
        pairs.append((size, 0))  # the file ends in a hole
    stored = sum(length for _, length in pairs)
    encoded = [_number(offset, 12) + _number(length, 12) for offset, length in pairs]
    first, rest = encoded[:_IN_HEADER], encoded[_IN_HEADER:]
    block = bytearray(BLOCK_BYTES)
    for at, field in (
        (0, name.encode()),
        (100, b"0000644\0"),
        (108, b"0000000\0"),
        (116, b"0000000\0"),
        (124, _number(stored, 12)),
        (136, _number(epoch, 12)),
        (148, b"        "),
        (156, b"S"),
        (257, _MAGIC),
        (265, b"root"),
        (297, b"root"),
        (386, b"".join(first)),
        (482, bytes([bool(rest)])),
        (483, _number(size, 12)),
    ):
        block[at : at + len(field)] = field
    block[148:156] = b"%06o\0 " % sum(block)
    blocks = [bytes(block)]
    for at in range(0, len(rest), _IN_BLOCK):
        piece = b"".join(rest[at : at + _IN_BLOCK]).ljust(_IN_BLOCK * _PAIR, b"\0")
        more = at + _IN_BLOCK < len(rest)
        blocks.append((piece + bytes([more])).ljust(BLOCK_BYTES, b"\0"))
    return b"".join(blocks)


def _number(number: int, size: int) -> bytes:
    """`number` in octal digits and NUL; in base 256 where they do not suffice, as GNU tar does."""
    if number < 8 ** (size - 1):
        return b"%0*o\0" % (size - 1, number)
    return b"\x80" + number.to_bytes(size - 1, "big")


@dataclass(frozen=True, slots=True)
class TarredFile:
    """The first file of a tar: its name and size, and what of it is stored, in this order."""

    name: str
    size: int
    segments: tuple[Segment, ...]


def read_header(stream: _Readable, where: str) -> TarredFile:
    """The first file of the tar `stream`, which is then at the first byte that is stored of it.

    Sparse files are read in the old form only, and others as they are.

    Raises:
        LayoutError: it is no such tar, or damaged.
    """
    block = _exactly(stream, BLOCK_BYTES, where)
    checksum = sum(block[:148]) + 8 * 32 + sum(block[156:])
    if block[257:262] != b"ustar" or _parsed(block[148:156], where) != checksum:
        raise _damaged("its first header is none of a tar", where)
    name = block[:100].partition(b"\0")[0].decode("utf-8", "surrogateescape")
    stored = _parsed(block[124:136], where)
    if block[156:157] in (b"0", b"\0"):
        return TarredFile(name, stored, ((0, stored),))
    if block[156:157] != b"S":
        raise _damaged("its first member is no file in a form that is read here", where)
    size = _parsed(block[483:495], where)
    pairs = block[386 : 386 + _IN_HEADER * _PAIR]
    more = block[482]
    while more:
        block = _exactly(stream, BLOCK_BYTES, where)
        pairs += block[: _IN_BLOCK * _PAIR]
        more = block[_IN_BLOCK * _PAIR]
        if len(pairs) > _MAX_SEGMENTS * _PAIR:
            raise _damaged("it has more pieces than are read", where)
    segments = tuple(_segments(pairs, where))
    _check(segments, size, stored, where)
    return TarredFile(name, size, segments)


def _segments(pairs: bytes, where: str) -> Iterator[Segment]:
    for at in range(0, len(pairs), _PAIR):
        if not pairs[at]:
            return
        offset = _parsed(pairs[at : at + 12], where)
        length = _parsed(pairs[at + 12 : at + 24], where)
        if length:
            yield offset, length


def _check(segments: Sequence[Segment], size: int, stored: int, where: str) -> None:
    end = 0
    for offset, length in segments:
        if offset < end:
            raise _damaged("its pieces overlap", where)
        end = offset + length
    if end > size or size > _MAX_BYTES or sum(length for _, length in segments) != stored:
        raise _damaged("its pieces do not fit its size", where)


def _parsed(field: bytes, where: str) -> int:
    if field[0] & 0x80:
        return int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
    digits = field.strip(b" \0") or b"0"
    if not all(48 <= digit <= 55 for digit in digits):
        raise _damaged("a number in it is none", where)
    return int(digits, 8)


def _exactly(stream: _Readable, size: int, where: str) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise _damaged("it ends within a header", where)
    return content


def _damaged(what: str, where: str) -> LayoutError:
    return LayoutError(
        f"the tar cannot be read: {what}",
        code="SPARSE-TAR",
        where=where,
        hint="it is damaged or of another form; get it again, or unpack it with GNU tar",
    )
