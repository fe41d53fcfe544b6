r"""Reads the release and the page size out of the image of a kernel. Pure.

x86 (kernel documentation, "The Linux/x86 Boot Protocol"): ``HdrS`` at 0x202, and at 0x20e (u16)
where the version is, counted from 0x200. arm64 ("Booting AArch64 Linux"): ``ARM\x64`` at 56,
flags (u64 at 24) with the page size in bits 1 and 2. Both arm64 and what 32-bit images unpack to
hold the text ``Linux version <release> ``; they may be compressed, alone or behind an unpacker.
"""

from __future__ import annotations

import lzma
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import zstandard

_MAX_BYTES = 256 * 2**20
_BANNER = re.compile(rb"Linux version ([\x21-\x7e]{1,64}) ")
_GZIP, _XZ, _ZSTD = b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"
_MAGICS = (_GZIP, _XZ, _ZSTD)
_XZ_MEMORY_BYTES = 256 * 2**20
_WINDOW_BYTES = 128 * 2**20
_MAX_TRIES = 16
_PAGE_BYTES = {1: 4096, 2: 16384, 3: 65536}


@dataclass(frozen=True, slots=True)
class KernelImage:
    """What a kernel says of itself: release as in ``uname -r``, page size; None is unknown."""

    release: str | None
    page_bytes: int | None


def read_kernel_image(content: bytes) -> KernelImage:
    """The release and page size of the kernel whose image is `content`; never raises."""
    if content[0x202:0x206] == b"HdrS" and len(content) >= 0x210:
        return KernelImage(_x86_release(content), 4096)
    plain = _unpacked(content) if content.startswith(_MAGICS) else content
    release = _banner(plain)
    if release is None:
        release = next(filter(None, map(_banner, _packed_inside(content))), None)
    return KernelImage(release, _page_bytes(plain))


def _x86_release(content: bytes) -> str | None:
    (at,) = struct.unpack_from("<H", content, 0x20E)
    if not at:
        return None
    text = content[0x200 + at : 0x200 + at + 256].partition(b"\0")[0]
    return text.decode("ascii", "replace").partition(" ")[0] or None


def _banner(content: bytes) -> str | None:
    match = _BANNER.search(content)
    return None if match is None else match[1].decode("ascii")


def _page_bytes(content: bytes) -> int | None:
    if content[56:60] != b"ARM\x64":
        return None
    (flags,) = struct.unpack_from("<Q", content, 24)
    return _PAGE_BYTES.get(flags >> 1 & 3)


def _packed_inside(content: bytes) -> Iterator[bytes]:
    """What unpacks from within `content`: a zImage, or an EFI program with the kernel in it."""
    places = sorted(
        {match.start() for magic in _MAGICS for match in re.finditer(re.escape(magic), content)}
    )
    return (_unpacked(content[at:]) for at in places[:_MAX_TRIES])


def _unpacked(content: bytes) -> bytes:
    """What unpacks from the beginning of `content`; what follows is no part of it."""
    try:
        if content.startswith(_GZIP):
            return zlib.decompressobj(wbits=31).decompress(content, _MAX_BYTES)
        if content.startswith(_XZ):
            unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
            return unpacker.decompress(content, _MAX_BYTES)
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
        with decompressor.stream_reader(content) as stream:
            return stream.read(_MAX_BYTES)
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError):
        return b""
