"""Plans a disk: every sector, size and identifier, before a byte is written. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from voidimg.disk.identifiers import DiskIdentifiers, PartitionIdentifiers, disk_identifiers
from voidimg.errors import LayoutError, one_or_many
from voidimg.formats import ext4, fat
from voidimg.formats.contents import Contents
from voidimg.formats.ext4 import Ext4Geometry
from voidimg.formats.fat import FatGeometry
from voidimg.formats.partition_table import (
    EMPTY_TYPES,
    GPT_NAME_UNITS,
    GPT_PARTITIONS,
    NO_FILESYSTEM_TYPES,
    SECTOR_BYTES,
)
from voidimg.identity import Identity
from voidimg.spec.disk_model import Disk, Partition
from voidimg.units import format_size

ALIGNMENT_BYTES = 2**20
"""Partitions begin and images end on it: a multiple of every flash erase block in use."""

GPT_SECTORS = 34
"""Protective MBR, header and table of 128 entries at the beginning of a GPT disk."""

_GPT_BACKUP_BYTES = (GPT_SECTORS - 1) * SECTOR_BYTES
_MBR_LIMIT_SECTORS = 2**32
_MBR_PARTITIONS = 4
MAX_DISK_BYTES = 16 * 2**40
"""The largest file of the filesystems that hosts have (ext4 with blocks of 4 KiB)."""


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
    gpt_name: str
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


Path = tuple[str | int, ...]
"""The keys and indexes that lead to a value of `Disk`: ``("partitions", 0, "size")``."""


@dataclass(frozen=True, slots=True)
class DiskProblem:
    """What keeps a disk from being laid out; `path` leads to the value of `Disk` to change."""

    path: Path
    error: LayoutError


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
    planned = _plan(disk, contents, identity, blob_bytes or {})
    if isinstance(planned, DiskPlan):
        return planned
    raise one_or_many([found.error for found in planned], "the disk cannot be laid out")


def empty_disk_problems(disk: Disk) -> list[DiskProblem]:
    """What keeps `disk` from being laid out whatever it will hold: what is wrong with it empty."""
    planned = _plan(disk, {}, Identity("empty"), {blob.source: 1 for blob in disk.blobs})
    return [] if isinstance(planned, DiskPlan) else planned


def _plan(
    disk: Disk,
    contents: Mapping[str, Contents],
    identity: Identity,
    blob_bytes: Mapping[str, int],
) -> DiskPlan | list[DiskProblem]:
    """The plan of `disk`, or everything that is in its way."""
    if unfit := [*_size_problems(disk), *_rest_problems(disk)]:
        return unfit  # nothing can be computed from them
    problems = [*_table_problems(disk), *_type_problems(disk)]
    identifiers = disk_identifiers(disk, identity)
    partitions: list[PartitionPlan] = []
    at_bytes = disk.first_partition
    for index, partition in enumerate(disk.partitions):
        at_bytes = _aligned(at_bytes)
        held = contents.get(partition.name, Contents())
        names = identifiers.partitions[index]
        size_bytes = 0
        try:
            size_bytes = _size_of(disk, partition, held, at_bytes)
            planned = _plan_partition(disk, partition, names, held, at_bytes, size_bytes)
            partitions.append(planned)
        except LayoutError as error:
            problems.append(DiskProblem(_path_of(error, partition, index), error))
        at_bytes += size_bytes
    size = disk.size or _aligned(at_bytes + _backup_bytes(disk))
    blobs = tuple(
        BlobPlan(blob.source, blob.offset, blob_bytes.get(blob.source, 0)) for blob in disk.blobs
    )
    if all(found.path != ("size",) for found in problems):
        problems = [*_end_problems(disk, at_bytes), *problems]
    problems += _blob_problems(disk, blobs)
    if problems:
        return problems
    first = disk.first_partition // SECTOR_BYTES
    return DiskPlan(disk.label, size, first, tuple(partitions), blobs, identifiers)


def _path_of(error: LayoutError, partition: Partition, index: int) -> Path:
    """The value that `error`, of the partition at `index`, is about."""
    match error.code:
        case "E-LAYOUT-NO-ROOM":
            return ("size",)
        case "E-LAYOUT-LABEL":
            return ("partitions", index, "label")
        case "E-LAYOUT-FAT-CLUSTERS" | "E-LAYOUT-FAT-TOO-SMALL":
            given = partition.fat.sectors_per_cluster is not None
            return ("partitions", index, "fat", "sectors_per_cluster" if given else "bits")
        case _:
            return ("partitions", index, "size")


def _size_problems(disk: Disk) -> Iterator[DiskProblem]:
    """Sizes that no disk can have."""
    sizes: list[tuple[Path, str, int | None]] = [
        ((key,), f"disk.{key}", getattr(disk, key)) for key in ("size", "headroom")
    ]
    sizes += [
        (("partitions", index, "size"), f"the size of partition {one.name}", one.size)
        for index, one in enumerate(disk.partitions)
        if one.size != "rest"
    ]
    for path, name, size in sizes:
        if size is None:
            continue
        if size % SECTOR_BYTES or (size == 0 and path != ("headroom",)):
            what = f"{name} is not whole sectors of {SECTOR_BYTES} bytes"
            yield _problem(path, what, code="SIZE")
        elif size > MAX_DISK_BYTES:
            what = f"{name} is more than the {format_size(MAX_DISK_BYTES)} that a file can have"
            yield _problem(path, what, code="SIZE")
    least = _table_bytes(disk)
    if disk.first_partition < least:
        yield _problem(
            ("first_partition",),
            f"the {disk.label} table itself takes the first {least} bytes",
            code="FIRST-PARTITION",
            hint="use '1MiB' or more",
        )
    elif disk.first_partition % SECTOR_BYTES or disk.first_partition > MAX_DISK_BYTES:
        what = f"the first partition cannot begin at byte {disk.first_partition}"
        hint = f"use whole sectors of {SECTOR_BYTES} bytes, such as '1MiB'"
        yield _problem(("first_partition",), what, code="FIRST-PARTITION", hint=hint)


def _rest_problems(disk: Disk) -> Iterator[DiskProblem]:
    for index, partition in enumerate(disk.partitions[:-1]):
        if partition.size == "rest":
            yield _problem(
                ("partitions", index, "size"),
                f"partition {partition.name!r} takes the rest but is not the last",
                code="REST",
                where=partition.name,
                hint="give it a size, or move it to the end",
            )


def _table_problems(disk: Disk) -> Iterator[DiskProblem]:
    """What a partition table has no room for."""
    most = _MBR_PARTITIONS if disk.label == "mbr" else GPT_PARTITIONS
    if len(disk.partitions) > most:
        yield _problem(
            ("partitions", most),
            "an MBR has room for four partitions" if disk.label == "mbr"
            else f"our GPT has room for {most} partitions",
            code="TOO-MANY",
            where="disk.partitions",
            hint='use label = "gpt"' if disk.label == "mbr" else None,
        )  # fmt: skip
    for index, partition in enumerate(disk.partitions if disk.label == "gpt" else ()):
        if partition.gpt_name is None and len(partition.name) > GPT_NAME_UNITS:
            what = f"the name {partition.name!r} is longer than the {GPT_NAME_UNITS} of a GPT"
            yield _problem(("partitions", index, "name"), what, code="NAME")


def _type_problems(disk: Disk) -> Iterator[DiskProblem]:
    for index, partition in enumerate(disk.partitions):
        kind = partition.type.lower()
        if kind.startswith("0x") != (disk.label == "mbr"):
            disk_name = "an mbr disk" if disk.label == "mbr" else "a gpt disk"
            wanted = "a type byte like '0x83'" if disk.label == "mbr" else "a type GUID"
            what = f"{disk_name} needs {wanted}, not {partition.type!r}"
        elif kind in EMPTY_TYPES:
            what = f"type {partition.type} marks an empty entry"
        elif kind in NO_FILESYSTEM_TYPES:
            what = f"type {partition.type} announces {NO_FILESYSTEM_TYPES[kind]}, no filesystem"
        else:
            continue
        path = ("partitions", index, "type")
        yield _problem(path, what, code="TYPE", where=partition.name)


def _problem(
    path: Path, what: str, *, code: str, where: str = "disk", hint: str | None = None
) -> DiskProblem:
    return DiskProblem(path, LayoutError(what, code=code, where=where, hint=hint))


def _table_bytes(disk: Disk) -> int:
    return SECTOR_BYTES * (1 if disk.label == "mbr" else GPT_SECTORS)


def _backup_bytes(disk: Disk) -> int:
    return _GPT_BACKUP_BYTES if disk.label == "gpt" else 0


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _size_of(disk: Disk, partition: Partition, contents: Contents, at_bytes: int) -> int:
    if partition.size != "rest":
        return partition.size
    if disk.size is None:
        return _smallest_bytes(partition, contents, disk.headroom)
    room = (disk.size - _backup_bytes(disk) - at_bytes) // ALIGNMENT_BYTES * ALIGNMENT_BYTES
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
        gpt_name=partition.gpt_name or partition.name,
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
    if not fat.is_label(partition.label):
        raise LayoutError(
            f"{partition.label!r} is not a FAT label",
            code="LABEL",
            where=partition.name,
            hint="at most 11 capital letters, digits and signs, no space in front",
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
    if not ext4.is_label(partition.label):
        raise LayoutError(
            f"{partition.label!r} is not an ext4 label",
            code="LABEL",
            where=partition.name,
            hint="at most 16 bytes, in one line",
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


def _end_problems(disk: Disk, end_bytes: int) -> Iterator[DiskProblem]:
    """What lies behind the end of a table's numbers, or of the disk; partitions end at `end`."""
    if disk.label == "mbr" and end_bytes // SECTOR_BYTES >= _MBR_LIMIT_SECTORS:
        yield _problem(
            ("label",),
            "an MBR cannot describe a disk beyond 2 TiB",
            code="MBR-LIMIT",
            where="disk.size",
            hint='use label = "gpt"',
        )
    if end_bytes > MAX_DISK_BYTES:
        what = f"the partitions need more than the {format_size(MAX_DISK_BYTES)} of a file"
        yield _problem(("partitions",), what, code="SIZE")
    end_bytes += _backup_bytes(disk)
    if disk.size is not None and disk.size < end_bytes:
        backup = " with the backup table" if disk.label == "gpt" else ""
        yield _problem(
            ("size",),
            f"the partitions need {end_bytes} bytes{backup}, the disk has {disk.size}",
            code="NO-ROOM",
            where="disk.size",
            hint="give it a larger size, or none: then it follows from the content",
        )


def _blob_problems(disk: Disk, blobs: tuple[BlobPlan, ...]) -> Iterator[DiskProblem]:
    """Blobs on top of something else: they lie between the table and the first partition."""
    least, end = _table_bytes(disk), _aligned(disk.first_partition)
    reach, before = least, "the partition table"
    for index, blob in sorted(enumerate(blobs), key=lambda one: (one[1].offset_bytes, one[0])):
        path = ("blobs", index, "offset")
        begin, stop = blob.offset_bytes, blob.offset_bytes + blob.length_bytes
        hint = "move first_partition or the offset of the blob"
        if begin < least or max(stop, begin + 1) > end:
            what = (
                f"{blob.source}, {blob.length_bytes} bytes at byte {begin}, must lie between the"
                f" partition table and the partition {disk.partitions[0].name},"
                f" at {least} to {end - 1} bytes"
            )
            yield _problem(path, what, code="OVERLAP", where=blob.source, hint=hint)
        elif begin < reach:
            what = f"{blob.source} begins at byte {begin}, inside {before}, which ends at {reach}"
            yield _problem(path, what, code="OVERLAP", where=blob.source, hint=hint)
        if stop > reach:
            reach, before = stop, blob.source
