"""Makes the artifacts of one platform from verified packages; runs inside the namespace.

One tree goes through the stages: after ROOTFS and after PLATFORMFS it is packed, then it becomes
the content of the disk image. A live system has a tree of its own. Nothing here needs the network,
the clock or the host's files.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from voidimg.disk.compress import compress_file, compressor
from voidimg.disk.contents import measure_tree
from voidimg.disk.identifiers import disk_identifiers
from voidimg.disk.image import write_image
from voidimg.disk.plan import plan_disk
from voidimg.errors import LayoutError, full_disk_told, storing
from voidimg.events import Listener, ignore, step
from voidimg.fetch import Cache
from voidimg.identity import Identity
from voidimg.pipeline.artifacts import ArtifactStore, Kind
from voidimg.pipeline.job import WorkOrder
from voidimg.pipeline.live import make_live_iso, make_netboot
from voidimg.rootfs import steps
from voidimg.rootfs.ownership import package_paths
from voidimg.rootfs.tar import write_tar
from voidimg.spec.disk_model import Disk
from voidimg.spec.model import Recipe
from voidimg.spec.stage_model import Stage
from voidimg.tree.tree import Tree

BLOCK_CACHE = "blocks"
"""Directory of compressed blocks below the cache."""


def make_artifacts(order: WorkOrder, listener: Listener = ignore) -> None:
    """Make every target of `order` and keep it in the store; each as soon as it is finished.

    Raises:
        VoidimgError: what went wrong, by its class; nothing unfinished is kept.
    """
    workshop = _Workshop(order, listener)
    makers: tuple[tuple[Kind, Callable[[], None]], ...] = (
        ("rootfs", workshop.make_rootfs),
        ("platformfs", workshop.make_platformfs),
        ("image", workshop.make_image),
    )
    last = max((index for index, (kind, _) in enumerate(makers) if kind in order.targets),
               default=-1)  # fmt: skip
    try:
        with storing(order.work, "build in"), full_disk_told(order.work):
            for _, make in makers[: last + 1]:
                make()
            for kind, make in workshop.makers_of_other_trees:
                if kind in order.targets:
                    clear(order.work)
                    make()
    finally:
        with step(listener, "clean up"):
            clear(order.work)


def clear(directory: Path) -> None:
    """Remove what is in a work directory, whoever owns it; its lock file stays."""
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != LOCK_FILE:
            entry.unlink()


LOCK_FILE = "lock"
"""Held by the build that works in a work directory; free when that build is gone."""


class _Workshop:
    """The tree and what all stages need."""

    def __init__(self, order: WorkOrder, listener: Listener):
        self._order = order
        self._recipe = order.recipe
        self._listener = listener
        self._store = ArtifactStore(Cache(order.cache))
        self._tree = order.work / "tree"
        self._epoch = order.date.epoch

    @property
    def makers_of_other_trees(self) -> tuple[tuple[Kind, Callable[[], None]], ...]:
        """What has a tree of its own, and how it is made."""
        return (("wsl", self.make_wsl), ("iso", self.make_iso), ("netboot", self.make_netboot))

    def make_rootfs(self) -> None:
        self._make_system("rootfs", self._recipe.rootfs)

    def make_wsl(self) -> None:
        self._make_system("wsl", self._recipe.wsl or Stage())

    def _make_system(self, kind: Literal["rootfs", "wsl"], stage: Stage) -> None:
        recipe = self._recipe
        steps.install_keys(self._tree, self._order.keys, epoch=self._epoch)
        self._install(kind)
        with step(self._listener, f"{kind}: set up"):
            steps.set_up_system(
                self._tree,
                users=recipe.users,
                hostname=recipe.hostname,
                timezone=recipe.timezone,
                identity=Identity(f"{kind} {recipe.arch} {self._order.date}"),
                date=self._order.date,
            )
            self._apply(stage, {})
        self._pack(kind)

    def make_platformfs(self) -> None:
        self._install("platformfs")
        with step(self._listener, "platformfs: set up"):
            self._apply(self._recipe.platformfs, {})
        self._pack("platformfs")

    def make_image(self) -> None:
        disk = self._recipe.disk
        if disk is None:
            raise LayoutError(
                f"{self._recipe.platform} has no disk image", code="NO-DISK", where="disk"
            )
        identity = Identity(
            f"image {self._recipe.platform} {self._recipe.profile} {self._order.date}"
        )
        image = self._order.work / "disk.img"
        with step(self._listener, "image: set up"):
            self._apply(self._recipe.image, _image_context(self._recipe, disk, identity))
        with step(self._listener, "image: write"):
            measured = measure_tree(self._tree, disk)
            plan = plan_disk(
                disk,
                contents=measured.contents,
                identity=identity,
                blob_bytes=measured.blob_bytes,
            )
            write_image(plan, self._tree, image, self._epoch)
        finished = self._order.work / "image.new"
        with step(self._listener, "image: compress"), finished.open("wb") as out:
            compress_file(
                image,
                out,
                self._order.compression,
                jobs=self._order.jobs,
                block_cache=self._order.cache / BLOCK_CACHE,
                listener=self._listener,
                step="image: compress",
            )
        image.unlink()
        self._keep("image", finished)

    def make_iso(self) -> None:
        finished = self._order.work / "iso.new"
        make_live_iso(self._order, finished, self._listener)
        self._keep("iso", finished)

    def make_netboot(self) -> None:
        finished = self._order.work / "netboot.new"
        make_netboot(self._order, finished, self._listener)
        self._keep("netboot", finished)

    def _install(self, stage: str) -> None:
        with step(self._listener, f"{stage}: install"):
            steps.install_stage(
                self._tree,
                self._order.packages[stage],
                arch=self._recipe.arch,
                epoch=self._epoch,
                scratch=self._order.work / "bootstrap",
                locale=None if stage == "platformfs" else self._recipe.locale,
                jobs=self._order.jobs,
                listener=self._listener,
            )

    def _apply(self, stage: Stage, context: Mapping[str, object]) -> None:
        render = partial(self._order.render, context=context)
        steps.apply_stage(
            self._tree,
            stage,
            render=render,
            sources=self._order.sources,
            arch=self._recipe.arch,
            epoch=self._epoch,
            listener=self._listener,
        )
        steps.finish(self._tree, epoch=self._epoch, listener=self._listener)

    def _pack(self, kind: Kind) -> None:
        if kind not in self._order.targets:
            return
        finished = self._order.work / f"{kind}.new"
        with step(self._listener, f"{kind}: pack"), finished.open("wb") as out:
            stream = compressor(
                out,
                self._order.compression,
                jobs=self._order.jobs,
                block_cache=self._order.cache / BLOCK_CACHE,
            )
            with stream, Tree(self._tree) as tree:
                names = [
                    package.step.pkgname
                    for stage in (("wsl",) if kind == "wsl" else ("rootfs", "platformfs"))
                    for package in self._order.packages[stage]
                ]
                write_tar(
                    self._tree,
                    stream,
                    epoch=self._epoch,
                    order=package_paths(tree, names),
                    listener=self._listener,
                )
        self._keep(kind, finished)

    def _keep(self, kind: Kind, finished: Path) -> None:
        if kind in self._order.targets:
            self._store.keep(self._order.targets[kind], finished)


def _image_context(recipe: Recipe, disk: Disk, identity: Identity) -> dict[str, object]:
    """What templates of the image stage know beside recipe and date; see `spec.templates`."""
    identifiers = disk_identifiers(disk, identity)
    partitions = {}
    for partition in disk.partitions:
        names = identifiers.partition(partition.name)
        partitions[partition.name] = {
            "number": names.number,
            "uuid": names.uuid,
            "partuuid": names.partuuid,
            "mount": partition.mount,
            "filesystem": partition.filesystem,
            "fstab_options": partition.fstab_options,
        }
    return {"partitions": partitions, "cmdline": recipe.boot.cmdline}
