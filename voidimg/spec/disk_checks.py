"""Cross checks of a disk: what about its partitions cannot be built, before anything is built."""

from __future__ import annotations

import re
from collections.abc import Iterator

from voidimg.errors import SpecError
from voidimg.spec.disk_model import Disk, Fat, Partition
from voidimg.spec.model import Boot
from voidimg.spec.problems import problem
from voidimg.spec.tree import Node
from voidimg.units import format_size

SECTOR = 512
_FAT_TYPES = {"0x04": 16, "0x06": 16, "0x0e": 16, "0x0b": 32, "0x0c": 32}
"""MBR type byte -> the FAT that it announces."""

_FAT_RESERVED = {12: 1 + 32, 16: 8 + 32, 32: 32}
"""Sectors before the first cluster beside the FATs: reserved ones, and the root directory of 512
entries that FAT12 and FAT16 have (mkfs.fat 4.2)."""


def check_disk(disk: Disk, boot: Boot, node: Node) -> Iterator[SpecError]:
    """Everything contradictory in `disk`, whose places are those of `node`."""
    yield from _check_sizes(disk, node)
    yield from _check_uniqueness(disk, node)
    yield from _check_blobs(disk, node)
    for index, partition in enumerate(disk.partitions):
        place = node.at("partitions", index)
        yield from _check_type(disk, partition, place)
        if partition.filesystem == "vfat":
            yield from _check_fat(partition, place)
        elif len(partition.label.encode()) > 16:
            what = f"the ext4 label {partition.label!r} is longer than 16 bytes"
            yield problem(place.at("label").origin, what, code="LABEL")
    if boot.firmware == "raspberry-pi":
        yield from _check_raspberry_pi(disk, node)


def _check_sizes(disk: Disk, node: Node) -> Iterator[SpecError]:
    partitions = node.at("partitions")
    for key in ("size", "headroom", "first_partition"):
        value = getattr(disk, key)
        if value is not None and value % SECTOR:
            yield problem(node.at(key).origin, f"disk.{key} is not whole sectors", code="SIZE")
    last = len(disk.partitions) - 1
    total = disk.first_partition
    for index, partition in enumerate(disk.partitions):
        place = partitions.at(index, "size").origin
        if partition.size == "rest":
            if index != last:
                what = f"partition {partition.name!r} takes the rest but is not the last"
                yield problem(place, what, code="REST")
            continue
        total += partition.size
        if partition.size == 0 or partition.size % SECTOR:
            what = f"partition {partition.name!r} is not whole sectors of 512 bytes"
            yield problem(place, what, code="SIZE")
    if disk.size is not None and total > disk.size:
        yield problem(
            node.at("size").origin,
            f"the partitions need {format_size(total)}, the disk has {format_size(disk.size)}",
            code="SIZE",
            hint="leave disk.size out: it then follows from the content",
        )
    least = SECTOR if disk.label == "mbr" else 34 * SECTOR
    if disk.first_partition < least:
        what = f"the {disk.label} table itself takes the first {least} bytes"
        yield problem(node.at("first_partition").origin, what, code="SIZE")


def _check_uniqueness(disk: Disk, node: Node) -> Iterator[SpecError]:
    for key, meaning in (("name", "named"), ("mount", "mounted at")):
        seen: set[str] = set()
        for index, partition in enumerate(disk.partitions):
            value = getattr(partition, key)
            if value is not None and value in seen:
                place = node.at("partitions", index, key).origin
                yield problem(place, f"two partitions are {meaning} {value!r}", code="TWICE")
            seen.add(value)
    mounts = {partition.mount for partition in disk.partitions}
    if "/" not in mounts:
        place = node.at("partitions").key
        yield problem(place, "no partition is mounted at '/'", code="NO-ROOT")
    active = [index for index, partition in enumerate(disk.partitions) if partition.active]
    for index in active[1:]:
        place = node.at("partitions", index, "active").origin
        yield problem(place, "only one partition can be active", code="ACTIVE")
    if disk.label == "mbr" and len(disk.partitions) > 4:
        place = node.at("partitions", 4).origin
        yield problem(place, "an MBR has room for four partitions", code="PARTITIONS")


def _check_blobs(disk: Disk, node: Node) -> Iterator[SpecError]:
    least = SECTOR if disk.label == "mbr" else 34 * SECTOR
    for index, blob in enumerate(disk.blobs):
        if not least <= blob.offset < disk.first_partition:
            yield problem(
                node.at("blobs", index, "offset").origin,
                f"{blob.source} must lie between the partition table and the first partition,"
                f" at {least} to {disk.first_partition - 1} bytes",
                code="BLOB",
                hint="move disk.first_partition",
            )


def _check_type(disk: Disk, partition: Partition, place: Node) -> Iterator[SpecError]:
    is_mbr = partition.type.startswith("0x")
    if is_mbr != (disk.label == "mbr"):
        wanted = "a type byte like '0x83'" if disk.label == "mbr" else "a type GUID"
        what = f"an {disk.label} disk needs {wanted}, not {partition.type!r}"
        yield problem(place.at("type").origin, what.replace("an gpt", "a gpt"), code="TYPE-LABEL")
    elif is_mbr and partition.type.lower() == "0x00":
        yield problem(place.at("type").origin, "type 0x00 marks an empty entry", code="TYPE-LABEL")
    announced = _FAT_TYPES.get(partition.type.lower())
    if announced is None:
        return
    if partition.filesystem != "vfat":
        what = f"type {partition.type} announces FAT, the filesystem is {partition.filesystem}"
        yield problem(place.at("type").origin, what, code="TYPE-FILESYSTEM")
    elif announced != partition.fat.bits:
        what = f"type {partition.type} announces FAT{announced}, fat.bits is {partition.fat.bits}"
        yield problem(place.at("type").origin, what, code="TYPE-FILESYSTEM")


def _check_fat(partition: Partition, place: Node) -> Iterator[SpecError]:
    label = partition.label
    if label and re.fullmatch(r"[A-Z0-9!#$%&'()@^_`{}~ -]{1,11}", label) is None:
        yield problem(
            place.at("label").origin,
            f"{label!r} is not a FAT label: at most 11 capital letters, digits and signs",
            code="LABEL",
        )
    if partition.size == "rest":
        return
    choices = [partition.fat.sectors_per_cluster or 2**power for power in range(8)]
    if any(fat_bits(partition.size, partition.fat.bits, one) == partition.fat.bits
           for one in choices):  # fmt: skip
        return
    where, given = place.at("fat"), partition.fat.sectors_per_cluster
    with_clusters = "" if given is None else f" with {given} sectors per cluster"
    yield problem(
        where.at("bits").origin if given is None else where.at("sectors_per_cluster").origin,
        f"{format_size(partition.size)}{with_clusters} cannot be FAT{partition.fat.bits}:"
        f" {_cluster_rule(partition.size, partition.fat)}",
        code="FAT-BITS",
        hint=_fat_hint(partition.size, partition.fat.bits),
    )


def fat_clusters(size_bytes: int, bits: int, sectors_per_cluster: int) -> int:
    """How many clusters a FAT filesystem of `size_bytes` has, with two FATs."""
    sectors = size_bytes // SECTOR - _FAT_RESERVED[bits]
    entry_sectors = 2 * bits / 8 / SECTOR
    return max(0, int(sectors / (sectors_per_cluster + entry_sectors)))


def fat_bits(size_bytes: int, bits: int, sectors_per_cluster: int) -> int | None:
    """What readers take a filesystem laid out as FAT`bits` for: the cluster count alone decides.

    Below 4085 clusters it is FAT12, below 65525 FAT16, else FAT32 (Microsoft's FAT specification).
    None: more clusters than any FAT can number.
    """
    clusters = fat_clusters(size_bytes, bits, sectors_per_cluster)
    if clusters >= 0x0FFFFFF5 or clusters == 0:
        return None
    return 12 if clusters < 4085 else 16 if clusters < 65525 else 32


def _cluster_rule(size_bytes: int, fat: Fat) -> str:
    spc = fat.sectors_per_cluster or 1
    clusters = fat_clusters(size_bytes, fat.bits, spc)
    limits = {12: "1 to 4084", 16: "4085 to 65524", 32: "at least 65525"}
    return f"it would have {clusters} clusters, FAT{fat.bits} has {limits[fat.bits]}"


def _fat_hint(size_bytes: int, bits: int) -> str:
    fitting = [2**power for power in range(8) if fat_bits(size_bytes, bits, 2**power) == bits]
    if fitting:
        words = " or ".join(str(one) for one in fitting)
        return f"{words} sectors per cluster would do, or leave sectors_per_cluster out"
    return "change the size or fat.bits"


def _check_raspberry_pi(disk: Disk, node: Node) -> Iterator[SpecError]:
    """The firmware reads its files from a FAT in the first partition, and Void has it as /boot."""
    first = disk.partitions[0]
    if first.filesystem != "vfat" or first.mount != "/boot":
        yield problem(
            node.at("partitions", 0).origin,
            "Raspberry Pi firmware needs a vfat /boot as the first partition",
            code="FIRMWARE",
        )
