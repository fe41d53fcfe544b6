"""Checks of how a live ISO starts: boot catalog, partition tables, loaders and menus."""

from __future__ import annotations

import re
from collections.abc import Iterator

from voidimg.arch import GRUB_PLATFORMS, X86
from voidimg.disk.grub_version import release_of
from voidimg.errors import LayoutError
from voidimg.foreign import open_regular
from voidimg.formats.boot_menus import SYSLINUX_LIBRARIES, BootMenu, MenuEntry
from voidimg.formats.iso9660 import BLOCK_BYTES
from voidimg.formats.partition_table import GPT_MAGIC, SECTOR_BYTES, PartitionTable, read_gpt
from voidimg.inspection.medium import LiveMedium
from voidimg.lint.model import Problem
from voidimg.lint.subject import Subject
from voidimg.live.efi import LOADERS
from voidimg.live.hybrid import ESP_TYPE
from voidimg.live.media import SQUASHFS

_ESP_TYPES = ("0xef", str(ESP_TYPE))
_EFI_ONLY = frozenset({"gpt", "add_efi_memmap"})
_OVERLAY = ("rd.live.overlay.overlayfs", "rd.overlay")
_EARLY_LABEL = re.compile(rb"search [\x20-\x7e]{0,64}--label ([\x21-\x7e]{1,64})")
_REBUILD = "build the ISO again, or take another version of what was added by hand"


def is_iso(subject: Subject) -> bool:
    """Of live ISOs."""
    return subject.medium is not None


def medium_of(subject: Subject) -> LiveMedium:
    """The medium of a subject that is an ISO."""
    assert subject.medium is not None  # noqa: S101 - the check does not apply to anything else
    return subject.medium


def iso_el_torito(subject: Subject) -> Iterator[Problem]:
    """The boot catalog has an entry for each firmware of the architecture."""
    medium = medium_of(subject)
    for platform in ("bios", "efi") if _is_x86(subject) else ("efi",):
        entry = medium.boot_entry(platform)
        if entry is None:
            yield Problem(
                "boot catalog", f"there is no entry for {platform}: it does not start from a CD so",
                "give the platform a loader for it",
            )  # fmt: skip
        elif entry.path is None:
            what = f"the entry for {platform} names block {entry.block}, where no file begins"
            yield Problem("boot catalog", what, _REBUILD)


def iso_hybrid(subject: Subject) -> Iterator[Problem]:
    """As a USB stick it has partition tables that say where its loaders are."""
    medium = medium_of(subject)
    if not medium.tables:
        yield Problem(
            "partition table", "there is none, or it is damaged: no USB stick starts with it",
            "copy the ISO as it is, and do not edit its beginning",
        )  # fmt: skip
    else:
        yield from _gpt_damage(medium)
    efi, bios = medium.boot_entry("efi"), medium.boot_entry("bios")
    for table in medium.tables if efi is not None else ():
        starts = _esp_starts(table)
        if efi is not None and efi.block * BLOCK_BYTES // SECTOR_BYTES not in starts:
            what = "no partition is the EFI system partition that the boot catalog names"
            yield Problem(table.label.upper(), what, _REBUILD)
    if bios is None or not medium.tables:
        return
    with open_regular(medium.iso.path, block_device=True) as file:
        sector = file.read(SECTOR_BYTES)
    address = int.from_bytes(sector[432:440], "little") * SECTOR_BYTES
    if not any(sector[:432]) or address != bios.block * BLOCK_BYTES:
        what = "its code does not start isolinux: no BIOS starts it from a USB stick"
        yield Problem("MBR", what, _REBUILD)


def _gpt_damage(medium: LiveMedium) -> Iterator[Problem]:
    """What is wrong with a GPT behind an MBR that does without it; some firmware reads it first."""
    with open_regular(medium.iso.path, block_device=True) as file:
        file.seek(SECTOR_BYTES)
        if file.read(len(GPT_MAGIC)) != GPT_MAGIC:
            return
        try:
            read_gpt(file, str(medium.iso.path))
        except LayoutError as error:
            what = f"{error.what}: there is firmware that does not start it as a USB stick"
            yield Problem("GPT", what, _REBUILD)


def _esp_starts(table: PartitionTable) -> set[int]:
    return {entry.start_sector for entry in table.partitions if entry.type in _ESP_TYPES}


def iso_efi_files(subject: Subject) -> Iterator[Problem]:
    """The EFI system partition has the loaders that firmware of the architecture starts."""
    medium = medium_of(subject)
    files = () if medium.esp is None else medium.esp.list()
    present = {path.upper() for path in files}
    for platform in GRUB_PLATFORMS.get(subject.arch or "", ()):
        path = f"/EFI/BOOT/{LOADERS[platform].file}"
        if path not in present:
            yield Problem(
                f"ESP:{path}", "there is no such file", f"add grub-{platform} to the loaders"
            )


def iso_efi_label(subject: Subject) -> Iterator[Problem]:
    """The loaders in the EFI system partition look for the volume that this is."""
    medium = medium_of(subject)
    for path in () if medium.esp is None else medium.esp.list("/EFI/BOOT"):
        match = _EARLY_LABEL.search(medium.esp.read(path)) if medium.esp is not None else None
        label = None if match is None else match[1].decode("ascii")
        if label is not None and label != medium.iso.volume_id:
            yield Problem(
                f"ESP:{path}",
                f"it looks for the volume {label}, but this is {medium.iso.volume_id}",
                _REBUILD,
            )


def iso_grub_version(subject: Subject) -> Iterator[Problem]:
    """The EFI loaders are of the version of GRUB that the live system has."""
    said = medium_of(subject).grub_versions
    packaged = {
        release_of(package.pkgver.rpartition("-")[2].partition("_")[0])
        for package in subject.found.packages
        if re.fullmatch(r"grub(?:-(?:x86_64|i386|arm64)-efi)?", package.pkgver.rpartition("-")[0])
    }
    for path, version in said.items():
        if version is None:
            what = "it does not say which version of GRUB it is"
            yield Problem(f"ESP:{path}", what, _REBUILD)
        elif packaged and release_of(version) not in packaged:
            what = f"it is GRUB {version}, but the package is {', '.join(sorted(packaged))}"
            hint = "make the loader with grub-mkimage of the live system, as voidimg does"
            yield Problem(f"ESP:{path}", what, hint)
    releases = sorted({release_of(version) for version in said.values() if version is not None})
    if len(releases) > 1:
        yield Problem("ESP:/EFI/BOOT", f"it has loaders of GRUB {' and '.join(releases)}", _REBUILD)


def iso_menus(subject: Subject) -> Iterator[Problem]:
    """Each loader has a menu that can start the live system."""
    medium = medium_of(subject)
    for platform, loader in (("bios", "isolinux"), ("efi", "grub")):
        if medium.boot_entry(platform) is None:
            continue
        if not any(menu.live_entries for menu in medium.menus if menu.loader == loader):
            what = f"no menu of {loader} has an entry that starts the live system"
            yield Problem(f"menu of {loader}", what, _REBUILD)


def iso_menu_file(subject: Subject) -> Iterator[Problem]:
    """Every file that a menu names is on the ISO."""
    medium = medium_of(subject)
    for menu in medium.menus:
        named = dict.fromkeys(menu.files, "the menu")
        for entry in menu.entries:
            named |= {path: f"the entry {entry.id}" for path in entry.files if path not in named}
        if any(path.endswith(".c32") for path in named):
            directory = menu.path.rpartition("/")[0]
            named |= {f"{directory}/{name}": "isolinux itself" for name in SYSLINUX_LIBRARIES}
        for path, who in sorted(named.items()):
            if path not in medium.iso.files:
                yield Problem(menu.path, f"{who} names {path}, which is not on the ISO", _REBUILD)


def iso_cdlabel(subject: Subject) -> Iterator[Problem]:
    """Every entry that starts the live system looks for the volume that this is."""
    medium = medium_of(subject)
    volume = medium.iso.volume_id
    for menu, entry in _live(medium):
        if entry.label != volume:
            wrong = "names no volume" if entry.label is None else f"looks for {entry.label}"
            yield Problem(
                f"{menu.path}: {entry.id}", f"the entry {wrong}, but this is {volume}",
                f"write root=live:CDLABEL={volume}",
            )  # fmt: skip


def iso_menus_agree(subject: Subject) -> Iterator[Problem]:
    """Whatever firmware a machine has, it is offered the same ways to start."""
    menus = [menu for menu in medium_of(subject).menus if menu.live_entries]
    if len({menu.loader for menu in menus}) < 2:
        return
    first, *others = menus
    for other in others:
        ours, theirs = _offered(first), _offered(other)
        for identifier in sorted(ours.keys() | theirs.keys()):
            if identifier not in ours or identifier not in theirs:
                lacking = first.path if identifier not in ours else other.path
                yield Problem(lacking, f"it has not the entry {identifier} of the other", _REBUILD)
            elif ours[identifier] != theirs[identifier]:
                differ = sorted(ours[identifier] ^ theirs[identifier])
                what = f"the entry {identifier} of both menus differs in {' '.join(differ)}"
                yield Problem(f"{first.path}, {other.path}", what, _REBUILD)


def _offered(menu: BootMenu) -> dict[str, frozenset[str]]:
    """Entry -> its files and the words of its command line, but for those of one firmware."""
    return {
        entry.id: frozenset({*entry.files, *entry.cmdline.split()}) - _EFI_ONLY
        for entry in menu.live_entries
    }


def iso_overlay(subject: Subject) -> Iterator[Problem]:
    """A squashfs that is the root itself is made writable by overlayfs, which must be asked for."""
    medium = medium_of(subject)
    for menu, entry in _live(medium):
        words = {word.partition("=")[0] for word in entry.cmdline.split()}
        if not words & set(_OVERLAY):
            yield Problem(
                f"{menu.path}: {entry.id}", "the entry does not ask for overlayfs",
                f"add {_OVERLAY[0]}=1 {_OVERLAY[1]}=1: dracut calls it the one or the other",
            )  # fmt: skip


def iso_squashfs(subject: Subject) -> Iterator[Problem]:
    """The root is a sound squashfs, itself and not an image in it."""
    medium = medium_of(subject)
    if SQUASHFS not in medium.iso.files:
        yield Problem(SQUASHFS, "there is no such file: dracut looks there", _REBUILD)
    elif medium.squashfs is None:
        yield Problem(SQUASHFS, "it lies in pieces, and cannot be looked into", _REBUILD)
    elif "/LiveOS/ext3fs.img" in subject.entries:
        what = "the root is an ext3 image in it, which current dracut does not mount any more"
        yield Problem(SQUASHFS, what, "pack the root itself into the squashfs")


def _live(medium: LiveMedium) -> Iterator[tuple[BootMenu, MenuEntry]]:
    for menu in medium.menus:
        for entry in menu.live_entries:
            yield menu, entry


def _is_x86(subject: Subject) -> bool:
    return subject.arch in X86 or subject.arch is None
