"""Checks of a disk image: partition table, FAT and ext4, and that fstab names what is there."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise

from voidimg.foreign import open_regular
from voidimg.formats.ext4 import read_ext4
from voidimg.formats.fat import MBR_TYPES, FatVolume, read_fat
from voidimg.formats.partition_table import PartitionEntry
from voidimg.formats.swap import read_swap
from voidimg.lint.model import Problem
from voidimg.lint.subject import DiskParts, Subject

_ALIGNMENT_SECTORS = 2048
"""1 MiB: what every partitioning tool keeps to, and every flash medium is good with."""
_MIN_GROWTH_BYTES = 64 * 2**30
"""A common size of media to which a root filesystem must be able to grow while it is mounted."""


def is_disk(subject: Subject) -> bool:
    """Of disk images."""
    return subject.disk is not None


def has_fat(subject: Subject) -> bool:
    """Of disk images with a FAT filesystem."""
    return subject.disk is not None and bool(subject.disk.fats)


def has_root(subject: Subject) -> bool:
    """Of disk images with a root filesystem that could be read."""
    return subject.disk is not None and subject.disk.root is not None


def _disk(subject: Subject) -> DiskParts:
    assert subject.disk is not None  # noqa: S101 - the check does not apply to anything else
    return subject.disk


def disk_table(subject: Subject) -> Iterator[Problem]:
    """The disk has an identifier and partitions, none of which lies over another."""
    table = _disk(subject).table
    if not table.identifier.strip("0-"):
        yield Problem(
            table.label.upper(), "the disk's identifier is zero: no PARTUUID finds its partitions",
            "give the disk a signature",
        )  # fmt: skip
    if not table.partitions:
        yield Problem(table.label.upper(), "there is no partition", "build the image again")
    entries = sorted(table.partitions, key=lambda entry: entry.start_sector)
    for before, after in pairwise(entries):
        if before.start_sector + before.sectors > after.start_sector:
            yield Problem(
                _name(after), f"it begins inside partition {before.number}",
                "what is written to one destroys the other: build the image again",
            )  # fmt: skip


def disk_alignment(subject: Subject) -> Iterator[Problem]:
    """Every partition begins at a whole MiB."""
    for entry in _disk(subject).table.partitions:
        if entry.start_sector % _ALIGNMENT_SECTORS:
            yield Problem(
                _name(entry), f"it begins at sector {entry.start_sector}, which is no whole MiB",
                "flash media are slow and wear out sooner so",
            )  # fmt: skip


def root_filesystem(subject: Subject) -> Iterator[Problem]:
    """There is an ext4 filesystem with a system in it."""
    if _disk(subject).root is None:
        yield Problem(
            "root filesystem", "no partition holds an ext4 filesystem with /etc in it",
            "other filesystems cannot be looked into yet",
        )  # fmt: skip


def fat_type(subject: Subject) -> Iterator[Problem]:
    """The layout of the FAT, its number of clusters and the type of the partition agree."""
    disk = _disk(subject)
    for entry, volume in disk.fats:
        yield from _fat_type(disk, entry, volume)


def _fat_type(disk: DiskParts, entry: PartitionEntry, volume: FatVolume) -> Iterator[Problem]:
    with open_regular(disk.image, block_device=True) as file:
        file.seek(entry.offset_bytes)
        boot = file.read(512)
    is_fat32 = struct.unpack_from("<H", boot, 22)[0] == 0
    if is_fat32 != (volume.bits == 32):
        layout = "FAT32" if is_fat32 else "FAT12 or FAT16"
        yield Problem(
            _name(entry),
            f"it is laid out as {layout}, but its {volume.clusters} clusters make it a"
            f" FAT{volume.bits}: readers will disagree",
            "choose another number of sectors per cluster",
        )
    announced = MBR_TYPES.get(entry.type, (volume.bits,))
    if disk.table.label == "mbr" and volume.bits not in announced:
        yield Problem(
            _name(entry), f"its type {entry.type} does not fit a FAT{volume.bits}",
            f"use {'0x0c' if is_fat32 else '0x0e'}",
        )  # fmt: skip


def fat_free(subject: Subject) -> Iterator[Problem]:
    """There is room in /boot for one more kernel: an update needs it."""
    disk = _disk(subject)
    kernels = [path for path in subject.boot if path[1:].startswith(("kernel", "vmlinu"))]
    sizes = [len(subject.read_boot(path) or b"") for path in kernels]
    if disk.fat is None or not sizes:
        return
    entry, volume = disk.fat
    if volume.free_bytes < max(sizes):
        yield Problem(
            _name(entry),
            f"{volume.free_bytes} bytes are free, but the kernel has {max(sizes)}",
            "make the boot partition larger",
        )


def fat_serial_fstab(subject: Subject) -> Iterator[Problem]:
    """Where fstab mounts /boot by UUID, it is the serial of the FAT."""
    fat = _disk(subject).fat
    if fat is not None:
        yield from _fstab(subject, "/boot", fat[0], fat[1].serial)


def ext4_uuid_fstab(subject: Subject) -> Iterator[Problem]:
    """Where fstab mounts / by UUID, it is that of the ext4 filesystem."""
    root = _disk(subject).root
    if root is not None:
        yield from _fstab(subject, "/", root[0], root[1].uuid)


def fstab_filesystems(subject: Subject) -> Iterator[Problem]:
    """What fstab mounts or takes for swap by UUID or PARTUUID is on the disk."""
    disk = _disk(subject)
    known = {f"partuuid={one.partuuid.lower()}" for one in disk.table.partitions}
    with open_regular(disk.image, block_device=True) as file:
        for one in disk.table.partitions:
            fat = read_fat(file, one.offset_bytes, one.size_bytes)
            others = read_ext4(file, one.offset_bytes), read_swap(file, one.offset_bytes)
            found = [volume.uuid for volume in others if volume is not None]
            found += [] if fat is None else [fat.serial]
            known |= {f"uuid={uuid.lower()}" for uuid in found}
    # Those of / and /boot have checks of their own, which know what they should be.
    for line in subject.found.fstab:
        words = line.split()
        name = words[0].replace('"', "").lower()
        if len(words) < 3 or words[1] in ("/", "/boot") or "noauto" in words[3:4]:
            continue
        if name.startswith(("uuid=", "partuuid=")) and name not in known:
            yield Problem(
                "/etc/fstab", f"{words[1]} is to come from {words[0]}, which is not on the disk",
                "the system would stop there when it starts: use the shipped fstab.j2",
            )  # fmt: skip


def ext4_clean(subject: Subject) -> Iterator[Problem]:
    """The root filesystem is clean."""
    root = _disk(subject).root
    if root is not None and not root[1].clean:
        yield Problem(
            _name(root[0]), "the filesystem was not unmounted cleanly",
            "it would be checked at every first start: build the image again",
        )  # fmt: skip


def ext4_growth(subject: Subject) -> Iterator[Problem]:
    """The root filesystem can grow to the size of a common medium while it is mounted."""
    root = _disk(subject).root
    if root is not None and root[1].growth_limit_bytes < _MIN_GROWTH_BYTES:
        yield Problem(
            _name(root[0]),
            f"it can grow to {root[1].growth_limit_bytes // 2**20} MiB only while it is mounted",
            "make it with reserved descriptor blocks: mke2fs -E resize=",
        )


def _fstab(subject: Subject, mount: str, entry: PartitionEntry, uuid: str) -> Iterator[Problem]:
    hint = f"write UUID={uuid}, or PARTUUID={entry.partuuid}"
    for line in subject.found.fstab:
        words = line.split()
        if len(words) < 2 or words[1] != mount:
            continue
        kind, _, value = words[0].partition("=")
        expected = {"UUID": uuid, "PARTUUID": entry.partuuid}.get(kind)
        if expected is not None and value.strip('"').lower() != expected.lower():
            what = f"{mount} is mounted from {words[0]}, but the filesystem is {kind}={expected}"
            yield Problem("/etc/fstab", what, hint)


def _name(entry: PartitionEntry) -> str:
    return f"partition {entry.number}"
