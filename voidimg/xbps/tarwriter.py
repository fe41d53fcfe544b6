"""Tar headers and compressed archives in the form xbps-create and xbps-rindex give them.

Nothing of the host goes in.
"""

from __future__ import annotations

from typing import Literal

import zstandard

from voidimg.formats.tar_writer import BLOCK, END, LIBARCHIVE, Member, encode_member, padded

__all__ = ["BLOCK", "END", "compressed", "compressor", "file_header", "header", "padded"]


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
    member = Member(
        name=_encoded(name),
        kind=ord(flag),
        mode=mode,
        uid=uid,
        gid=gid,
        mtime=mtime,
        size=size,
        target=_encoded(target),
    )
    return encode_member(member, LIBARCHIVE)


def compressor(level: int) -> zstandard.ZstdCompressor:
    """The zstd compressor of packages and indexes; one thread, so one result."""
    return zstandard.ZstdCompressor(level=level, write_content_size=True, threads=0)


def compressed(data: bytes, level: int) -> bytes:
    """`data` as one zstd frame."""
    return compressor(level).compress(data)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
