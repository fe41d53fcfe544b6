"""Initramfs images as the kernel takes them, and those that would fool or fill a reader."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable

import pytest
import zstandard

from tests.live_medium import cpio_archive
from voidimg.errors import LayoutError
from voidimg.formats import cpio
from voidimg.formats.cpio import decode_initramfs

FILES = {"/init": b"#!/bin/sh\n", "/lib": "usr/lib", "/usr/lib": None, "/usr/lib/x": b"123"}
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "xz": lzma.compress,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


def every(_path: str) -> bool:
    """Each file is wanted."""
    return True


@pytest.mark.parametrize("compression", list(COMPRESSIONS))
def test_every_compression(compression: str) -> None:
    """The kind is told by content; files, links and directories are found."""
    found = decode_initramfs(COMPRESSIONS[compression](cpio_archive(FILES)), every, "x")
    assert found.compression == compression
    assert found.contents == {"/init": b"#!/bin/sh\n", "/usr/lib/x": b"123"}
    assert found.entries["/lib"].target == "usr/lib"
    assert found.entries["/usr/lib"].kind == "directory"
    assert found.early == ()


def lz4_legacy(plain: bytes) -> bytes:
    """As ``lz4 -l`` packs it, in blocks of 8 MiB, but with nothing except literals."""
    packed = b"\x02\x21\x4c\x18"
    for start in range(0, len(plain), 8 * 2**20):
        block = plain[start : start + 8 * 2**20]
        rest, last = divmod(len(block) - 15, 255)
        sequence = b"\xf0" + b"\xff" * rest + bytes([last]) + block
        packed += len(sequence).to_bytes(4, "little") + sequence
    return packed


def test_the_form_of_lz4_that_kernels_unpack() -> None:
    """Two blocks; what is cut off, or states blocks larger than they can be, is refused."""
    packed = lz4_legacy(cpio_archive({"/large": bytes(9_000_000), **FILES}))
    found = decode_initramfs(packed, every, "x")
    assert (found.compression, found.entries["/large"].size_bytes) == ("lz4", 9_000_000)
    assert found.contents["/usr/lib/x"] == b"123"
    for broken in (packed[:-1], packed[:-600_000], packed[:4] + b"\xff\xff\xff\x7f" + packed[8:]):
        with pytest.raises(LayoutError):
            decode_initramfs(broken, every, "x")


def test_several_archives() -> None:
    """Microcode before, zeros between, and two archives in the compressed part."""
    early = cpio_archive({"/kernel/x86/microcode/AuthenticAMD.bin": b"amd"})
    inside = cpio_archive(FILES) + bytes(512) + cpio_archive({"/second": b"2"})
    found = decode_initramfs(early + bytes(100) + gzip.compress(inside), every, "x")
    assert found.early == ("/kernel/x86/microcode/AuthenticAMD.bin",)
    assert found.contents["/second"] == b"2"
    assert found.compression == "gzip"


def test_what_is_not_wanted_is_not_kept() -> None:
    """Only its size."""
    found = decode_initramfs(cpio_archive(FILES), lambda path: path == "/init", "x")
    assert list(found.contents) == ["/init"]
    assert found.entries["/usr/lib/x"].size_bytes == 3


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello" * 100,
        cpio_archive(FILES)[:200],
        cpio_archive(FILES)[:300] + b"x" * 200,
        lzma.compress(cpio_archive(FILES))[:-20],
        gzip.compress(b"no archive" * 100, mtime=0),
        cpio_archive(FILES).replace(b"0000000b", b"ffffffff"),
        cpio_archive({}),
        gzip.compress(cpio_archive(FILES) + bytes(2**20 + 8) + cpio_archive(FILES)),
    ],
)
def test_damaged_ones_are_refused(content: bytes) -> None:
    """With an error that says so, never with half of the files."""
    with pytest.raises(LayoutError) as caught:
        decode_initramfs(content, every, "x")
    assert caught.value.code == "E-LAYOUT-INITRAMFS"


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it decompresses to, what is kept of it and how many files there are."""
    bomb = gzip.compress(cpio_archive({"/zeros": bytes(2**20)}))
    with pytest.raises(LayoutError, match="decompresses to more"):
        decode_initramfs(bomb, every, "x", max_bytes=2**16)
    for name, limit in (("_MAX_KEPT_BYTES", 2**16), ("_MAX_ENTRIES", 0)):
        with monkeypatch.context() as patch:
            patch.setattr(cpio, name, limit)
            with pytest.raises(LayoutError):
                decode_initramfs(bomb, every, "x")
    assert decode_initramfs(bomb, every, "x").entries["/zeros"].size_bytes == 2**20


@pytest.mark.parametrize("as_target", [False, True])
def test_names_and_targets_have_a_bound_together(as_target: bool) -> None:
    """Half a megabyte of them packed would take gigabytes of memory."""
    long = "/".join(["d" * 250] * 15)
    files: dict[str, bytes | str | None] = {
        f"/{number}" if as_target else f"/{number}/{long}": long if as_target else b""
        for number in range(20_000)
    }
    packed = lzma.compress(cpio_archive(files), preset=0)
    with pytest.raises(LayoutError, match="names"):
        decode_initramfs(packed, lambda _path: False, "x")
