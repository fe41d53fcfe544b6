"""Header blocks of POSIX (pax) tar archives, with owners as numbers and extended attributes.

A block has 512 bytes (POSIX ustar): 0 name (100), 100 mode (8), 108 uid (8), 116 gid (8), 124 size
(12), 136 mtime (12), 148 checksum (8), 156 type (1), 157 link name (100), 257 magic and version
(8), 265 user name (32), 297 group name (32), 329 device major (8), 337 minor (8), 345 prefix
(155), 500 unused. What does not fit, or is not ASCII, goes into a pax header (type ``x``) before
it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

BLOCK = 512
FILE, HARD_LINK, SYMBOLIC_LINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0123456"
"""Type bytes of the format, as numbers."""

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


def encode_member(member: Member) -> bytes:
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
        (b"size", member.size, 11),
        (b"uid", member.uid, 7),
        (b"gid", member.gid, 7),
        (b"mtime", member.mtime, 11),
    ):
        if not 0 <= number < 8**digits:
            records[key] = b"%d" % number
    block = _block(member, prefix, member.name[:100] if name is None else name)
    if not records:
        return block
    content = _records(records)
    base = member.name.rstrip(b"/").rpartition(b"/")[2]
    extension = Member(
        b"./PaxHeaders/" + bytes(byte if 32 < byte < 127 else 95 for byte in base[:80]),
        ord("x"),
        0o644,
        0,
        0,
        max(0, min(member.mtime, 8**11 - 1)),
        len(content),
    )
    return _block(extension, b"", extension.name) + padded(content) + block


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


def _block(member: Member, prefix: bytes, name: bytes) -> bytes:
    raw = _BLOCK.pack(
        name,
        b"%07o\0" % member.mode,
        _octal(member.uid, 7),
        _octal(member.gid, 7),
        _octal(member.size, 11),
        _octal(member.mtime, 11),
        b"        ",
        bytes((member.kind,)),
        member.target[:100],
        b"ustar\x0000",
        b"root" if member.uid == 0 else b"",
        b"root" if member.gid == 0 else b"",
        b"%07o\0" % member.device[0],
        b"%07o\0" % member.device[1],
        prefix,
    )
    return raw[:148] + b"%06o\0 " % sum(raw) + raw[156:]


def _octal(number: int, digits: int) -> bytes:
    # A number that does not fit is in the pax header; readers ignore the field then.
    return b"%0*o\0" % (digits, number if 0 <= number < 8**digits else 0)


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
