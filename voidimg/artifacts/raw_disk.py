"""The raw disk: partition table and filesystems in a plain file, for all kinds that hold a disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voidimg.artifacts.kind import Part, PlannedStep, Step
from voidimg.artifacts.making import Making
from voidimg.artifacts.trees import PLATFORMFS_TREE, apply, change_lines, tree_of
from voidimg.disk.contents import measure_tree, place_of
from voidimg.disk.grub_core import BIOS
from voidimg.disk.grub_disk import install_grub, menu_place, partition_of, serial_of
from voidimg.disk.identifiers import disk_identifiers
from voidimg.disk.image import write_image
from voidimg.disk.mountable import require_mountable
from voidimg.disk.plan import BIOS_CORE, plan_disk
from voidimg.errors import LayoutError
from voidimg.identity import Identity
from voidimg.rootfs.kernels import BOOT, find_kernels
from voidimg.spec.disk_model import Disk, Partition
from voidimg.spec.model import Recipe
from voidimg.tree import beneath
from voidimg.units import format_size


class RawDisk(Part):
    """The disk of a platform as its bytes are, made of the tree of the PLATFORMFS."""

    name = "image"
    made_of = PLATFORMFS_TREE

    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """Set what knows the partitions, then write them; nothing for a recipe without a disk."""
        if recipe.disk is None:
            return ()
        return (
            *_grub_steps(recipe),
            Step("image: set up", change_lines("image", recipe.image), _set_up),
            Step("image: write", _disk_lines(recipe.disk), _write),
        )


RAW_DISK = RawDisk()


def raw_disk_of(making: Making) -> Path:
    """Where the raw disk is on the host."""
    return making.work / "disk.img"


def disk_of(recipe: Recipe) -> Disk:
    """The disk of `recipe`.

    Raises:
        LayoutError: it has none.
    """
    if recipe.disk is None:
        raise LayoutError(f"{recipe.platform} has no disk image", code="NO-DISK", where="disk")
    return recipe.disk


def no_disk(recipe: Recipe) -> str | None:
    """Why `recipe` has no artifact that holds a disk; None when it has."""
    if recipe.disk is not None:
        return None
    return recipe.no_disk or "the platform file has no [disk]"


def identity_of(making: Making) -> Identity:
    """What the identifiers of the disk are derived from."""
    recipe = making.recipe
    return Identity(f"image {recipe.platform} {recipe.profile} {making.date}")


def _grub_steps(recipe: Recipe) -> tuple[Step, ...]:
    if recipe.boot.grub is None:
        return ()
    line = PlannedStep("image", "put GRUB together for", recipe.boot.grub.platforms)
    return (Step("image: GRUB", (line,), _install_grub),)


def _install_grub(making: Making) -> None:
    disk, grub = disk_of(making.recipe), making.recipe.boot.grub
    if grub is not None:
        install_grub(
            tree_of(making),
            grub,
            disk,
            menu_place(disk, _uuids(making)),
            arch=making.recipe.arch,
            epoch=making.epoch,
            scratch=making.work,
        )


def _uuids(making: Making) -> dict[str, str]:
    """Partition -> the UUID of its filesystem."""
    found = disk_identifiers(disk_of(making.recipe), identity_of(making))
    return {partition.name: partition.uuid for partition in found.partitions}


def _set_up(making: Making) -> None:
    apply(making, making.recipe.image, _context(making))


def _write(making: Making) -> None:
    disk, grub = disk_of(making.recipe), making.recipe.boot.grub
    require_mountable(tree_of(making), disk)
    measured = measure_tree(tree_of(making), disk)
    core = None
    if grub is not None and BIOS in grub.platforms:
        core = beneath.size_of(tree_of(making), BIOS_CORE)
    plan = plan_disk(
        disk,
        contents=measured.contents,
        identity=identity_of(making),
        blob_bytes=measured.blob_bytes,
        core_bytes=core,
        kernel_bytes=measured.kernel_bytes,
    )
    write_image(plan, tree_of(making), raw_disk_of(making), making.epoch)


def _context(making: Making) -> dict[str, object]:
    """What templates of the image stage know beside recipe and date; see `spec.templates`."""
    disk = disk_of(making.recipe)
    identifiers = disk_identifiers(disk, identity_of(making))
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
            "grows": partition.size == "rest",
        }
    return {
        "partitions": partitions,
        "cmdline": making.recipe.boot.cmdline,
        "kernels": _kernels(tree_of(making)),
        "grub": _grub_menu(making),
    }


def _kernels(tree: Path) -> tuple[dict[str, str | None], ...]:
    def below_boot(path: str) -> str:
        return path.removeprefix(f"{BOOT}/")

    return tuple(
        {
            "release": kernel.release,
            "file": below_boot(kernel.image),
            "initramfs": below_boot(kernel.initramfs)
            if beneath.is_file(tree, kernel.initramfs)
            else None,
        }
        for kernel in find_kernels(tree)
    )


def _grub_menu(making: Making) -> dict[str, object] | None:
    grub, uuids = making.recipe.boot.grub, _uuids(making)
    if grub is None:
        return None
    disk = disk_of(making.recipe)
    place = menu_place(disk, uuids)
    return {
        "timeout_seconds": grub.timeout_seconds,
        "serial": serial_of(grub),
        "uuid": place.uuid,
        "prefix": place.prefix,
        "root_uuid": uuids[partition_of(disk, "/").name],
    }


def _disk_lines(disk: Disk) -> tuple[PlannedStep, ...]:
    lines = [PlannedStep("image", f"write the {disk.label} partition table", (), disk.size)]
    for partition in disk.partitions:
        size = None if partition.size == "rest" else partition.size
        details = _partition_details(partition, disk)
        lines.append(PlannedStep("image", f"fill partition {partition.name}", details, size))
    for blob in disk.blobs:
        what = f"write the boot loader {place_of(blob)}"
        lines.append(PlannedStep("image", what, (blob.source,)))
    return tuple(lines)


def _partition_details(partition: Partition, disk: Disk) -> tuple[str, ...]:
    details = [f"from {partition.mount}"] if partition.mount is not None else []
    if partition.filesystem == "vfat":
        details.append(f"FAT{partition.fat.bits}")
    elif partition.filesystem == "swap":
        details.append("swap space")
    elif partition.filesystem == "none":
        details.append("no filesystem")
    else:
        details.append("ext4" if partition.ext4.journal else "ext4 without journal")
    if partition.size == "rest" and disk.size is None:
        details.append(f"{format_size(disk.headroom)} of room")
    elif partition.size == "rest":
        details.append("the rest of the disk")
    return tuple(details)
