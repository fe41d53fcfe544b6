"""What a build of a recipe will do, in order, as far as the recipe alone can tell.

Nothing is fetched to say it, so package sizes are not known here: a size is given where the recipe
fixes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from voidimg.spec.disk_model import Disk, Partition
from voidimg.spec.live_model import Live
from voidimg.spec.model import WSL_ARCHES, Recipe
from voidimg.spec.stage_model import Stage, StageName
from voidimg.units import format_size


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step: `what` is done, with the `details` (packages, paths, words) it is done to.

    `size` is in bytes where the recipe fixes it, None where it follows from the content.
    """

    stage: Literal["lock", "netboot"] | StageName
    what: str
    details: tuple[str, ...] = ()
    size: int | None = None

    def as_json(self) -> dict[str, object]:
        """The step as a JSON-ready mapping."""
        return {
            "stage": self.stage,
            "what": self.what,
            "details": list(self.details),
            "size": self.size,
        }


def planned_steps(
    recipe: Recipe, *, repositories: Sequence[str] = (), keys: Sequence[str] = ()
) -> tuple[PlannedStep, ...]:
    """The steps of a build of all artifacts of `recipe`, in the order in which they are taken.

    `repositories` and `keys`, where there are any, are named in place of the platform's own.
    """
    sources = tuple(repositories) or recipe.repositories
    steps = [
        PlannedStep("lock", "resolve packages of all stages from", sources),
        PlannedStep("lock", "fetch and verify packages signed by", tuple(keys) or recipe.keys),
        *_system_steps("rootfs", recipe, recipe.rootfs),
        PlannedStep("rootfs", "write the ROOTFS tarball"),
        *_stage_steps("platformfs", recipe.platformfs),
        PlannedStep("platformfs", "write the PLATFORMFS tarball"),
    ]
    if recipe.disk is not None:
        steps += [*_stage_steps("image", recipe.image), *_disk_steps(recipe.disk)]
    if recipe.wsl is not None and recipe.arch.removesuffix("-musl") in WSL_ARCHES:
        steps += [
            *_system_steps("wsl", recipe, recipe.wsl),
            PlannedStep("wsl", "write the file for WSL, when it is asked for"),
        ]
    if recipe.live is not None:
        steps += _live_steps(recipe, recipe.live)
    return tuple(steps)


def _system_steps(name: StageName, recipe: Recipe, stage: Stage) -> list[PlannedStep]:
    """What makes a system in an empty tree, but for what becomes of it."""
    steps = _package_steps(name, stage)
    if recipe.locale is not None:
        steps.append(PlannedStep(name, "generate the locale", (recipe.locale,)))
    return [
        *steps,
        PlannedStep(name, "set up accounts", tuple(user.name for user in recipe.users)),
        PlannedStep(name, "set the host name", (recipe.hostname,)),
        PlannedStep(name, "set the time zone", (recipe.timezone,)),
        *_change_steps(name, stage),
    ]


def _live_steps(recipe: Recipe, live: Live) -> list[PlannedStep]:
    """What makes a live ISO, from an empty tree on, and the tarball for the network."""
    kernel = () if live.kernel is None else (live.kernel,)
    steps = [
        PlannedStep("live", "install the kernel", kernel),
        *_system_steps("live", recipe, live),
        PlannedStep("live", "make the initramfs with", (*live.build_packages, live.initramfs)),
        PlannedStep("live", f"pack the tree as a squashfs ({live.squashfs.compression})"),
        PlannedStep("live", f"write the ISO {live.volume_id}, started by", live.loaders),
    ]
    if live.netboot is not None:
        steps += [
            PlannedStep(
                "netboot", "make another initramfs with, beside these", live.netboot.build_packages
            ),
            PlannedStep(
                "netboot",
                "write the tarball for PXELINUX, when it is asked for; the root is fetched from",
                (live.netboot.url,),
            ),
        ]
    return steps


def _stage_steps(name: StageName, stage: Stage) -> list[PlannedStep]:
    """What a stage adds to a system, in the order of `Stage`."""
    return [*_package_steps(name, stage), *_change_steps(name, stage)]


def _package_steps(name: StageName, stage: Stage) -> list[PlannedStep]:
    return [PlannedStep(name, "install and configure", stage.packages)] if stage.packages else []


def _change_steps(name: StageName, stage: Stage) -> list[PlannedStep]:
    parts = (
        ("edit", tuple(edit.path for edit in stage.edits)),
        ("write", tuple(file.path for file in stage.files)),
        ("enable services", stage.services),
        ("run the hooks", tuple(hook.name for hook in stage.hooks)),
    )
    return [PlannedStep(name, what, details) for what, details in parts if details]


def _disk_steps(disk: Disk) -> list[PlannedStep]:
    steps = [PlannedStep("image", f"write the {disk.label} partition table", (), disk.size)]
    for partition in disk.partitions:
        size = None if partition.size == "rest" else partition.size
        details = _partition_details(partition, disk)
        steps.append(PlannedStep("image", f"fill partition {partition.name}", details, size))
    for blob in disk.blobs:
        what = f"write the boot loader at byte {blob.offset}"
        steps.append(PlannedStep("image", what, (blob.source,)))
    return [*steps, PlannedStep("image", "compress the image")]


def _partition_details(partition: Partition, disk: Disk) -> tuple[str, ...]:
    details = [f"from {partition.mount}"] if partition.mount is not None else []
    if partition.filesystem == "vfat":
        details.append(f"FAT{partition.fat.bits}")
    else:
        details.append("ext4" if partition.ext4.journal else "ext4 without journal")
    if partition.size == "rest" and disk.size is None:
        details.append(f"{format_size(disk.headroom)} of room")
    elif partition.size == "rest":
        details.append("the rest of the disk")
    return tuple(details)
