"""Predicts what a build will download, unpack and write, before anything but indexes is fetched."""

from __future__ import annotations

from dataclasses import dataclass

from voidimg.artifacts.registry import kinds_of, stages_of
from voidimg.disk.plan import plan_disk
from voidimg.events import Listener, ignore
from voidimg.fetch import Cache
from voidimg.formats.contents import Contents
from voidimg.identity import Identity
from voidimg.pipeline.options import BuildOptions
from voidimg.spec.compose import ResolvedRecipe
from voidimg.spec.disk_model import Disk
from voidimg.spec.stages import SYSTEM_TREE, PackageStage, StageName
from voidimg.supply.resolve import StagePlan, make_lock, plan_stages
from voidimg.supply.state import RepositoryState

_BYTES_PER_FILE = 30_000
"""The mean size of a file in Void's packages, to guess how many inodes a tree needs."""

_BOOT_BYTES = 48 * 2**20
"""What firmware, device trees and one kernel take; only checked against a fixed size."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Predicted sizes in bytes of one stage.

    `packages` are those the stage adds; `image_bytes` is the uncompressed disk image, from the
    sizes that packages state, and None for the other stages.
    """

    stage: StageName | PackageStage
    packages: int
    download_bytes: int
    installed_bytes: int
    image_bytes: int | None = None

    def as_json(self) -> dict[str, object]:
        """The forecast as a JSON-ready mapping."""
        return {
            "stage": self.stage,
            "packages": self.packages,
            "download_bytes": self.download_bytes,
            "installed_bytes": self.installed_bytes,
            "image_bytes": self.image_bytes,
        }


def forecast_build(
    resolved: ResolvedRecipe, options: BuildOptions, *, listener: Listener = ignore
) -> tuple[Forecast, ...]:
    """What a build of `resolved` from the repositories of `options` will take.

    Only repodata is fetched.

    Raises:
        UsageError: an artifact is asked for in which nothing of the profile would be.
        FetchError, VerifyError, PackageError, ResolveError: as a build would.
        LayoutError: the disk cannot hold what the packages state.
    """
    recipe = resolved.recipe
    kinds = kinds_of(recipe, options.artifacts, only_live=resolved.only_live)
    with Cache(options.cache).in_use():
        repositories = RepositoryState(options, listener).open(recipe)
    stages = plan_stages(recipe, repositories, stages_of(kinds))
    lock = make_lock(recipe, repositories, stages)
    found = [
        Forecast(
            stage.stage,
            len(stage.transaction.steps),
            sum(one.size for one in lock.of_stage(stage.stage)),
            stage.installed_bytes,
        )
        for stage in stages
    ]
    if recipe.disk is not None:
        found.append(Forecast("image", 0, 0, 0, _image_bytes(recipe.disk, stages)))
    return tuple(found)


def _image_bytes(disk: Disk, stages: tuple[StagePlan, ...]) -> int:
    total = sum(stage.installed_bytes for stage in stages if stage.stage in SYSTEM_TREE)
    contents = {partition.name: _contents(partition.mount, total) for partition in disk.partitions}
    blobs = {blob.source: 0 for blob in disk.blobs}
    return plan_disk(
        disk, contents=contents, identity=Identity("forecast"), blob_bytes=blobs
    ).size_bytes


def _contents(mount: str | None, total_bytes: int) -> Contents:
    if mount is None:
        return Contents()
    if mount != "/":
        return Contents.estimated(min(_BOOT_BYTES, total_bytes), 16)
    return Contents.estimated(total_bytes, total_bytes // _BYTES_PER_FILE)
