"""A virtual machine for Incus: a tar that says what it is, and its disk as a qcow2 image.

Incus' documentation calls this a split image (Image format); ``incus image import METADATA DISK``
takes both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import ClassVar

from voidimg.arch import without_libc
from voidimg.artifact_names import NameForm
from voidimg.artifacts.kind import MAIN, ArtifactKind, PlannedStep, Step
from voidimg.artifacts.making import Making
from voidimg.artifacts.raw_disk import RAW_DISK, no_disk, raw_disk_of
from voidimg.disk.compress import Compression
from voidimg.disk.pack_qcow2 import pack_qcow2
from voidimg.errors import storing
from voidimg.formats import tar_writer
from voidimg.formats.qcow2 import SUFFIX
from voidimg.identity import ReleaseDate
from voidimg.spec.model import Recipe

DISK = "disk"
"""The role of the disk."""


class Incus(ArtifactKind):
    """``void-<platform>-INCUS-<date>.tar.xz`` and ``void-<platform>-INCUS-<date>.qcow2``."""

    name = "incus"
    title = "Incus image"
    part = RAW_DISK
    stages = ("rootfs", "platformfs")
    named_only = True
    form = NameForm(".tar", mark="INCUS")
    side_forms: ClassVar[Mapping[str, NameForm]] = {
        DISK: NameForm(SUFFIX, mark="INCUS", compressed=False)
    }
    role = "disk"

    def why_not(self, recipe: Recipe) -> str | None:
        """It needs a platform with a disk."""
        return no_disk(recipe)

    def room(self, compression: Compression) -> float:
        """The disk is there raw and compressed, always by deflate."""
        del compression
        return 1.5

    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """Compress the raw disk, cluster by cluster, and say what it is."""
        del recipe
        line = PlannedStep("image", "write the image for Incus, when it is asked for")
        return (Step("incus: pack", (line,), _pack),)


def metadata(recipe: Recipe, date: ReleaseDate) -> bytes:
    """``metadata.yaml`` of the image, as JSON, which every reader of YAML takes.

    Void signs no boot loader, so a machine with Secure Boot would not start it.
    """
    arch = without_libc(recipe.arch)
    described = f"Void Linux {recipe.platform} {recipe.profile} ({date})"
    found = {
        "architecture": arch,
        "creation_date": date.epoch,
        "properties": {
            "architecture": arch,
            "description": described,
            "os": "Void",
            "release": "current",
            "serial": str(date),
            "variant": recipe.profile,
            "requirements.secureboot": "false",
        },
        "templates": {},
    }
    return json.dumps(found, indent=2, sort_keys=True).encode() + b"\n"


def _pack(making: Making) -> None:
    disk = making.work / "incus.qcow2"
    pack_qcow2(
        raw_disk_of(making),
        disk,
        jobs=making.jobs,
        block_cache=making.block_cache,
        listener=making.listener,
        step="incus: pack",
    )
    finished = making.work / "incus.new"
    with storing(finished, "write"), finished.open("wb") as out, making.compressed(out) as stream:
        stream.write(_tar(metadata(making.recipe, making.date), making.epoch))
    making.keep("incus", {MAIN: finished, DISK: disk})


def _tar(content: bytes, epoch: int) -> bytes:
    """A tar with `content` as ``metadata.yaml``."""
    member = tar_writer.Member(
        b"metadata.yaml", tar_writer.FILE, 0o644, 0, 0, epoch, size=len(content)
    )
    archive = tar_writer.encode_member(member) + tar_writer.padded(content)
    return archive + tar_writer.end_of_archive(len(archive))
