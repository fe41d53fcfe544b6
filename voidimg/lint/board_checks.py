"""Checks of images that U-Boot starts: its blobs, and what its menu or script names."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from voidimg.foreign import open_regular
from voidimg.formats.partition_table import SECTOR_BYTES
from voidimg.formats.uboot_menus import (
    EXTLINUX,
    SCRIPT,
    UbootEntry,
    read_boot_script,
    read_extlinux,
)
from voidimg.formats.uboot_script import read_script
from voidimg.lint.disk_checks import is_disk
from voidimg.lint.model import Problem
from voidimg.lint.subject import Subject

_BLOBS: Mapping[str, int] = {
    "idbloader.img": 64 * SECTOR_BYTES,
    "u-boot.itb": 16384 * SECTOR_BYTES,
    "u-boot-sunxi-with-spl.bin": 8192,
}
"""File name -> the byte at which the ROM of Rockchip's or Allwinner's chips, or what that started,
looks for it (U-Boot's doc/board/rockchip and doc/board/allwinner)."""
_GPT_END_BYTES = 34 * SECTOR_BYTES
_EXTLINUX_DEFAULTS = "/etc/default/extlinux"
_ASSIGNED = re.compile(r"^\s*(\w+)=[\"']?(.*?)[\"']?\s*$", re.MULTILINE)
_RELEASE = re.compile(r"/vmlinu[xz]-(.+)")


@dataclass(frozen=True, slots=True)
class _Board:
    """What the kernel of a board is told: its serial port, and its device trees (patterns)."""

    console: str
    device_trees: tuple[str, ...]


_BOARDS: Mapping[str, _Board] = {
    "rock64-base": _Board("ttyS2", ("rockchip/rk3328-rock64.dtb",)),
    "rockpro64-base": _Board("ttyS2", ("rockchip/rk3399-rockpro64*.dtb",)),
    "pinebookpro-base": _Board("ttyS2", ("rockchip/rk3399-pinebook-pro.dtb",)),
    "pinephone-base": _Board("ttyS0", ("allwinner/sun50i-a64-pinephone*.dtb",)),
}
"""Void's package of a board -> the board."""


def is_uboot_disk(subject: Subject) -> bool:
    """Of disk images that U-Boot starts by a menu or a script."""
    return is_disk(subject) and any(_read(subject, path) is not None for path in (EXTLINUX, SCRIPT))


def blob_fits(subject: Subject) -> Iterator[Problem]:
    """U-Boot and what comes before it are on the disk where the board looks, and over nothing."""
    there = {name: dict(_files_called(subject, name)) for name in _BLOBS}
    for name, files in there.items():
        at = _BLOBS[name]
        if not files:
            continue
        found = next((path for path in files if _is_at(subject, at, files[path])), None)
        if found is None:
            yield Problem(
                next(iter(files)), f"it is not at byte {at} of the disk, where the board looks",
                f"write it there: blobs of [disk], offset = '{at // SECTOR_BYTES}sectors'",
            )  # fmt: skip
        else:
            others = [other for other in _BLOBS if other != name and there[other]]
            yield from _over_something(subject, found, at, len(files[found]), others)


def extlinux_paths(subject: Subject) -> Iterator[Problem]:
    """Every path that the menu or script of U-Boot names is on its partition."""
    for place, entry in _entries(subject):
        hint = "paths begin at the top of the partition that the file is on"
        if not entry.kernel:
            yield Problem(place, f"entry {entry.label}: it names no kernel", hint)
        for what, path in entry.paths():
            if not _is_there(subject, path):
                yield Problem(place, f"entry {entry.label}: the {what} {path} is not there", hint)
    menu = _read(subject, EXTLINUX)
    if menu is not None:
        found = read_extlinux(menu.decode("utf-8", "replace"))
        labels = [entry.label for entry in found.entries]
        if not labels:
            yield Problem(_place(EXTLINUX), "there is no entry", "build the image again")
        elif found.default and found.default not in labels:
            what = f"DEFAULT says {found.default}, and the entries are {', '.join(labels)}"
            yield Problem(_place(EXTLINUX), what, "name one of them")


def uboot_script(subject: Subject) -> Iterator[Problem]:
    """A boot script has a sound header, and is made of the text beside it."""
    content = _read(subject, SCRIPT)
    if content is None:
        return
    script, text = read_script(content), _read(subject, "/boot.txt")
    if script.flaw is not None:
        yield Problem(_place(SCRIPT), script.flaw, "make it again with mkimage -T script")
    elif text is not None and text.decode("utf-8", "replace") != script.text:
        what = "it is not made of the boot.txt beside it"
        yield Problem(_place(SCRIPT), what, "make it again with mkimage -T script")


def uboot_root(subject: Subject) -> Iterator[Problem]:
    """The kernel is told a root that is in this image, and that it can find."""
    root = None if subject.disk is None else subject.disk.root
    if root is None:
        return
    expected = {"UUID": root[1].uuid, "PARTUUID": root[0].partuuid}
    for place, entry in _entries(subject):
        roots = [word[5:] for word in entry.cmdline.split() if word.startswith("root=")]
        kind, _, value = roots[-1].partition("=") if roots else ("", "", "")
        label = f"entry {entry.label}"
        hint = f"write root=PARTUUID={root[0].partuuid}"
        if not roots:
            yield Problem(place, f"{label}: there is no root=", hint)
        elif kind not in expected:
            what = f"{label}: root={roots[-1]} is another device on another medium"
            yield Problem(place, what, hint)
        elif value.strip('"').lower() != expected[kind].lower():
            what = f"{label}: root={roots[-1]} is not the root of this image"
            yield Problem(place, what, f"write root={kind}={expected[kind]}")
        elif kind == "UUID" and not entry.initrd:
            what = f"{label}: root=UUID= needs an initramfs to be found, and there is none"
            yield Problem(place, what, hint)


def uboot_console(subject: Subject) -> Iterator[Problem]:
    """The kernel speaks on the serial port of the board."""
    for package, board in _boards(subject):
        for place, entry in _entries(subject):
            words = [word for word in entry.cmdline.split() if word.startswith("console=")]
            names = {word.partition("=")[2].partition(",")[0] for word in words}
            if board.console not in names:
                said = ", ".join(words) or "no console"
                what = f"entry {entry.label}: it has {said}, and {package} is for {board.console}"
                yield Problem(place, what, f"add console={board.console},SPEED")


def uboot_device_tree(subject: Subject) -> Iterator[Problem]:
    """The device tree of the board is where the menu or script lets U-Boot look for it."""
    for package, board in _boards(subject):
        for place, entry in _entries(subject):
            places = _directories(entry)
            wanted = [f"{one}/{name}" for one in places for name in board.device_trees]
            if places and not any(
                fnmatchcase(path, one) for path in _files(subject) for one in wanted
            ):
                what = f"entry {entry.label}: {wanted[0]} is not there, which {package} is for"
                yield Problem(place, what, "is the package of the kernel whole?")


def uboot_modules(subject: Subject) -> Iterator[Problem]:
    """Each kernel that can be started has its modules."""
    for place, entry in _entries(subject):
        match = _RELEASE.search(entry.kernel)
        if match is not None and f"/usr/lib/modules/{match[1]}" not in subject.entries:
            what = f"entry {entry.label}: there are no modules of {match[1]}"
            yield Problem(place, what, "boot partition and root are of two kernels: build again")


def uboot_update(subject: Subject) -> Iterator[Problem]:
    """An update of the kernel makes the menu anew with the words that it has now."""
    content = subject.tree.read(_EXTLINUX_DEFAULTS)
    menu = _read(subject, EXTLINUX)
    if content is None or menu is None:
        return
    values = dict(_ASSIGNED.findall(content.decode("utf-8", "replace")))
    for entry in read_extlinux(menu.decode("utf-8", "replace")).entries:
        if values.get("CMDLINE") != entry.cmdline:
            what = f"CMDLINE is {values.get('CMDLINE')!r}, the menu has {entry.cmdline!r}"
            yield Problem(_EXTLINUX_DEFAULTS, what, "write the same words into both")
        if bool(values.get("USE_DEVICETREEDIR")) != bool(entry.device_trees):
            what = "it and the menu do not agree on a directory of device trees"
            yield Problem(_EXTLINUX_DEFAULTS, what, "set USE_DEVICETREEDIR=yes")


def _entries(subject: Subject) -> Iterator[tuple[str, UbootEntry]]:
    """What U-Boot can start, with the file that says it."""
    menu, script = _read(subject, EXTLINUX), _read(subject, SCRIPT)
    if menu is not None:
        text = menu.decode("utf-8", "replace")
        for entry in read_extlinux(text, _inside(subject, EXTLINUX)).entries:
            yield _place(EXTLINUX), entry
    if script is not None and read_script(script).flaw is None:
        yield _place(SCRIPT), read_boot_script(read_script(script).text)


def _boards(subject: Subject) -> Iterator[tuple[str, _Board]]:
    for package, board in _BOARDS.items():
        if package in subject.packages:
            yield package, board


def _directories(entry: UbootEntry) -> list[str]:
    """Where U-Boot looks for the file that its variable ``fdtfile`` names, or finds it said."""
    if entry.device_trees:
        return [entry.device_trees]
    top, variable, _ = entry.device_tree.partition("/$")
    if variable:
        return [top]
    match = re.fullmatch(r"(.*)/[^/]+/[^/]+", entry.device_tree)
    return [] if match is None else [match[1]]


def _has_fat(subject: Subject) -> bool:
    return subject.disk is not None and subject.disk.fat is not None


def _inside(subject: Subject, path: str) -> str:
    """`path` of ``/boot`` from the top of the partition that it is on."""
    return path if _has_fat(subject) else f"/boot{path}"


def _place(path: str) -> str:
    """`path` of ``/boot`` for people."""
    return f"/boot{path}"


def _read(subject: Subject, path: str) -> bytes | None:
    if _has_fat(subject):
        return subject.read_boot(path)
    return subject.tree.read(f"/boot{path}")


def _files(subject: Subject) -> tuple[str, ...]:
    """The files of the partition that U-Boot reads."""
    return subject.boot if _has_fat(subject) else tuple(subject.entries)


def _is_there(subject: Subject, path: str) -> bool:
    path = posixpath.normpath(path)
    files = _files(subject)
    if _has_fat(subject):
        path, files = path.casefold(), tuple(one.casefold() for one in files)
    return path in files or any(one.startswith(f"{path}/") for one in files)


def _files_called(subject: Subject, name: str) -> Iterator[tuple[str, bytes]]:
    """The files of packages called `name` that are not empty."""
    paths = [path for path in subject.entries if path.startswith("/usr/lib/")]
    found = [(path, subject.tree.read(path)) for path in paths if path.endswith(f"/{name}")]
    if f"/{name}" in subject.boot:
        found.append((f"/boot/{name}", subject.read_boot(f"/{name}")))
    return ((path, content) for path, content in found if content)


def _is_at(subject: Subject, at: int, content: bytes) -> bool:
    assert subject.disk is not None  # noqa: S101 - the check does not apply to anything else
    with open_regular(subject.disk.image, block_device=True) as file:
        file.seek(at)
        return file.read(len(content)) == content


def _over_something(
    subject: Subject, path: str, at: int, size: int, others: Sequence[str]
) -> Iterator[Problem]:
    assert subject.disk is not None  # noqa: S101 - the check does not apply to anything else
    table, end = subject.disk.table, at + size
    taken = [("the partition table", 0, _GPT_END_BYTES if table.label == "gpt" else SECTOR_BYTES)]
    taken += [
        (f"partition {entry.number}", entry.offset_bytes, entry.offset_bytes + entry.size_bytes)
        for entry in table.partitions
        if not (at == entry.offset_bytes and size <= entry.size_bytes)  # one of its own
    ]
    taken += [(name, _BLOBS[name], _BLOBS[name] + 1) for name in others if at < _BLOBS[name]]
    for name, start, stop in taken:
        if at < stop and start < end:
            what = f"it lies at bytes {at} to {end - 1}, over {name}, which begins at {start}"
            yield Problem(path, what, "move one of them")
