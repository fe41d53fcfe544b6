"""The disk image: the raw disk, compressed as a whole; what people write to cards and sticks.

Beside it is its block map: which blocks of the disk have to be written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from voidimg.artifact_names import NameForm
from voidimg.artifacts.kind import MAIN, ArtifactKind, PlannedStep, Step
from voidimg.artifacts.making import Making
from voidimg.artifacts.raw_disk import RAW_DISK, no_disk, raw_disk_of
from voidimg.disk.allocation import block_map
from voidimg.disk.compress import Compression
from voidimg.errors import storing
from voidimg.foreign import open_regular
from voidimg.formats.block_map import SUFFIX, encode_block_map
from voidimg.formats.partition_table import read_table
from voidimg.spec.model import Recipe

BLOCK_MAP = "bmap"
"""The role of the block map."""


class Image(ArtifactKind):
    """``void-<platform>-<date>.img.xz``, and ``void-<platform>-<date>.img.bmap``."""

    name = "image"
    title = "disk image"
    part = RAW_DISK
    stages = ("rootfs", "platformfs")
    form = NameForm(".img")
    side_forms: ClassVar[Mapping[str, NameForm]] = {
        BLOCK_MAP: NameForm(f".img{SUFFIX}", compressed=False)
    }
    role = "disk"

    def why_not(self, recipe: Recipe) -> str | None:
        """It needs a platform with a disk."""
        return no_disk(recipe)

    def room(self, compression: Compression) -> float:
        """It is there raw and compressed."""
        return super().room(compression) + 1.0

    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """Compress the raw disk."""
        del recipe
        map_line = PlannedStep("image", "say which blocks of it are to be written")
        line = PlannedStep("image", "compress the image")
        return (
            Step("image: block map", (map_line,), _map),
            Step("image: compress", (line,), _compress),
        )


def _map(making: Making) -> None:
    disk, place = raw_disk_of(making), _block_map_of(making)
    table = read_table(disk)
    with storing(place, "write"), open_regular(disk) as image:
        place.write_bytes(encode_block_map(block_map(image, table)))


def _compress(making: Making) -> None:
    image = making.compress(raw_disk_of(making), "image")
    making.keep("image", {MAIN: image, BLOCK_MAP: _block_map_of(making)})


def _block_map_of(making: Making) -> Path:
    return making.work / "image.bmap"
