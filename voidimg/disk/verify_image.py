"""Checks a written image against its plan, with the tools that its users would check it with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from voidimg.disk.fsck import fsck_ext4, fsck_fat
from voidimg.disk.plan import DiskPlan, Ext4Plan, FatPlan, PartitionPlan, SwapPlan
from voidimg.errors import LayoutError, ToolError
from voidimg.foreign import open_regular
from voidimg.formats.ext4 import read_ext4
from voidimg.formats.fat import fat_serial, read_fat
from voidimg.formats.partition_table import PartitionEntry, read_table
from voidimg.formats.swap import SwapSpace, read_swap


def check_image(plan: DiskPlan, image: Path) -> None:
    """Size, table and filesystems of `image` are those of `plan`; ext4 is clean.

    Raises:
        LayoutError: something differs; the message names it.
    """
    size = image.stat().st_size
    _same("the size of the image", plan.size_bytes, size)
    table = read_table(image)
    _same("the partition table", plan.label, table.label)
    names = plan.identifiers
    identifier = f"{names.signature:08x}" if plan.label == "mbr" else str(names.guid)
    _same("the disk's identifier", identifier, table.identifier)
    expected = tuple(_entry(partition, plan.label) for partition in plan.partitions)
    _same("the partitions", expected, table.partitions)
    for partition in plan.partitions:
        _check_filesystem(partition, image)


def check_fat(volume: Path, partition: PartitionPlan) -> None:
    """`fsck.vfat` finds nothing wrong with the filesystem in the file `volume`.

    Raises:
        LayoutError: it does.
    """
    _check_with(partial(fsck_fat, volume), partition.name)


def _check_filesystem(partition: PartitionPlan, image: Path) -> None:
    planned = partition.filesystem
    with open_regular(image, block_device=True) as file:
        fat = read_fat(file, partition.offset_bytes, partition.size_bytes)
        ext4 = read_ext4(file, partition.offset_bytes)
    what = f"the filesystem of the partition {partition.name}"
    if planned is None:
        return
    if isinstance(planned, SwapPlan):
        with open_regular(image, block_device=True) as file:
            space = read_swap(file, partition.offset_bytes)
        _same(what, SwapSpace(planned.pages, str(planned.uuid), planned.label), space)
        return
    if isinstance(planned, FatPlan):
        found = None if fat is None else (fat.bits, fat.clusters, fat.serial, fat.hidden_sectors)
        geometry = planned.geometry
        serial = fat_serial(planned.serial)
        _same(what, (geometry.bits, geometry.clusters, serial, planned.hidden_sectors), found)
        return
    seen = None if ext4 is None else (ext4.blocks, ext4.inodes, ext4.uuid, ext4.clean)
    _same(what, _ext4_facts(planned), seen)
    _check_with(partial(fsck_ext4, image, partition.offset_bytes), partition.name)


def _ext4_facts(planned: Ext4Plan) -> tuple[int, int, str, bool]:
    geometry = planned.geometry
    return geometry.blocks, geometry.inodes, str(planned.uuid), True


def _entry(partition: PartitionPlan, label: str) -> PartitionEntry:
    return PartitionEntry(
        number=partition.number,
        start_sector=partition.start_sector,
        sectors=partition.sectors,
        type=partition.type,
        active=partition.active,
        name=partition.gpt_name if label == "gpt" else "",
        partuuid=partition.identifiers.partuuid,
    )


def _check_with(check: Callable[[], None], where: str) -> None:
    try:
        check()
    except ToolError as error:
        if error.code.endswith("MISSING"):
            raise
        raise LayoutError(
            f"the new filesystem is not clean: {error.what}", code="NOT-CLEAN", where=where,
            hint="this is a fault of voidimg or of a tool: please report it",
        ) from error  # fmt: skip


def _same(what: str, planned: object, found: object) -> None:
    if planned != found:
        raise LayoutError(
            f"{what} is not as planned: {found!r} instead of {planned!r}",
            code="NOT-AS-PLANNED",
            hint="this is a fault of voidimg or of a tool: please report it",
        )
