"""Tar headers and compressed archives in the form xbps-create and xbps-rindex give them.

POSIX ustar, and a pax header only where ustar cannot express a name, size or number; the layout
of a block is in `voidimg.formats.tar_reader`. Nothing of the host goes in.
"""

from __future__ import annotations

import struct
from typing import Literal

import zstandard

BLOCK = 512
END = bytes(2 * BLOCK)
"""Two blocks of zeros end an archive."""

_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_PAX_NAME = b"./PaxHeader"


def file_header(name: str, size: int) -> bytes:
    """The header of a metadata file: mode 0644, root's, of the epoch."""
    return header(name, "0", mode=0o644, size=size)


def header(
    name: str,
    flag: Literal["0", "1", "2"],
    *,
    mode: int,
    uid: int = 0,
    gid: int = 0,
    mtime: int = 0,
    size: int = 0,
    target: str = "",
) -> bytes:
    """The header block of a member, with a pax header before it where one is needed.

    Args:
        name: path, decoded with surrogateescape.
        flag: "0" file, "1" hard link, "2" symlink.
        mode: permission bits.
        uid: owner.
        gid: group.
        mtime: seconds since 1970.
        size: bytes of content.
        target: text of the symlink, or name of the member linked to.
    """
    path, link = _encoded(name), _encoded(target)
    split = _split(path)
    records: list[tuple[str, bytes]] = []
    if split is None or not path.isascii():
        records.append(("path", path))
    if len(link) > 100 or not link.isascii():
        records.append(("linkpath", link))
    for key, number, digits in (("size", size, 11), ("uid", uid, 6), ("gid", gid, 6)):
        if number >= 8**digits:
            records.append((key, b"%d" % number))
    if not 0 <= mtime < 8**11:
        records.append(("mtime", b"%d" % mtime))
    prefix, rest = split or (b"", path[-100:])
    block = _block(rest, prefix, flag, mode, uid, gid, mtime, size, link[:100])
    if not records:
        return block
    content = b"".join(_record(key, value) for key, value in sorted(records))
    extended = _block(_PAX_NAME, b"", "x", 0o644, 0, 0, 0, len(content), b"")
    return extended + padded(content) + block


def padded(content: bytes) -> bytes:
    """`content` filled up with zeros to whole blocks."""
    return content + bytes(-len(content) % BLOCK)


def compressor(level: int) -> zstandard.ZstdCompressor:
    """The zstd compressor of packages and indexes; one thread, so one result."""
    return zstandard.ZstdCompressor(level=level, write_content_size=True, threads=0)


def compressed(data: bytes, level: int) -> bytes:
    """`data` as one zstd frame."""
    return compressor(level).compress(data)


def _block(
    name: bytes,
    prefix: bytes,
    flag: str,
    mode: int,
    uid: int,
    gid: int,
    mtime: int,
    size: int,
    link: bytes,
) -> bytes:
    block = _HEADER.pack(
        name,
        b"%06o \0" % (mode & 0o7777),
        _octal(uid, 6) + b" \0",
        _octal(gid, 6) + b" \0",
        _octal(size, 11) + b" ",
        _octal(mtime, 11) + b" ",
        b" " * 8,
        flag.encode(),
        link,
        b"ustar\x0000",
        b"root" if uid == 0 else b"",
        b"root" if gid == 0 else b"",
        b"000000 \0",
        b"000000 \0",
        prefix,
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _octal(number: int, digits: int) -> bytes:
    """`number` in octal; what does not fit stands in the pax header, and here the limit."""
    return b"%0*o" % (digits, min(max(number, 0), 8**digits - 1))


def _split(path: bytes) -> tuple[bytes, bytes] | None:
    """Prefix and name of `path` in ustar's fields; None if they do not hold it."""
    if len(path) <= 100:
        return b"", path
    slash = path.find(b"/", len(path) - 101)
    if slash <= 0 or slash > 155 or slash == len(path) - 1:
        return None
    return path[:slash], path[slash + 1 :]


def _record(key: str, value: bytes) -> bytes:
    """A pax record, whose length counts its own digits."""
    body = b" " + key.encode() + b"=" + value + b"\n"
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length += 1
    return b"%d" % length + body


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
