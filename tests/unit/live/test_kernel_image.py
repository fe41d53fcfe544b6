"""Releases and page sizes of kernels in the forms that Void ships."""

from __future__ import annotations

import gzip
import struct

import pytest
import zstandard

from tests.live_medium import RELEASE, kernel_image
from voidimg.formats.kernel_image import KernelImage, read_kernel_image

BANNER = b"\0Linux version 6.6.22_1 (void@builder) #1\0"


def arm64(page_bits: int) -> bytes:
    """The head of an arm64 Image, with its banner."""
    head = bytearray(64)
    struct.pack_into("<Q", head, 24, page_bits << 1)
    head[56:60] = b"ARM\x64"
    return bytes(head) + BANNER


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (kernel_image(), KernelImage(RELEASE, 4096)),
        (arm64(1), KernelImage("6.6.22_1", 4096)),
        (gzip.compress(arm64(2), mtime=0), KernelImage("6.6.22_1", 16384)),
        (zstandard.compress(arm64(3)), KernelImage("6.6.22_1", 65536)),
        (b"zImage" + gzip.compress(BANNER, mtime=0) + b"tail" * 99, KernelImage("6.6.22_1", None)),
        (b"", KernelImage(None, None)),
        (kernel_image()[:0x208], KernelImage(None, None)),
        (b"Linux" * 1000, KernelImage(None, None)),
        (b"\x1f\x8b\x08" * 100, KernelImage(None, None)),
    ],
)
def test_kernels_say_what_they_are(content: bytes, expected: KernelImage) -> None:
    """x86 by its header; others by the text in them, packed or not."""
    assert read_kernel_image(content) == expected
