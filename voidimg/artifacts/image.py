"""The disk image: the raw disk, compressed as a whole; what people write to cards and sticks."""

from __future__ import annotations

from collections.abc import Sequence

from voidimg.artifact_names import NameForm
from voidimg.artifacts.kind import MAIN, ArtifactKind, PlannedStep, Step
from voidimg.artifacts.making import Making
from voidimg.artifacts.raw_disk import RAW_DISK, no_disk, raw_disk_of
from voidimg.disk.compress import Compression
from voidimg.spec.model import Recipe


class Image(ArtifactKind):
    """``void-<platform>-<date>.img.xz``."""

    name = "image"
    title = "disk image"
    part = RAW_DISK
    stages = ("rootfs", "platformfs")
    form = NameForm(".img")
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
        line = PlannedStep("image", "compress the image")
        return (Step("image: compress", (line,), _compress),)


def _compress(making: Making) -> None:
    making.keep("image", {MAIN: making.compress(raw_disk_of(making), "image")})
