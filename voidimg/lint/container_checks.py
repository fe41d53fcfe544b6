"""Checks of what comes with a disk: its block map, the footer of a VHD, the metadata for Incus."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from voidimg.artifacts.registry import read_name
from voidimg.disk.allocation import not_mapped, wrong_ranges
from voidimg.foreign import open_regular
from voidimg.formats import vhd
from voidimg.formats.block_map import BlockMap
from voidimg.formats.reading import read_at
from voidimg.inspection.block_maps import block_map_beside, read_block_map
from voidimg.lint.model import Problem
from voidimg.lint.subject import INCUS_METADATA, DiskParts, Subject

_MAP_HINT = "a copier would leave the medium unsound: build the image again, or remove the map"
_WANTED = ("architecture", "creation_date")
"""What Incus refuses an image without (its documentation, "Image format")."""


def is_vhd(subject: Subject) -> bool:
    """Of VHD images, by their name or by what they end with."""
    if subject.disk is None:
        return False
    named = read_name(subject.artifact.path)
    if named is not None and named[0].name == "vhd":
        return True
    with open_regular(subject.disk.image, block_device=True) as file:
        return _last_block(file).startswith(vhd.MAGIC)


def is_incus(subject: Subject) -> bool:
    """Of the tar that says of an image for Incus what it is."""
    entries = subject.entries if subject.artifact.kind == "tar" else {}
    return INCUS_METADATA in entries and "/etc" not in entries


def has_block_map(subject: Subject) -> bool:
    """Of disk images beside which a block map lies."""
    return subject.disk is not None and block_map_beside(subject.artifact.path) is not None


def bmap_covers_metadata(subject: Subject) -> Iterator[Problem]:
    """The block map beside the image has all that its filesystems use, their tables too."""
    for place, found, disk in _block_maps(subject):
        with open_regular(disk.image, block_device=True) as file:
            size = file.seek(0, os.SEEK_END)
            if found.image_bytes != size:
                what = f"it is of an image of {found.image_bytes} bytes, but this one has {size}"
                yield Problem(place.name, what, _MAP_HINT)
                continue
            left_out = not_mapped(file, disk.table, found)
        if left_out:
            start, end = left_out[0]
            size = sum(end - start for start, end in left_out)
            what = f"it leaves out {size} bytes that are in use, the first from {start} to {end}"
            yield Problem(place.name, what, _MAP_HINT)


def bmap_checksums(subject: Subject) -> Iterator[Problem]:
    """The checksums of the block map beside the image are those of its content."""
    for place, found, disk in _block_maps(subject):
        with open_regular(disk.image, block_device=True) as file:
            if file.seek(0, os.SEEK_END) != found.image_bytes:
                return  # another check says so
            for start, end in wrong_ranges(file, found):
                what = f"the checksum of the bytes from {start} to {end} is another one"
                yield Problem(place.name, what, _MAP_HINT)


def _block_maps(subject: Subject) -> Iterator[tuple[Path, BlockMap, DiskParts]]:
    """The block map beside the image, with its place; errors in it are raised."""
    place = block_map_beside(subject.artifact.path)
    if place is not None and subject.disk is not None:
        yield place, read_block_map(place), subject.disk


def vhd_footer(subject: Subject) -> Iterator[Problem]:
    """The footer of a VHD is sound, and says the size of the disk, which is of whole MiB."""
    assert subject.disk is not None  # noqa: S101 - the check does not apply to anything else
    hint = "Azure and Hyper-V refuse it: build the VHD again"
    with open_regular(subject.disk.image, block_device=True) as file:
        size = file.seek(0, os.SEEK_END)
        found = vhd.read_footer(_last_block(file))
    if found is None:
        yield Problem("footer", "the last 512 bytes are no sound footer of a fixed VHD", hint)
        return
    if found.disk_bytes != size - vhd.FOOTER_BYTES:
        what = f"it says {found.disk_bytes} bytes, but the disk has {size - vhd.FOOTER_BYTES}"
        yield Problem("footer", what, hint)
    if found.disk_bytes % vhd.GRANULE_BYTES:
        yield Problem("footer", f"{found.disk_bytes} bytes are no whole MiB", hint)


def incus_metadata(subject: Subject) -> Iterator[Problem]:
    """The metadata for Incus say the architecture and when the image was made."""
    text = (subject.tree.read(INCUS_METADATA) or b"").decode("utf-8", "replace")
    for key in _WANTED:
        if re.search(rf'(?:^|[{{,])\s*"?{key}"?\s*:', text, re.MULTILINE) is None:
            yield Problem(INCUS_METADATA, f"it does not say {key}", "build the image again")


def _last_block(file: BinaryIO) -> bytes:
    size = file.seek(0, os.SEEK_END)
    return read_at(file, max(0, size - vhd.FOOTER_BYTES), vhd.FOOTER_BYTES)
