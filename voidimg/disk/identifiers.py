"""Derives every identifier of a disk from its plan alone, before any size is known.

So fstab and the kernel command line can be rendered into the tree before it is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from voidimg.errors import LayoutError
from voidimg.formats.fat import fat_serial
from voidimg.identity import Identity
from voidimg.spec.disk_model import Disk, Partition


@dataclass(frozen=True, slots=True)
class PartitionIdentifiers:
    """The names of one partition and of the filesystem in it.

    `partuuid` is what follows ``root=PARTUUID=``; `uuid` what follows ``UUID=`` in fstab: a FAT
    serial in the form ``ABCD-EF01``, a UUID for ext4 and swap, nothing without a filesystem.
    `fat_serial` and `ext4_uuid` are the same as numbers; `guid` is the GPT entry's own.
    """

    name: str
    number: int
    partuuid: str
    uuid: str
    fat_serial: int
    ext4_uuid: UUID
    guid: UUID


@dataclass(frozen=True, slots=True)
class DiskIdentifiers:
    """The identifiers of a disk; `signature` is the MBR's, `guid` the GPT's."""

    signature: int
    guid: UUID
    partitions: tuple[PartitionIdentifiers, ...]

    def partition(self, name: str) -> PartitionIdentifiers:
        """The identifiers of the partition called `name`.

        Raises:
            LayoutError: there is none.
        """
        for partition in self.partitions:
            if partition.name == name:
                return partition
        raise LayoutError(f"the disk has no partition {name}", code="NO-PARTITION", where=name)


def disk_identifiers(disk: Disk, identity: Identity) -> DiskIdentifiers:
    """The identifiers of `disk`; the same disk and identity always give the same."""
    signature = identity.uint32("disk signature")
    return DiskIdentifiers(
        signature=signature,
        guid=identity.uuid("disk guid"),
        partitions=tuple(
            _of_partition(partition, number, disk.label == "gpt", signature, identity)
            for number, partition in enumerate(disk.partitions, start=1)
        ),
    )


def _of_partition(
    partition: Partition, number: int, in_gpt: bool, signature: int, identity: Identity
) -> PartitionIdentifiers:
    guid = identity.uuid(f"partition {partition.name} guid")
    serial = identity.uint32(f"partition {partition.name} serial")
    ext4_uuid = identity.uuid(f"partition {partition.name} filesystem")
    return PartitionIdentifiers(
        name=partition.name,
        number=number,
        partuuid=str(guid) if in_gpt else f"{signature:08x}-{number:02x}",
        uuid=_uuid(partition, serial, ext4_uuid),
        fat_serial=serial,
        ext4_uuid=ext4_uuid,
        guid=guid,
    )


def _uuid(partition: Partition, serial: int, own: UUID) -> str:
    if partition.filesystem == "none":
        return ""
    return fat_serial(serial) if partition.filesystem == "vfat" else str(own)
