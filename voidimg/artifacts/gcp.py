"""The disk for Google Cloud: a tar, compressed by gzip, that holds it as a sparse file."""

from __future__ import annotations

from collections.abc import Sequence

from voidimg.artifact_names import NameForm
from voidimg.artifacts.kind import MAIN, ArtifactKind, PlannedStep, Step
from voidimg.artifacts.making import Making
from voidimg.artifacts.raw_disk import RAW_DISK, no_disk, raw_disk_of
from voidimg.disk.compress import GZIP, Compression, compressor
from voidimg.disk.pack_containers import write_gcp_tar
from voidimg.errors import storing
from voidimg.spec.model import Recipe


class Gcp(ArtifactKind):
    """``void-<platform>-GCP-<date>.tar.gz``; Google Cloud takes no other compression."""

    name = "gcp"
    title = "Google Cloud image"
    part = RAW_DISK
    stages = ("rootfs", "platformfs")
    named_only = True
    form = NameForm(".tar.gz", mark="GCP", compressed=False)
    role = "disk"

    def why_not(self, recipe: Recipe) -> str | None:
        """It needs a platform with a disk."""
        return no_disk(recipe)

    def room(self, compression: Compression) -> float:
        """The raw disk, the one of a whole GiB, and the tar, always by gzip."""
        del compression
        return 2.5

    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """Enlarge the disk to a whole GiB and pack it."""
        del recipe
        line = PlannedStep("image", "write the tar for Google Cloud, when it is asked for")
        return (Step("gcp: pack", (line,), _pack),)


def _pack(making: Making) -> None:
    finished = making.work / "gcp.new"
    with storing(finished, "write"), finished.open("wb") as out:
        stream = compressor(out, GZIP, jobs=making.jobs, block_cache=making.block_cache)
        with stream:
            write_gcp_tar(
                raw_disk_of(making),
                making.work / "disk.gcp",
                stream,
                making.epoch,
                listener=making.listener,
            )
    making.keep("gcp", {MAIN: finished})
