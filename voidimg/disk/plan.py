"""Plans a disk: every sector, size and identifier, before a byte is written. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from voidimg.disk.identifiers import DiskIdentifiers, PartitionIdentifiers, disk_identifiers
from voidimg.errors import CollectedError, LayoutError
from voidimg.formats import ext4, fat
from voidimg.formats.contents import Contents
from voidimg.formats.ext4 import Ext4Geometry
from voidimg.formats.fat import FatGeometry
from voidimg.formats.partition_table import SECTOR_BYTES
from voidimg.identity import Identity
from voidimg.spec.disk_model import Disk, Partition
from voidimg.units import format_size

ALIGNMENT_BYTES = 2**20
"""Partitions begin and images end on it: a multiple of every flash erase block in use."""

GPT_SECTORS = 34
"""Protective MBR, header and table of 128 entries at the beginning of a GPT disk."""

_GPT_BACKUP_BYTES = (GPT_SECTORS - 1) * SECTOR_BYTES
_MBR_LIMIT_SECTORS = 2**32
_MBR_TYPE = re.compile(r"0x[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class FatPlan:
    """A FAT filesystem to make."""

    geometry: FatGeometry
    serial: int
    label: str
    hidden_sectors: int


@dataclass(frozen=True, slots=True)
class Ext4Plan:
    """An ext4 filesystem to make; `reserved_percent` is kept for root."""

    geometry: Ext4Geometry
    uuid: UUID
    label: str
    reserved_percent: int


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """One partition: sectors of 512 bytes, and the filesystem filled from `mount` of the tree.

    `type` is ``0x0c`` or a lower-case GUID. `other_mounts` are the directories below `mount` whose
    content belongs to other partitions.
    """

    name: str
    number: int
    start_sector: int
    sectors: int
    type: str
    active: bool
    mount: str | None
    other_mounts: tuple[str, ...]
    filesystem: FatPlan | Ext4Plan
    identifiers: PartitionIdentifiers

    @property
    def offset_bytes(self) -> int:
        """Where the partition begins in the image."""
        return self.start_sector * SECTOR_BYTES

    @property
    def size_bytes(self) -> int:
        """The length of the partition."""
        return self.sectors * SECTOR_BYTES


@dataclass(frozen=True, slots=True)
class BlobPlan:
    """`length_bytes` of the tree's file `source`, written at byte `offset_bytes`."""

    source: str
    offset_bytes: int
    length_bytes: int


@dataclass(frozen=True, slots=True)
class DiskPlan:
    """A whole disk image of exactly `size_bytes`."""

    label: Literal["mbr", "gpt"]
    size_bytes: int
    first_partition_sector: int
    partitions: tuple[PartitionPlan, ...]
    blobs: tuple[BlobPlan, ...]
    identifiers: DiskIdentifiers

    def partition(self, name: str) -> PartitionPlan:
        """The partition called `name`.

        Raises:
            LayoutError: there is none.
        """
        for partition in self.partitions:
            if partition.name == name:
                return partition
        raise LayoutError(f"the disk has no partition {name}", code="NO-PARTITION", where=name)


def plan_disk(
    disk: Disk,
    *,
    contents: Mapping[str, Contents],
    identity: Identity,
    blob_bytes: Mapping[str, int] | None = None,
) -> DiskPlan:
    """The plan of `disk` for these contents (by partition name) and blobs (bytes by path).

    Raises:
        LayoutError: something does not fit or overlaps; several such are in a `CollectedError`.
    """
    _check_partitions(disk)
    identifiers = disk_identifiers(disk, identity)
    problems: list[LayoutError] = []
    partitions: list[PartitionPlan] = []
    at_bytes = disk.first_partition
    for partition, names in zip(disk.partitions, identifiers.partitions, strict=True):
        at_bytes = _aligned(at_bytes)
        held = contents.get(partition.name, Contents())
        size_bytes = _size_of(disk, partition, held, at_bytes)
        try:
            planned = _plan_partition(disk, partition, names, held, at_bytes, size_bytes)
            partitions.append(planned)
        except LayoutError as error:
            problems.append(error)
        at_bytes += size_bytes
    size = _image_bytes(disk, at_bytes, problems)
    blobs = tuple(
        BlobPlan(blob.source, blob.offset, (blob_bytes or {}).get(blob.source, 0))
        for blob in disk.blobs
    )
    problems += _overlaps(disk, blobs, partitions, size)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise CollectedError("the disk cannot be laid out", problems)
    first = disk.first_partition // SECTOR_BYTES
    return DiskPlan(disk.label, size, first, tuple(partitions), blobs, identifiers)


def _check_partitions(disk: Disk) -> None:
    if disk.label == "mbr" and len(disk.partitions) > 4:
        raise LayoutError(
            f"an MBR has four partitions, not {len(disk.partitions)}",
            code="TOO-MANY",
            where="disk.partitions",
            hint='use label = "gpt"',
        )
    table_bytes = SECTOR_BYTES * (1 if disk.label == "mbr" else GPT_SECTORS)
    if disk.first_partition < table_bytes or disk.first_partition % SECTOR_BYTES:
        raise LayoutError(
            f"the first partition cannot begin at byte {disk.first_partition}",
            code="FIRST-PARTITION",
            where="disk.first_partition",
            hint=f"use at least {table_bytes} bytes, in whole sectors, such as '1MiB'",
        )
    for partition in disk.partitions:
        _check_type(disk.label, partition)
        if partition.size == "rest" and partition is not disk.partitions[-1]:
            raise LayoutError(
                f'only the last partition can have size = "rest", not {partition.name}',
                code="REST",
                where=partition.name,
                hint="give it a size, or move it to the end",
            )


def _check_type(label: str, partition: Partition) -> None:
    if label == "mbr":
        valid, form = _MBR_TYPE.fullmatch(partition.type.lower()), "an MBR type byte like '0x0c'"
    else:
        valid, form = re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
                                   partition.type.lower()), "a GPT type GUID"  # fmt: skip
    if not valid:
        raise LayoutError(
            f"{partition.type!r} is not {form}", code="TYPE", where=partition.name,
            hint=f"the disk has label = {label!r}",
        )  # fmt: skip


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _size_of(disk: Disk, partition: Partition, contents: Contents, at_bytes: int) -> int:
    if partition.size != "rest":
        return partition.size // SECTOR_BYTES * SECTOR_BYTES
    if disk.size is None:
        return _smallest_bytes(partition, contents, disk.headroom)
    tail = _GPT_BACKUP_BYTES if disk.label == "gpt" else 0
    room = (disk.size - tail - at_bytes) // ALIGNMENT_BYTES * ALIGNMENT_BYTES
    if room <= 0:
        raise LayoutError(
            f"nothing is left of {format_size(disk.size)} for the partition {partition.name},"
            f" which begins at {format_size(at_bytes)}",
            code="NO-ROOM",
            where=partition.name,
            hint="give the disk a larger size, or none: then it follows from the content",
        )
    return room


def _smallest_bytes(partition: Partition, contents: Contents, free_bytes: int) -> int:
    """The least size of `partition` that holds `contents` and leaves `free_bytes`."""
    if partition.filesystem == "vfat":
        wanted, step = partition.fat, ALIGNMENT_BYTES // SECTOR_BYTES
        sectors = fat.smallest_fitting(
            contents, wanted.bits, wanted.sectors_per_cluster, free_bytes, step
        )
        return sectors * SECTOR_BYTES
    return ext4.smallest_fitting(
        contents,
        free_bytes=free_bytes,
        reserved_percent=partition.ext4.reserved_percent,
        journal=partition.ext4.journal,
        step_bytes=ALIGNMENT_BYTES,
    )


def _plan_partition(
    disk: Disk,
    partition: Partition,
    names: PartitionIdentifiers,
    contents: Contents,
    at_bytes: int,
    size_bytes: int,
) -> PartitionPlan:
    mounts = [other.mount for other in disk.partitions if other.mount and other is not partition]
    top = (partition.mount or "").rstrip("/") + "/"
    filesystem: FatPlan | Ext4Plan
    if partition.filesystem == "vfat":
        filesystem = _plan_fat(partition, names, contents, at_bytes, size_bytes)
    else:
        filesystem = _plan_ext4(partition, names, contents, size_bytes)
    return PartitionPlan(
        name=partition.name,
        number=names.number,
        start_sector=at_bytes // SECTOR_BYTES,
        sectors=size_bytes // SECTOR_BYTES,
        type=partition.type.lower(),
        active=partition.active,
        mount=partition.mount,
        other_mounts=tuple(sorted(mount for mount in mounts if mount.startswith(top))),
        filesystem=filesystem,
        identifiers=names,
    )


def _plan_fat(
    partition: Partition,
    names: PartitionIdentifiers,
    contents: Contents,
    at_bytes: int,
    size_bytes: int,
) -> FatPlan:
    geometry = fat.choose_geometry(
        size_bytes // SECTOR_BYTES,
        partition.fat.bits,
        partition.fat.sectors_per_cluster,
        partition.name,
    )
    fat.check_root_directory(geometry, contents, partition.name)
    needed = fat.clusters_needed(geometry, contents)
    if needed > geometry.clusters:
        unit = geometry.cluster_bytes
        raise _too_small(partition, contents, needed * unit, geometry.clusters * unit)
    if len(partition.label.encode()) > 11 or partition.label != partition.label.upper():
        raise LayoutError(
            f"{partition.label!r} is not a FAT label",
            code="LABEL",
            where=partition.name,
            hint="at most 11 characters, in upper case",
        )
    hidden = at_bytes // SECTOR_BYTES
    return FatPlan(geometry, names.fat_serial, partition.label, hidden)


def _plan_ext4(
    partition: Partition, names: PartitionIdentifiers, contents: Contents, size_bytes: int
) -> Ext4Plan:
    options = partition.ext4
    geometry = ext4.geometry_of(size_bytes, contents.inodes, journal=options.journal)
    if not ext4.fits(geometry, contents):
        block = ext4.BLOCK_BYTES
        needed = ext4.blocks_needed(contents) * block
        raise _too_small(partition, contents, needed, max(0, geometry.free_blocks * block))
    if len(partition.label.encode()) > 16:
        raise LayoutError(
            f"{partition.label!r} is not an ext4 label",
            code="LABEL",
            where=partition.name,
            hint="at most 16 bytes",
        )
    return Ext4Plan(geometry, names.ext4_uuid, partition.label, options.reserved_percent)


def _too_small(
    partition: Partition, contents: Contents, needed_bytes: int, available_bytes: int
) -> LayoutError:
    least = _smallest_bytes(partition, contents, 0)
    enlarge = "the disk" if partition.size == "rest" else f"the partition {partition.name}"
    by = "" if partition.size == "rest" else f" (at least {least // 2**20}MiB)"
    return LayoutError(
        f"the files of {partition.mount or partition.name} need {needed_bytes} bytes,"
        f" but the filesystem has room for {available_bytes}",
        code="TOO-SMALL",
        where=partition.name,
        hint=f"give {enlarge} a larger size{by}, or leave packages out",
    )


def _image_bytes(disk: Disk, end_bytes: int, problems: list[LayoutError]) -> int:
    tail = _GPT_BACKUP_BYTES if disk.label == "gpt" else 0
    if disk.label == "mbr" and end_bytes // SECTOR_BYTES >= _MBR_LIMIT_SECTORS:
        problems.append(
            LayoutError(
                "an MBR cannot describe a disk beyond 2 TiB",
                code="MBR-LIMIT",
                where="disk.size",
                hint='use label = "gpt"',
            )
        )
    if disk.size is None:
        return _aligned(end_bytes + tail)
    if disk.size % SECTOR_BYTES or disk.size < end_bytes + tail:
        problems.append(
            LayoutError(
                f"the disk needs {end_bytes + tail} bytes in whole sectors, but has {disk.size}",
                code="NO-ROOM",
                where="disk.size",
                hint="give it a larger size, or none: then it follows from the content",
            )
        )
    return disk.size


def _overlaps(
    disk: Disk, blobs: tuple[BlobPlan, ...], partitions: list[PartitionPlan], size_bytes: int
) -> list[LayoutError]:
    """What lies on top of something else, in order of offset."""
    table_bytes = SECTOR_BYTES * (1 if disk.label == "mbr" else GPT_SECTORS)
    spans = [(0, table_bytes, "the partition table")]
    spans += [(b.offset_bytes, b.offset_bytes + b.length_bytes, f"{b.source}") for b in blobs]
    spans += [
        (p.offset_bytes, p.offset_bytes + p.size_bytes, f"the partition {p.name}")
        for p in partitions
    ]
    if disk.label == "gpt":
        spans.append((size_bytes - _GPT_BACKUP_BYTES, size_bytes, "the backup partition table"))
    problems = []
    reach, before = 0, ""
    for start, end, name in sorted(spans):
        if start < reach:
            problems.append(
                LayoutError(
                    f"{name} begins at byte {start}, inside {before}, which ends at {reach}",
                    code="OVERLAP",
                    where=name,
                    hint="move first_partition or the offset of the blob",
                )
            )
        if end > reach:
            reach, before = end, name
    return problems
