"""Header blocks of POSIX (pax) tar archives, with owners as numbers and extended attributes.

Archives of trees are written as GNU tar writes its fields (`GNU`), packages as libarchive does, by
which xbps-create writes them (`LIBARCHIVE`).

A block has 512 bytes (POSIX ustar): 0 name (100), 100 mode (8), 108 uid (8), 116 gid (8), 124 size
(12), 136 mtime (12), 148 checksum (8), 156 type (1), 157 link name (100), 257 magic and version
(8), 265 user name (32), 297 group name (32), 329 device major (8), 337 minor (8), 345 prefix
(155), 500 unused. What does not fit, or is not ASCII, goes into a pax header (type ``x``) before
it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

BLOCK = 512
END = bytes(2 * BLOCK)
"""Two blocks of zeros end an archive."""
FILE, HARD_LINK, SYMBOLIC_LINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0123456"
"""Type bytes of the format, as numbers."""

_SIZE_DIGITS = 11
_BLOCK = struct.Struct("<100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")


@dataclass(frozen=True, slots=True)
class Member:
    """One member; names are raw bytes, `mtime` is seconds since 1970, `mode` permission bits.

    `attributes` are extended attributes by name; GNU tar and bsdtar know them as
    ``SCHILY.xattr.<name>`` records.
    """

    name: bytes
    kind: int
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int = 0
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    attributes: Mapping[str, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a writer fills the fields of a block that POSIX leaves to it.

    Attributes:
        owner_digits: octal digits of mode, uid, gid and device numbers.
        owner_end: what ends those fields.
        size_end: what ends size and mtime.
        limit_in_field: whether a number that is in the pax header is the largest one in its field,
            else 0 is.
        pax_name: the name of a pax header, from the last part of its member's.
        dated_pax_headers: whether a pax header has its member's time, else the epoch.
    """

    owner_digits: int
    owner_end: bytes
    size_end: bytes
    limit_in_field: bool
    pax_name: Callable[[bytes], bytes]
    dated_pax_headers: bool


def _gnu_pax_name(base: bytes) -> bytes:
    return b"./PaxHeaders/" + bytes(byte if 32 < byte < 127 else 95 for byte in base[:80])


GNU = Dialect(7, b"\0", b"\0", False, _gnu_pax_name, True)
LIBARCHIVE = Dialect(6, b" \0", b" ", True, lambda _base: b"./PaxHeader", False)


def encode_member(member: Member, dialect: Dialect = GNU) -> bytes:
    """The blocks before a member's content.

    User and group are given as numbers; the name is empty, so that nobody replaces the number by
    what another system calls so, except for id 0, which is root everywhere.
    """
    prefix, name = _split(member.name)
    records = {
        f"SCHILY.xattr.{key}".encode(): value for key, value in (member.attributes or {}).items()
    }
    if name is None or not member.name.isascii():
        records[b"path"] = member.name
    if len(member.target) > 100 or not member.target.isascii():
        records[b"linkpath"] = member.target
    for key, number, digits in (
        (b"size", member.size, _SIZE_DIGITS),
        (b"uid", member.uid, dialect.owner_digits),
        (b"gid", member.gid, dialect.owner_digits),
        (b"mtime", member.mtime, _SIZE_DIGITS),
    ):
        if not 0 <= number < 8**digits:
            records[key] = b"%d" % number
    block = _block(member, prefix, member.name[:100] if name is None else name, dialect)
    if not records:
        return block
    content = _records(records)
    base = member.name.rstrip(b"/").rpartition(b"/")[2]
    time = max(0, min(member.mtime, 8**_SIZE_DIGITS - 1)) if dialect.dated_pax_headers else 0
    pax_name = dialect.pax_name(base)
    extension = Member(pax_name, ord("x"), 0o644, 0, 0, time, len(content))
    return _block(extension, b"", pax_name, dialect) + padded(content) + block


def padded(content: bytes) -> bytes:
    """`content` filled with zeros to whole blocks."""
    return content + bytes(-len(content) % BLOCK)


def end_of_archive(written: int) -> bytes:
    """Two empty blocks and filling, so that the archive of `written` bytes ends on 10 KiB."""
    return bytes(2 * BLOCK + -(written + 2 * BLOCK) % 10240)


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """`name` as prefix and name of ustar; None when it does not fit into these fields."""
    if len(name) <= 100:
        return b"", name
    cut = name.find(b"/", max(1, len(name) - 101))
    if 0 < cut <= 155 and cut < len(name) - 1:
        return name[:cut], name[cut + 1 :]
    return b"", None


def _block(member: Member, prefix: bytes, name: bytes, dialect: Dialect) -> bytes:
    def owner(number: int) -> bytes:
        return _octal(number, dialect.owner_digits, dialect) + dialect.owner_end

    def size(number: int) -> bytes:
        return _octal(number, _SIZE_DIGITS, dialect) + dialect.size_end

    raw = _BLOCK.pack(
        name,
        owner(member.mode & 0o7777),
        owner(member.uid),
        owner(member.gid),
        size(member.size),
        size(member.mtime),
        b"        ",
        bytes((member.kind,)),
        member.target[:100],
        b"ustar\x0000",
        b"root" if member.uid == 0 else b"",
        b"root" if member.gid == 0 else b"",
        owner(member.device[0]),
        owner(member.device[1]),
        prefix,
    )
    return raw[:148] + b"%06o\0 " % sum(raw) + raw[156:]


def _octal(number: int, digits: int, dialect: Dialect) -> bytes:
    # A number that does not fit is in the pax header; readers ignore the field then.
    limit = 8**digits - 1
    if dialect.limit_in_field:
        number = min(max(number, 0), limit)
    return b"%0*o" % (digits, number if 0 <= number <= limit else 0)


def _records(records: Mapping[bytes, bytes]) -> bytes:
    """Pax records: length (with its own digits), space, key, ``=``, value, newline; by key.

    A value that is no UTF-8, which names need not be, is announced as binary.
    """
    parts = []
    names = (records.get(b"path", b""), records.get(b"linkpath", b""))
    if any(not _is_utf8(name) for name in names):
        parts.append((b"hdrcharset", b"BINARY"))
    parts += sorted(records.items())
    encoded = []
    for key, value in parts:
        rest = b" %s=%s\n" % (key, value)
        length = len(rest) + len(b"%d" % len(rest))
        length = len(rest) + len(b"%d" % length)
        encoded.append(b"%d%s" % (length, rest))
    return b"".join(encoded)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
