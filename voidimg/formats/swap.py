"""Swap space: its one page of header, written and read.

Little endian (linux/swap.h, ``union swap_header``): at byte 1024 the version (1), the last page,
the number of bad pages, the UUID (16) and the label (16); ``SWAPSPACE2`` ends the first page. A
kernel looks for it at the end of a page of its own: one with pages of 16 KiB finds no header that
was made for pages of 4 KiB.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from typing import BinaryIO

from voidimg.formats.reading import read_at

PAGE_BYTES = 4096
SMALLEST_PAGES = 10
"""The least that mkswap and the kernel take."""
_MAGIC = b"SWAPSPACE2"
_HEADER = struct.Struct("<III16s16s")
_HEADER_AT = 1024
_LABEL_BYTES = 16


@dataclass(frozen=True, slots=True)
class SwapSpace:
    """A swap space of `pages` (4 KiB), the header's included."""

    pages: int
    uuid: str
    label: str


def is_label(label: str) -> bool:
    """Whether the header has room for `label`, and people can read it; empty is none."""
    return len(label.encode("utf-8", "replace")) <= _LABEL_BYTES and (
        not label or label.isprintable()
    )


def swap_header(space: SwapSpace) -> bytes:
    """The first page of `space`; all others may hold anything."""
    page = bytearray(PAGE_BYTES)
    label, own = space.label.encode("utf-8"), uuid.UUID(space.uuid).bytes
    _HEADER.pack_into(page, _HEADER_AT, 1, space.pages - 1, 0, own, label)
    page[-len(_MAGIC) :] = _MAGIC
    return bytes(page)


def read_swap(image: BinaryIO, offset_bytes: int) -> SwapSpace | None:
    """The swap space at `offset_bytes`, or None when there is none."""
    page = read_at(image, offset_bytes, PAGE_BYTES)
    if len(page) < PAGE_BYTES or not page.endswith(_MAGIC):
        return None
    version, last_page, _bad, own, label = _HEADER.unpack_from(page, _HEADER_AT)
    if version != 1:
        return None
    text = label.rstrip(b"\0").decode("utf-8", "replace")
    return SwapSpace(last_page + 1, str(uuid.UUID(bytes=own)), text)
