"""Writes the partition table of a planned disk into its image file (libparted).

libparted makes every identifier at random and chooses types by what it finds in the partitions, so
both are set afterwards, straight from the plan.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from voidimg.disk.plan import DiskPlan, PartitionPlan
from voidimg.disk.sparse import copy_stored
from voidimg.errors import LayoutError
from voidimg.formats.partition_table import GPT_ATTRIBUTE_LEGACY_BOOT, SECTOR_BYTES, blank_crc

_BOOT_CODE_BYTES = 440
_HIGH_DESCRIPTOR = 512
"""Below any limit of open files under which a build starts, above any it has open."""
_MBR_ENTRIES = 446


def write_table(plan: DiskPlan, image: Path) -> None:
    """Write the table of `plan` into `image`, which must be empty and have its full size.

    libparted sees a disk in memory: its binding takes no path that is not UTF-8, and it opens
    ``DISK1`` to ``DISK64`` beside the disk.

    Raises:
        LayoutError: libparted refuses the layout.
        OSError: the image cannot be written.
    """
    with _disk_in_memory(plan.size_bytes) as (memory, name):
        _commit(plan, name)
        with open(memory, "r+b", buffering=0, closefd=False) as file:
            # libparted puts boot code of its own into an empty MBR; nothing here starts by it.
            file.write(bytes(_BOOT_CODE_BYTES))
            if plan.label == "mbr":
                _fix_mbr(file, plan)
            else:
                backup_sector = _fix_gpt(file, plan, 1)
                _fix_gpt(file, plan, backup_sector)
        with image.open("r+b", buffering=0) as target:
            copy_stored(memory, target.fileno())


@contextmanager
def _disk_in_memory(size_bytes: int) -> Iterator[tuple[int, str]]:
    """A descriptor of a file of zeros that takes memory only where it is written, and its name."""
    made = os.memfd_create("disk")
    try:
        os.ftruncate(made, size_bytes)
        # a number behind which no digit leads to another open file
        memory = fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR)
    finally:
        os.close(made)
    try:
        yield memory, f"/proc/self/fd/{memory}"
    finally:
        os.close(memory)


def _commit(plan: DiskPlan, name: str) -> None:
    import _ped
    import parted

    try:
        device = parted.getDevice(name)
        try:
            disk = parted.freshDisk(device, "msdos" if plan.label == "mbr" else "gpt")
            for partition in plan.partitions:
                _add(parted, device, disk, partition)
            disk.commitToDevice()
        finally:
            device.removeFromCache()
    except (
        parted.PartedException,
        _ped.IOException,
        _ped.PartitionException,
        _ped.DiskException,
    ) as error:
        raise LayoutError(
            f"libparted refuses the layout: {' '.join(str(error).split())}", code="PARTED"
        ) from error


def _add(parted: Any, device: Any, disk: Any, planned: PartitionPlan) -> None:
    geometry = parted.Geometry(device=device, start=planned.start_sector, length=planned.sectors)
    partition = parted.Partition(disk=disk, type=parted.PARTITION_NORMAL, geometry=geometry)
    disk.addPartition(partition=partition, constraint=parted.Constraint(exactGeom=geometry))
    if disk.type == "gpt":
        partition.set_name(planned.gpt_name)


def _fix_mbr(file: BinaryIO, plan: DiskPlan) -> None:
    file.seek(_BOOT_CODE_BYTES)
    file.write(struct.pack("<I", plan.identifiers.signature))
    for partition in plan.partitions:
        entry = _MBR_ENTRIES + 16 * (partition.number - 1)
        file.seek(entry)
        file.write(bytes((0x80 if partition.active else 0,)))
        file.seek(entry + 4)
        file.write(bytes((int(partition.type, 16),)))


def _fix_gpt(file: BinaryIO, plan: DiskPlan, header_sector: int) -> int:
    """Set what the plan says in one of the two tables; returns the sector of the other's header."""
    file.seek(header_sector * SECTOR_BYTES)
    sector = bytearray(file.read(SECTOR_BYTES))
    header_bytes = struct.unpack_from("<I", sector, 12)[0]
    table_sector, count, entry_bytes = struct.unpack_from("<QII", sector, 72)
    file.seek(table_sector * SECTOR_BYTES)
    table = bytearray(file.read(count * entry_bytes))
    for partition in plan.partitions:
        at = (partition.number - 1) * entry_bytes
        kind = UUID(partition.type).bytes_le
        table[at : at + 32] = kind + partition.identifiers.guid.bytes_le
        attributes = GPT_ATTRIBUTE_LEGACY_BOOT if partition.active else 0
        struct.pack_into("<Q", table, at + 48, attributes)
    # Boot loaders lie before the first partition: tools must not offer that space as free.
    struct.pack_into("<Q", sector, 40, plan.first_partition_sector)
    sector[56:72] = plan.identifiers.guid.bytes_le
    struct.pack_into("<I", sector, 88, zlib.crc32(table))
    header = blank_crc(bytes(sector[:header_bytes]))
    struct.pack_into("<I", sector, 16, zlib.crc32(header))
    file.seek(table_sector * SECTOR_BYTES)
    file.write(table)
    file.seek(header_sector * SECTOR_BYTES)
    file.write(sector)
    other_sector: int = struct.unpack_from("<Q", sector, 32)[0]
    return other_sector
