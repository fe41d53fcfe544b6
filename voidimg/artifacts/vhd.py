"""The disk as a fixed VHD, which Azure and Hyper-V take: the raw disk and a footer."""

from __future__ import annotations

from collections.abc import Sequence

from voidimg.artifact_names import NameForm
from voidimg.artifacts.kind import MAIN, ArtifactKind, PlannedStep, Step
from voidimg.artifacts.making import Making
from voidimg.artifacts.raw_disk import RAW_DISK, identity_of, no_disk, raw_disk_of
from voidimg.disk.compress import Compression
from voidimg.disk.pack_containers import write_vhd
from voidimg.formats.vhd import SUFFIX
from voidimg.spec.model import Recipe


class Vhd(ArtifactKind):
    """``void-<platform>-<date>.vhd.xz``; it is as large as the disk, so it is compressed."""

    name = "vhd"
    title = "VHD image"
    part = RAW_DISK
    stages = ("rootfs", "platformfs")
    named_only = True
    form = NameForm(SUFFIX)
    role = "disk"

    def why_not(self, recipe: Recipe) -> str | None:
        """It needs a platform with a disk."""
        return no_disk(recipe)

    def room(self, compression: Compression) -> float:
        """The raw disk, the VHD, and what is compressed of that."""
        return super().room(compression) + 2.0

    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """Add the footer to the raw disk, and compress the whole."""
        del recipe
        line = PlannedStep("image", "write the VHD image, when it is asked for")
        return (Step("vhd: pack", (line,), _pack),)


def _pack(making: Making) -> None:
    disk = making.work / "disk.vhd"
    write_vhd(raw_disk_of(making), disk, identity_of(making).uuid("vhd"), making.epoch)
    making.keep("vhd", {MAIN: making.compress(disk, "vhd")})
    disk.unlink()
