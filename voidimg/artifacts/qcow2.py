"""The disk as a qcow2 image for virtual machines: it grows as they write, and is read by QEMU."""

from __future__ import annotations

from collections.abc import Sequence

from voidimg.artifact_names import NameForm
from voidimg.artifacts.kind import MAIN, ArtifactKind, PlannedStep, Step
from voidimg.artifacts.making import Making
from voidimg.artifacts.raw_disk import RAW_DISK, no_disk, raw_disk_of
from voidimg.disk.compress import Compression
from voidimg.disk.pack_qcow2 import pack_qcow2
from voidimg.formats.qcow2 import SUFFIX
from voidimg.spec.model import Recipe


class Qcow2(ArtifactKind):
    """``void-<platform>-<date>.qcow2``; its clusters are compressed, so the file is not."""

    name = "qcow2"
    title = "qcow2 image"
    part = RAW_DISK
    stages = ("rootfs", "platformfs")
    named_only = True
    form = NameForm(SUFFIX, compressed=False)
    role = "disk"

    def why_not(self, recipe: Recipe) -> str | None:
        """It needs a platform with a disk."""
        return no_disk(recipe)

    def room(self, compression: Compression) -> float:
        """It is there raw and compressed, always by deflate."""
        del compression
        return 1.5

    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """Compress the raw disk, cluster by cluster."""
        del recipe
        line = PlannedStep("image", "write the qcow2 image, when it is asked for")
        return (Step("qcow2: pack", (line,), _pack),)


def _pack(making: Making) -> None:
    finished = making.work / "qcow2.new"
    pack_qcow2(
        raw_disk_of(making),
        finished,
        jobs=making.jobs,
        block_cache=making.block_cache,
        listener=making.listener,
    )
    making.keep("qcow2", {MAIN: finished})
