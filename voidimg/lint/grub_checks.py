"""Checks of disk images that GRUB starts: its core, its loaders, its menu, and their partitions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from voidimg.arch import EFI_FILES
from voidimg.disk.bios_boot import core_chain, core_sector_of, placed_core
from voidimg.disk.grub_version import release_of, version_of_loader, version_of_modules
from voidimg.disk.plan import BIOS_CORE
from voidimg.errors import LayoutError
from voidimg.foreign import open_regular
from voidimg.formats.boot_menus import BootMenu, MenuEntry, read_grub
from voidimg.formats.partition_table import (
    BIOS_BOOT_TYPE,
    ESP_GUID,
    ESP_TYPES,
    SECTOR_BYTES,
    PartitionEntry,
)
from voidimg.formats.reading import read_at
from voidimg.inspection.boot_files import BootFiles
from voidimg.lint.disk_checks import is_disk
from voidimg.lint.model import Problem
from voidimg.lint.subject import DiskParts, Subject

GRUB = "/boot/grub"
_CONFIG = f"{GRUB}/grub.cfg"
_REMOVABLE = "/EFI/BOOT"
_AGAIN = "build the image again"
_MAX_CORE_SECTORS = 2**16


def has_grub(subject: Subject) -> bool:
    """Of disk images whose root has a menu of GRUB."""
    return is_disk(subject) and _CONFIG in subject.entries


def _disk(subject: Subject) -> DiskParts:
    assert subject.disk is not None  # noqa: S101 - the check does not apply to anything else
    return subject.disk


def _loaders(disk: DiskParts) -> Iterator[tuple[PartitionEntry, str, bytes]]:
    """The loaders that UEFI starts from any medium: partition, path, content."""
    wanted = {name.casefold() for name in EFI_FILES.values()}
    for entry, _ in disk.fats:
        files = BootFiles(disk.image, entry.offset_bytes)
        if not files.has(_REMOVABLE):
            continue
        for path in files.list(_REMOVABLE):
            if path.rpartition("/")[2].casefold() in wanted:
                yield entry, path, files.read(path)


def esp_type(subject: Subject) -> Iterator[Problem]:
    """What UEFI starts lies in an EFI system partition, and in such a one there is something."""
    disk = _disk(subject)
    holding = {entry.number: entry for entry, _, _ in _loaders(disk)}
    if has_grub(subject):
        for entry in holding.values():
            if entry.type not in ESP_TYPES:
                wanted = "0xef" if disk.table.label == "mbr" else ESP_GUID
                yield Problem(
                    f"partition {entry.number}",
                    f"it holds loaders for UEFI, but its type is {entry.type}",
                    f"firmware of disks looks for type {wanted}: set it in the platform file",
                )
    for entry in disk.table.partitions:
        if entry.type in ESP_TYPES and disk.table.label == "gpt" and entry.number not in holding:
            yield Problem(
                f"partition {entry.number}",
                f"UEFI finds nothing to start in it: there is no {_REMOVABLE}/BOOT*.EFI",
                "give the platform a loader, or the partition another type",
            )


def grub_core(subject: Subject) -> Iterator[Problem]:
    """Where a disk starts by BIOS, GRUB's core is whole, in a place of its own, and the tree's."""
    disk = _disk(subject)
    with open_regular(disk.image, block_device=True) as file:
        sector = core_sector_of(read_at(file, 0, SECTOR_BYTES))
        if sector is None:
            return
        first = read_at(file, sector * SECTOR_BYTES, SECTOR_BYTES)
        if len(first) < SECTOR_BYTES:
            yield Problem("MBR", f"its boot code loads sector {sector}, behind the end", _AGAIN)
            return
        following, count = core_chain(first)
        length = min(count + 1, _MAX_CORE_SECTORS) * SECTOR_BYTES
        core = read_at(file, sector * SECTOR_BYTES, length)
    if following != sector + 1:
        what = f"its first sector is {sector}, and it loads the rest from {following}"
        yield Problem("GRUB's core", what, _AGAIN)
    yield from _room_of_core(disk, sector, count + 1)
    own = subject.tree.contents([BIOS_CORE]).get(BIOS_CORE)
    if own is not None and not _is_placed(own, sector, core):
        what = f"it is not what {BIOS_CORE} has"
        yield Problem("GRUB's core", what, f"it was written over: {_AGAIN}")


def _is_placed(own: bytes, sector: int, core: bytes) -> bool:
    try:
        return placed_core(own, sector) == core
    except LayoutError:
        return False


def _room_of_core(disk: DiskParts, sector: int, sectors: int) -> Iterator[Problem]:
    end = sector + sectors
    for entry in disk.table.partitions:
        entry_end = entry.start_sector + entry.sectors
        if entry.start_sector >= end or entry_end <= sector:
            continue
        own = entry.type == BIOS_BOOT_TYPE
        if not own or sector < entry.start_sector or end > entry_end:
            yield Problem(
                "GRUB's core",
                f"sectors {sector} to {end - 1} reach into partition {entry.number}"
                f" (sectors {entry.start_sector} to {entry_end - 1})",
                "give it a BIOS boot partition that has room for it",
            )


def grub_version(subject: Subject) -> Iterator[Problem]:
    """Loaders and the modules that they load from the disk are of one version of GRUB."""
    found: list[tuple[str, str]] = []
    for entry, path, content in _loaders(_disk(subject)):
        version = version_of_loader(content)
        if version is not None:
            found.append((f"{path} of partition {entry.number}", release_of(version)))
    places = [path for path in subject.entries if path.startswith(f"{GRUB}/")
              and path.endswith("/modinfo.sh")]  # fmt: skip
    for path, content in sorted(subject.tree.contents(places).items()):
        version = version_of_modules(content.decode("utf-8", "replace"))
        if version is not None:
            found.append((path, version))
    for (one, first), (other, second) in pairwise(found):
        if first != second:
            what = f"it is of GRUB {second}, {one} is of {first}"
            yield Problem(other, what, "loaders stop at modules of another version")


def grub_menu(subject: Subject) -> Iterator[Problem]:
    """What the menu starts is there, and its root is the root filesystem."""
    content = subject.tree.contents([_CONFIG]).get(_CONFIG) or b""
    menu: BootMenu = read_grub(content.decode("utf-8", "replace"), _CONFIG)
    linux = [entry for entry in menu.entries if entry.kernel is not None]
    if not linux:
        yield Problem(_CONFIG, "it has no entry that starts a kernel", _AGAIN)
    for entry in linux:
        for path in (entry.kernel, *entry.initrds):
            if path is not None and not _is_there(subject, path):
                yield Problem(_CONFIG, f"{entry.title!r} needs {path}, which is not there", _AGAIN)
        yield from _root_of(subject, entry)


def _is_there(subject: Subject, path: str) -> bool:
    """Whether GRUB finds `path`, from the top of the filesystem that holds ``/boot``."""
    return path in subject.entries or f"/boot{path}" in subject.entries or path in subject.boot


def _root_of(subject: Subject, entry: MenuEntry) -> Iterator[Problem]:
    root = _disk(subject).root
    words = [word for word in entry.cmdline.split() if word.startswith("root=")]
    if root is None:
        return
    known = {f"root=UUID={root[1].uuid}".lower(), f"root=PARTUUID={root[0].partuuid}".lower()}
    if not words:
        yield Problem(_CONFIG, f"{entry.title!r} does not say root=", _AGAIN)
    elif words[-1].lower() not in known and words[-1].startswith(("root=UUID=", "root=PARTUUID=")):
        what = f"{entry.title!r} says {words[-1]}, the root filesystem is UUID={root[1].uuid}"
        yield Problem(_CONFIG, what, _AGAIN)
