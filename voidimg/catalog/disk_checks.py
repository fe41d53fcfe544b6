"""Cross checks of a disk: what about its partitions cannot be built, before anything is built.

What a table, a filesystem and a size can be, the planner of disks says: it plans the disk empty,
and what it refuses is said here at its place in the file.
"""

from __future__ import annotations

from collections.abc import Iterator

from voidimg.arch import GRUB_PLATFORMS, X86, without_libc
from voidimg.disk.grub_core import BIOS
from voidimg.disk.grub_disk import esp_of
from voidimg.disk.plan import DiskProblem, empty_disk_problems
from voidimg.errors import LayoutError, SpecError
from voidimg.formats.fat import MBR_TYPES
from voidimg.spec.disk_model import Disk, Partition
from voidimg.spec.model import Boot
from voidimg.spec.problems import problem
from voidimg.spec.tree import Node

_CODES = {
    "FAT-CLUSTERS": "FAT-BITS",
    "FAT-TOO-SMALL": "FAT-BITS",
    "FIRST-PARTITION": "SIZE",
    "MBR-LIMIT": "SIZE",
    "NO-ROOM": "SIZE",
    "TOO-MANY": "PARTITIONS",
    "TOO-SMALL": "SIZE",
    "TYPE": "TYPE-LABEL",
}
"""Code of the planner -> the one that files are refused with."""


def check_disk(disk: Disk, boot: Boot, node: Node) -> Iterator[SpecError]:
    """Everything contradictory in `disk`, whose places are those of `node`."""
    bios = boot.grub is not None and BIOS in boot.grub.platforms
    for found in empty_disk_problems(disk, bios=bios):
        yield _at_its_place(found, node)
    yield from _check_uniqueness(disk, node)
    yield from _check_mounts(disk, node)
    for index, partition in enumerate(disk.partitions):
        yield from _check_type(partition, node.at("partitions", index))
    if boot.firmware == "raspberry-pi":
        yield from _check_raspberry_pi(disk, node)
    if boot.grub is not None and any(platform != BIOS for platform in boot.grub.platforms):
        yield from _check_esp(disk, node)


def check_grub(boot: Boot, arch: str, node: Node) -> Iterator[SpecError]:
    """Loaders that the machines of `arch` cannot start; `node` has the places of ``[boot]``."""
    machine = without_libc(arch)
    known = GRUB_PLATFORMS.get(machine, ()) + ((BIOS,) if machine in X86 else ())
    for index, platform in enumerate(boot.grub.platforms if boot.grub is not None else ()):
        if platform not in known:
            yield problem(
                node.at("grub", "platforms", index).origin,
                f"no machine of {machine} starts GRUB for {platform}",
                code="GRUB-PLATFORM",
                hint=f"those are {', '.join(known)}" if known else None,
            )


def _at_its_place(found: DiskProblem, node: Node) -> SpecError:
    code = found.error.code.removeprefix(f"{found.error.family}-")
    origin = node.at(*found.path).origin
    if code == "OVERLAP" and found.path[0] == "blobs":
        code = "BLOB"
    return problem(origin, found.error.what, code=_CODES.get(code, code), hint=found.error.hint)


def _check_uniqueness(disk: Disk, node: Node) -> Iterator[SpecError]:
    for key, meaning in (("name", "named"), ("mount", "mounted at")):
        seen: set[str] = set()
        for index, partition in enumerate(disk.partitions):
            value = getattr(partition, key)
            if value is not None and value in seen:
                place = node.at("partitions", index, key).origin
                yield problem(place, f"two partitions are {meaning} {value!r}", code="TWICE")
            seen.add(value)
    active = [index for index, partition in enumerate(disk.partitions) if partition.active]
    for index in active[1:]:
        place = node.at("partitions", index, "active").origin
        yield problem(place, "only one partition can be active", code="ACTIVE")


def _check_mounts(disk: Disk, node: Node) -> Iterator[SpecError]:
    """A system has its root on a filesystem that can hold its links and owners."""
    roots = [index for index, one in enumerate(disk.partitions) if one.mount == "/"]
    if not roots:
        place = node.at("partitions").key
        yield problem(place, "no partition is mounted at '/'", code="NO-ROOT")
    elif all(disk.partitions[index].filesystem == "vfat" for index in roots):
        place = node.at("partitions", roots[0], "filesystem").origin
        yield problem(place, "'/' has links and owners, which FAT cannot hold", code="NO-ROOT")


def _check_type(partition: Partition, place: Node) -> Iterator[SpecError]:
    announced = MBR_TYPES.get(partition.type.lower())
    if announced is None:
        return
    what = f"type {partition.type} announces FAT"
    if partition.filesystem != "vfat":
        what += f", the filesystem is {partition.filesystem}"
    elif partition.fat.bits not in announced:
        what += f"{announced[0]}, fat.bits is {partition.fat.bits}"
    else:
        return
    yield problem(place.at("type").origin, what, code="TYPE-FILESYSTEM")


def _check_esp(disk: Disk, node: Node) -> Iterator[SpecError]:
    """UEFI needs a partition that it takes for its own."""
    try:
        esp_of(disk)
    except LayoutError as error:
        yield problem(node.at("partitions").key, error.what, code="NO-ESP", hint=error.hint)


def _check_raspberry_pi(disk: Disk, node: Node) -> Iterator[SpecError]:
    """The firmware reads its files from a FAT in the first partition, and Void has it as /boot."""
    first = disk.partitions[0]
    if first.filesystem != "vfat" or first.mount != "/boot":
        yield problem(
            node.at("partitions", 0).origin,
            "Raspberry Pi firmware needs a vfat /boot as the first partition",
            code="FIRMWARE",
        )
