"""Plans a disk: every sector, size and identifier, before a byte is written. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from voidimg.disk.identifiers import DiskIdentifiers, PartitionIdentifiers, disk_identifiers
from voidimg.disk.regions import Overlap, Path, Region, overlaps
from voidimg.errors import LayoutError, one_or_many
from voidimg.formats import ext4, fat, swap
from voidimg.formats.contents import Contents
from voidimg.formats.ext4 import Ext4Geometry
from voidimg.formats.fat import FatGeometry
from voidimg.formats.partition_table import (
    BIOS_BOOT_TYPE,
    EMPTY_TYPES,
    GPT_NAME_UNITS,
    GPT_PARTITIONS,
    NO_FILESYSTEM_TYPES,
    SECTOR_BYTES,
)
from voidimg.identity import Identity
from voidimg.spec.disk_model import Blob, Disk, Partition
from voidimg.units import format_size

ALIGNMENT_BYTES = 2**20
"""Partitions begin and images end on it: a multiple of every flash erase block in use."""

GPT_SECTORS = 34
"""Protective MBR, header and table of 128 entries at the beginning of a GPT disk."""

BIOS_CORE = "/boot/grub/i386-pc/core.img"
"""Where the tree has GRUB's core for BIOS, which is also written to the disk."""
LEAST_CORE_BYTES = 32 * 2**10
"""No core of GRUB that finds a filesystem by its UUID is smaller."""

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
class SwapPlan:
    """A swap space to make, of `pages` of 4 KiB."""

    pages: int
    uuid: UUID
    label: str


FilesystemPlan = FatPlan | Ext4Plan | SwapPlan | None
"""None: the partition holds no filesystem."""


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
    filesystem: FilesystemPlan
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
    """A whole disk image of exactly `size_bytes`; `bios_core` is GRUB's core for BIOS, if any."""

    label: Literal["mbr", "gpt"]
    size_bytes: int
    first_partition_sector: int
    partitions: tuple[PartitionPlan, ...]
    blobs: tuple[BlobPlan, ...]
    identifiers: DiskIdentifiers
    bios_core: BlobPlan | None = None

    def partition(self, name: str) -> PartitionPlan:
        """The partition called `name`.

        Raises:
            LayoutError: there is none.
        """
        for partition in self.partitions:
            if partition.name == name:
                return partition
        raise LayoutError(f"the disk has no partition {name}", code="NO-PARTITION", where=name)


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
    core_bytes: int | None = None,
    kernel_bytes: int = 0,
) -> DiskPlan:
    """The plan of `disk` for these contents (by partition name) and blobs (bytes by path).

    Args:
        disk: what is wanted.
        contents: what each partition holds.
        identity: what identifiers are derived from.
        blob_bytes: the length of each blob.
        core_bytes: the length of GRUB's core for BIOS; None where the disk has none.
        kernel_bytes: what an update of the kernel needs beside the one in ``/boot``.

    Raises:
        LayoutError: something does not fit or overlaps; several such are in a `CollectedError`.
    """
    wanted = _Wanted(disk, contents, identity, blob_bytes or {}, core_bytes, kernel_bytes)
    planned = _plan(wanted)
    if isinstance(planned, DiskPlan):
        return planned
    raise one_or_many([found.error for found in planned], "the disk cannot be laid out")


def empty_disk_problems(disk: Disk, *, bios: bool = False) -> list[DiskProblem]:
    """What keeps `disk` from being laid out whatever it will hold: what is wrong with it empty.

    `bios`: GRUB starts it on PCs with BIOS.
    """
    blobs = {blob.source: 1 for blob in disk.blobs}
    core = LEAST_CORE_BYTES if bios else None
    planned = _plan(_Wanted(disk, {}, Identity("empty"), blobs, core, 0))
    return [] if isinstance(planned, DiskPlan) else planned


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a plan is made of; see `plan_disk`."""

    disk: Disk
    contents: Mapping[str, Contents]
    identity: Identity
    blob_bytes: Mapping[str, int]
    core_bytes: int | None
    kernel_bytes: int


def _plan(wanted: _Wanted) -> DiskPlan | list[DiskProblem]:
    """The plan of a disk, or everything that is in its way."""
    disk = wanted.disk
    if unfit := [*_size_problems(disk), *_rest_problems(disk)]:
        return unfit  # nothing can be computed from them
    problems = [*_table_problems(disk), *_type_problems(disk), *_content_problems(disk)]
    identifiers = disk_identifiers(disk, wanted.identity)
    partitions: list[PartitionPlan] = []
    regions: list[Region] = [Region("the partition table", 0, _table_bytes(disk))]
    at_bytes = disk.first_partition
    for index, partition in enumerate(disk.partitions):
        start = partition.start
        begin = _aligned(at_bytes) if start is None else start
        held = wanted.contents.get(partition.name, Contents())
        names = identifiers.partitions[index]
        size_bytes = 0
        try:
            size_bytes = _size_of(disk, partition, held, begin)
            planned = _plan_partition(disk, partition, names, held, begin, size_bytes)
            _require_kernel_room(partition, planned, held, wanted.kernel_bytes)
            partitions.append(planned)
        except LayoutError as error:
            problems.append(DiskProblem(_path_of(error, partition, index), error))
        own = None if start is None else ("partitions", index, "start")
        name = f"the partition {partition.name}"
        regions.append(Region(name, begin, max(begin + size_bytes, begin + 1), own))
        at_bytes = max(at_bytes, begin + size_bytes)
    size = disk.size or _aligned(at_bytes + _backup_bytes(disk))
    if all(found.path != ("size",) for found in problems):
        problems = [*_end_problems(disk, at_bytes), *problems]
    blobs, found = _place_blobs(wanted, regions[1:])
    core, missing = _place_core(wanted, regions[1:])
    problems += [*found, *missing]
    placed = [*regions, *_gap_regions(disk, blobs)]
    if core is not None and disk.label == "mbr":
        end = core.offset_bytes + core.length_bytes
        placed.append(Region("GRUB's core for BIOS", core.offset_bytes, end))
    problems += [_overlap_problem(overlap) for overlap in overlaps(placed)]
    if problems:
        return problems
    starts = [one.start for one in disk.partitions if one.start is not None]
    first = min([disk.first_partition, *starts]) // SECTOR_BYTES
    return DiskPlan(disk.label, size, first, tuple(partitions), blobs, identifiers, core)


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
    sizes += [
        (("partitions", index, "start"), f"the start of partition {one.name}", one.start)
        for index, one in enumerate(disk.partitions)
    ]
    for path, name, size in sizes:
        if size is None:
            continue
        if size % SECTOR_BYTES or (size == 0 and path[-1] not in ("headroom", "start")):
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


def _content_problems(disk: Disk) -> Iterator[DiskProblem]:
    """Partitions without files of which files are expected, and the other way round."""
    for index, partition in enumerate(disk.partitions):
        if partition.filesystem in ("vfat", "ext4"):
            continue
        what = "is swap space" if partition.filesystem == "swap" else "has no filesystem"
        if partition.mount is not None:
            yield _problem(
                ("partitions", index, "mount"),
                f"the partition {partition.name} {what}: nothing of it can be mounted",
                code="NO-FILES",
                where=partition.name,
                hint="leave mount out, or choose vfat or ext4",
            )
        if partition.size == "rest":
            yield _problem(
                ("partitions", index, "size"),
                f"the partition {partition.name} {what}: nothing says how large the rest is",
                code="REST",
                where=partition.name,
                hint="give it a size, and the rest to a partition with files",
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
    if partition.filesystem in ("swap", "none"):
        return ALIGNMENT_BYTES  # refused by `_content_problems`
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
    filesystem: FilesystemPlan = None
    if partition.filesystem == "vfat":
        filesystem = _plan_fat(partition, names, contents, at_bytes, size_bytes)
    elif partition.filesystem == "ext4":
        filesystem = _plan_ext4(partition, names, contents, size_bytes)
    elif partition.filesystem == "swap":
        filesystem = _plan_swap(partition, names, size_bytes)
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


def _plan_swap(partition: Partition, names: PartitionIdentifiers, size_bytes: int) -> SwapPlan:
    pages = size_bytes // swap.PAGE_BYTES
    if pages < swap.SMALLEST_PAGES:
        raise LayoutError(
            f"{size_bytes} bytes are too small for swap space, which has"
            f" {swap.SMALLEST_PAGES * swap.PAGE_BYTES} or more",
            code="TOO-SMALL",
            where=partition.name,
        )
    if not swap.is_label(partition.label):
        raise LayoutError(
            f"{partition.label!r} is not a label of swap space",
            code="LABEL",
            where=partition.name,
            hint="at most 16 bytes, in one line",
        )
    return SwapPlan(pages, names.ext4_uuid, partition.label)


def _require_kernel_room(
    partition: Partition, planned: PartitionPlan, contents: Contents, kernel_bytes: int
) -> None:
    """An update unpacks the new kernel beside the old one, into a partition that cannot grow."""
    if partition.mount != "/boot" or partition.size == "rest" or not kernel_bytes:
        return
    filesystem = planned.filesystem
    if isinstance(filesystem, FatPlan):
        unit = filesystem.geometry.cluster_bytes
        left = filesystem.geometry.clusters - fat.clusters_needed(filesystem.geometry, contents)
    elif isinstance(filesystem, Ext4Plan):
        unit = ext4.BLOCK_BYTES
        left = filesystem.geometry.free_blocks - ext4.blocks_needed(contents)
    else:
        return
    if left * unit < kernel_bytes:
        least = -(-(planned.size_bytes + kernel_bytes - left * unit) // 2**20)
        raise LayoutError(
            f"{left * unit} bytes would be free in {partition.mount}, but an update of the kernel"
            f" needs {kernel_bytes} for the new one beside the old",
            code="NO-UPDATE",
            where=partition.name,
            hint=f"give the partition {partition.name} a larger size (some {least}MiB)",
        )


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


def _place_blobs(
    wanted: _Wanted, partitions: list[Region]
) -> tuple[tuple[BlobPlan, ...], list[DiskProblem]]:
    """Where each blob of the disk goes, and what is in its way; the plans are in the disk's order.

    What lies over something else in a gap is found with everything else that lies there.
    """
    places: list[BlobPlan] = []
    problems: list[DiskProblem] = []
    for index, blob in enumerate(wanted.disk.blobs):
        length = wanted.blob_bytes.get(blob.source, 0)
        if blob.partition is None:
            problems += _gap_problems(index, blob, length, partitions[-1])
            places.append(BlobPlan(blob.source, blob.offset or 0, length))
            continue
        room, refused = _room_of(wanted.disk, index, blob, partitions)
        if room is None:
            problems += refused
            continue
        if length > room.end - room.start:
            what = f"{blob.source} has {length} bytes, {room.name} {room.end - room.start}"
            problems.append(
                _problem(
                    ("blobs", index, "partition"),
                    f"{what}, at byte {room.start}",
                    code="OVERLAP",
                    where=blob.source,
                    hint="give the partition a larger size",
                )
            )
        places.append(BlobPlan(blob.source, room.start, length))
    return tuple(places), problems


def _gap_problems(index: int, blob: Blob, length: int, last: Region) -> Iterator[DiskProblem]:
    begin = blob.offset or 0
    if begin >= last.end:
        mine = Region(blob.source, begin, begin + max(1, length))
        yield _problem(
            ("blobs", index, "offset"),
            f"{mine} lies behind {last}, which may grow over it on a larger medium",
            code="OVERLAP",
            where=blob.source,
            hint="write it between the partition table and the last partition",
        )


def _room_of(
    disk: Disk, index: int, blob: Blob, partitions: list[Region]
) -> tuple[Region | None, list[DiskProblem]]:
    """The partition that `blob` names."""
    path: Path = ("blobs", index, "partition")
    for partition, region in zip(disk.partitions, partitions, strict=True):
        if partition.name != blob.partition:
            continue
        if partition.filesystem == "none":
            return region, []
        what = f"{blob.source} would be written over the {partition.filesystem} of {region.name}"
        hint = f'give the partition {partition.name} filesystem = "none"'
        return None, [_problem(path, what, code="OVERLAP", where=blob.source, hint=hint)]
    what = f"the disk has no partition {blob.partition} for {blob.source}"
    return None, [_problem(path, what, code="NO-PARTITION", where=blob.source)]


def _gap_regions(disk: Disk, blobs: tuple[BlobPlan, ...]) -> Iterator[Region]:
    """The blobs that lie outside of partitions."""
    lengths = {(plan.source, plan.offset_bytes): plan.length_bytes for plan in blobs}
    for index, blob in enumerate(disk.blobs):
        if blob.offset is not None:
            length = max(1, lengths.get((blob.source, blob.offset), 0))
            path = ("blobs", index, "offset")
            yield Region(blob.source, blob.offset, blob.offset + length, path)


def _place_core(
    wanted: _Wanted, partitions: list[Region]
) -> tuple[BlobPlan | None, list[DiskProblem]]:
    """Where GRUB's core for BIOS goes: behind an MBR, or into the BIOS boot partition of a GPT."""
    disk, length = wanted.disk, wanted.core_bytes
    if length is None:
        return None, []
    if disk.label == "mbr":
        return BlobPlan(BIOS_CORE, SECTOR_BYTES, length), []
    for index, (partition, region) in enumerate(zip(disk.partitions, partitions, strict=True)):
        if partition.type.lower() != BIOS_BOOT_TYPE:
            continue
        path: Path = ("partitions", index)
        if partition.filesystem != "none":
            what = f"{region.name} has the type of a BIOS boot partition, which has no filesystem"
            return None, [_problem((*path, "filesystem"), what, code="BIOS-BOOT")]
        if any(blob.partition == partition.name for blob in disk.blobs):
            what = f"{region.name} is GRUB's, and a blob would be written over it"
            return None, [_problem(path, what, code="OVERLAP", where=partition.name)]
        if length > region.end - region.start:
            what = f"GRUB's core for BIOS has {length} bytes, {region} has no room for it"
            hint = "give the partition a larger size: 1MiB is usual"
            return None, [_problem((*path, "size"), what, code="OVERLAP", hint=hint)]
        return BlobPlan(BIOS_CORE, region.start, length), []
    what = "GRUB starts a GPT disk by BIOS from a BIOS boot partition, and there is none"
    hint = f'add one of 1MiB with type = "{BIOS_BOOT_TYPE}" and filesystem = "none"'
    return None, [_problem(("partitions",), what, code="BIOS-BOOT", hint=hint)]


def _overlap_problem(overlap: Overlap) -> DiskProblem:
    hint = "move one of them: by offset, start or first_partition"
    return _problem(overlap.path, str(overlap), code="OVERLAP", hint=hint)
