"""Finds and reads the block map that lies beside a disk image."""

from __future__ import annotations

import os
from pathlib import Path

from voidimg.errors import storing
from voidimg.foreign import read_regular
from voidimg.formats.block_map import MAX_BYTES, SUFFIX, BlockMap, decode_block_map

_COMPRESSED = (".xz", ".zst", ".gz", ".bz2", ".lz4")


def block_map_beside(image: Path) -> Path | None:
    """The block map of `image`, by its name: that of the image, or of what is unpacked from it."""
    names = [image.name]
    names += [image.name.removesuffix(end) for end in _COMPRESSED if image.name.endswith(end)]
    places = (image.with_name(f"{name}{SUFFIX}") for name in names)
    return next((place for place in places if os.path.lexists(place)), None)


def read_block_map(path: Path) -> BlockMap:
    """The block map in the file `path`.

    Raises:
        LayoutError: it is none, damaged, or of another version.
        StoreError: it cannot be read.
    """
    with storing(path, "read"):
        content = read_regular(path, MAX_BYTES)
    return decode_block_map(content, str(path))
