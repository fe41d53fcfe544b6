"""Writes a planned disk image: table, filesystems, blobs; checked, and then there at once."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from voidimg.atomic import private_directory
from voidimg.disk.bios_boot import BOOT_IMAGE, boot_code, placed_core
from voidimg.disk.contents import mount_point
from voidimg.disk.ext4 import make_ext4
from voidimg.disk.fat import make_fat
from voidimg.disk.plan import BlobPlan, DiskPlan, FatPlan, PartitionPlan, SwapPlan
from voidimg.disk.sparse import place_sparse
from voidimg.disk.table_writer import write_table
from voidimg.disk.verify_image import check_fat, check_image
from voidimg.errors import LayoutError, storing
from voidimg.formats.partition_table import SECTOR_BYTES, table_of_larger_disk
from voidimg.formats.swap import SwapSpace, swap_header
from voidimg.tree import beneath

MODE = 0o644


def write_image(plan: DiskPlan, tree: Path, out: Path, epoch: int) -> None:
    """Write the disk image of `plan`, filled from `tree`, as the sparse file `out`.

    `out` appears whole and checked, or not at all. Must run where the owners of the tree are what
    they shall be in the image: inside its user namespace.

    Args:
        plan: made by `plan_disk` from the measured tree.
        tree: the top of the tree.
        out: the image; replaced when it exists.
        epoch: the build's time, in seconds since 1970.

    Raises:
        LayoutError: the tree is not what was planned, or a check of the result failed.
        StoreError: the image cannot be written (`DiskFullError`: for want of space).
        ToolError: a program is missing or failed.
    """
    with storing(out, "write the image"):
        out.parent.mkdir(parents=True, exist_ok=True)
        # beside `out`, so that the last step is a rename
        with private_directory(out.parent) as private:
            image = private / "disk.img"
            _write(plan, tree, image, private, epoch)
            check_image(plan, image)
            image.chmod(MODE)
            image.replace(out)


def _write(plan: DiskPlan, tree: Path, image: Path, private: Path, epoch: int) -> None:
    with image.open("xb") as file:
        file.truncate(plan.size_bytes)
    write_table(plan, image)
    for partition in plan.partitions:
        scratch = private / partition.name
        scratch.mkdir()
        _fill(partition, tree, image, scratch, epoch)
    with image.open("r+b") as file:
        for blob in plan.blobs:
            content = _planned_content(tree, blob)
            file.seek(blob.offset_bytes)
            file.write(content)
        if plan.bios_core is not None:
            _write_bios_core(plan.bios_core, tree, file)


def _write_bios_core(core: BlobPlan, tree: Path, file: BinaryIO) -> None:
    """GRUB's core for BIOS where the plan has it, and before the table the code that loads it."""
    sector = core.offset_bytes // SECTOR_BYTES
    boot_image = _content(tree, f"{core.source.rpartition('/')[0]}/{BOOT_IMAGE}")
    file.seek(core.offset_bytes)
    file.write(placed_core(_planned_content(tree, core), sector))
    file.seek(0)
    file.write(boot_code(boot_image, sector))


def _planned_content(tree: Path, blob: BlobPlan) -> bytes:
    content = _content(tree, blob.source)
    if len(content) != blob.length_bytes:
        raise LayoutError(
            f"{blob.source} has {len(content)} bytes, but {blob.length_bytes} were planned",
            code="CHANGED",
            where=blob.source,
        )
    return content


def _content(tree: Path, path: str) -> bytes:
    """The content of the file `path` of `tree`, empty when it is gone."""
    descriptor = beneath.open_file(tree, path)
    if descriptor is None:
        return b""
    with open(descriptor, "rb") as file:
        return file.read()


def _fill(partition: PartitionPlan, tree: Path, image: Path, scratch: Path, epoch: int) -> None:
    filesystem = partition.filesystem
    if isinstance(filesystem, FatPlan):
        volume = scratch / "fat.img"
        if partition.mount is None:
            make_fat(filesystem, None, volume, epoch)
        else:
            with mount_point(tree, partition.mount) as top:
                make_fat(filesystem, top, volume, epoch)
        check_fat(volume, partition)
        place_sparse(volume, image, partition.offset_bytes)
        volume.unlink()
        return
    if filesystem is None:
        return
    if isinstance(filesystem, SwapPlan):
        space = SwapSpace(filesystem.pages, str(filesystem.uuid), filesystem.label)
        with image.open("r+b") as file:
            file.seek(partition.offset_bytes)
            file.write(swap_header(space))
        return
    mounts = partition.other_mounts
    make_ext4(
        filesystem, tree, partition.mount, mounts, image, partition.offset_bytes, epoch, scratch
    )


def copy_to_larger(disk: Path, out: Path, size_bytes: int) -> None:
    """Write the raw `disk` as the sparse file `out` of `size_bytes`, its table right for that size.

    Raises:
        LayoutError: the disk has no sound partition table.
        StoreError: `out` cannot be written (`DiskFullError`: for want of space).
    """
    with storing(out, "write"):
        with disk.open("rb") as source:
            changes = table_of_larger_disk(source, size_bytes, str(disk))
        with out.open("wb") as file:
            file.truncate(size_bytes)
        place_sparse(disk, out, 0)
        with out.open("r+b") as file:
            for at, content in changes.items():
                file.seek(at)
                file.write(content)
