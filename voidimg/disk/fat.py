"""Makes a FAT filesystem from a directory: mkfs.vfat and mtools, in an order of our own.

mtools follows readdir order when it copies trees, takes links for what they point to, and changes
some names without a word. So directories and files are copied one directory at a time, sorted,
names are checked before, and read back after. Every time on the filesystem is the epoch.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voidimg.atomic import private_directory
from voidimg.disk.contents import Listed, walk
from voidimg.disk.mtools import MTOOLS_ENVIRONMENT, literal
from voidimg.disk.plan import FatPlan
from voidimg.errors import LayoutError, raise_all
from voidimg.formats.partition_table import SECTOR_BYTES
from voidimg.run import run
from voidimg.tree.beneath import held
from voidimg.tree.paths import mapped

_FORBIDDEN = set('"*/:<>?\\|') | {chr(code) for code in range(32)} | {"\x7f"}
_DEVICE_NAMES = {"CON", "PRN", "AUX", "NUL", "CLOCK$"} | {
    f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10)
}
_MAX_NAME_UNITS = 255
_ARGUMENT_BYTES = 64 * 1024
_HEADS, _SECTORS_PER_TRACK = 64, 32
"""One mebibyte a cylinder, so that every partition is a whole number of tracks."""


def make_fat(plan: FatPlan, top: int | None, image: Path, epoch: int) -> None:
    """Make the filesystem in the new file `image` from what is in the directory open as `top`.

    Raises:
        LayoutError: FAT cannot hold a name or a kind of file of `top`.
        ToolError: mkfs.vfat or mtools is missing or failed.
    """
    image = image.absolute()
    directories = [] if top is None else _checked(top)
    with image.open("xb") as file:
        file.truncate(plan.geometry.sectors * SECTOR_BYTES)
    _format(plan, image)
    environment = {
        **MTOOLS_ENVIRONMENT,
        "SOURCE_DATE_EPOCH": str(epoch),
        "MTOOLS_SKIP_CHECK": "1",
    }
    # All directories first: a parent is always sorted before what is in it.
    # mtools takes patterns, except for the last part of what it makes.
    parents = [directory.path.rpartition("/") for directory in directories[1:]]
    made = [f"::{literal(parent)}/{name}" for parent, _, name in parents]
    for batch in _batches(made):
        run(["mmd", "-i", image, *batch], env=environment)
    for directory in directories:
        for batch in _batches(directory.files):
            run(
                ["mcopy", "-Q", "-i", image, *batch, f"::{literal(directory.path)}"],
                env=environment,
                cwd=None if top is None else held(top),
            )
    _read_back(directories, image, environment)


def _problems_of_letters(directories: Sequence[_Directory]) -> Iterator[LayoutError]:
    """What of other letters than ASCII mtools would write as something else.

    It makes a short name of what its code page has something similar for: ``dœ`` becomes ``do``,
    and beside a ``do`` it asks for ever what to do. So each such name is tried alone, on an empty
    filesystem: what is kept there is nobody else's name.
    """
    paths = [f"{directory.path}/" for directory in directories[1:]]
    paths += [file[1:] for directory in directories for file in directory.files]
    names = {path.rstrip("/").rpartition("/")[2] for path in paths}
    foreign = sorted(name for name in names if not name.isascii())
    if not foreign:
        return
    kept = _kept_alone(foreign)
    for path in sorted(paths):
        name = path.rstrip("/").rpartition("/")[2]
        if not name.isascii() and name not in kept:
            yield _changed(path)


def _kept_alone(names: Sequence[str]) -> frozenset[str]:
    """Those of `names` that mtools writes as they are."""
    kept = set()
    with private_directory(Path(tempfile.gettempdir())) as scratch:
        image = scratch / "empty.img"
        with image.open("xb") as file:
            file.truncate(_TRIAL_BYTES)
        run(["mkfs.vfat", "-F", "12", image])
        empty = image.read_bytes()
        for name in names:
            image.write_bytes(empty)
            run(["mmd", "-i", image, f"::/{name}"], env=MTOOLS_ENVIRONMENT, good=(0, 1))
            if _listed(image, MTOOLS_ENVIRONMENT) == {f"/{name}/"}:
                kept.add(name)
    return frozenset(kept)


_TRIAL_BYTES = 64 * 1024


def _changed(path: str) -> LayoutError:
    name = path.rstrip("/").rpartition("/")[2]
    return LayoutError(
        f"FAT cannot hold the name {name!r} as it is: mtools would write another",
        code="FAT-NAME",
        where=path.rstrip("/"),
        hint="rename it (letters of ASCII are safe), or use ext4",
    )


def _listed(image: Path, environment: Mapping[str, str]) -> set[str]:
    """Every path on the filesystem, those of directories with a slash at the end."""
    # An empty filesystem is "File not found" to mdir.
    ended = run(["mdir", "-/", "-a", "-b", "-i", image, "::/"], env=environment, good=(0, 1))
    lines = (os.fsdecode(line) for line in ended.stdout.split(b"\n"))
    return {line.removeprefix("::") for line in lines if line}


def _read_back(
    directories: Sequence[_Directory], image: Path, environment: Mapping[str, str]
) -> None:
    """Ensure that the filesystem holds exactly the names that it was given.

    Raises:
        LayoutError: a name is not there as it was given; several in a `CollectedError`.
    """
    wanted = {f"{directory.path}/" for directory in directories[1:]}
    wanted |= {file[1:] for directory in directories for file in directory.files}
    if not wanted:
        return
    found = _listed(image, environment)
    changed = [_changed(path) for path in sorted(wanted - found)]
    raise_all(changed, "FAT cannot hold these files")
    if more := sorted(found - wanted):
        raise LayoutError(
            f"the FAT filesystem holds {more[0]!r}, which nobody gave it",
            code="NOT-AS-PLANNED",
            where=more[0],
            hint="this is a fault of voidimg or of mtools: please report it",
        )


@dataclass(frozen=True, slots=True)
class _Directory:
    """A directory to make; `files` are relative to the top, and begin with ``./``."""

    path: str
    files: tuple[str, ...]


def _format(plan: FatPlan, image: Path) -> None:
    geometry = plan.geometry
    options = {
        "-F": geometry.bits,
        "-s": geometry.sectors_per_cluster,
        "-R": geometry.reserved_sectors,
        "-S": SECTOR_BYTES,
        "-f": 2,
        "-h": plan.hidden_sectors,
        "-g": f"{_HEADS}/{_SECTORS_PER_TRACK}",
        "-M": "0xf8",
    }
    words = [str(word) for option in options.items() for word in option]
    if plan.label:
        words += ["-n", plan.label]
    # --invariant sets the serial too, so ours comes after it; -a: the plan has aligned already.
    words += ["-a", "--invariant", "-i", f"{plan.serial:08x}"]
    run(["mkfs.vfat", *words, image])


def _checked(top: int) -> list[_Directory]:
    """The directories below `top` in the order to make them.

    Raises:
        LayoutError: something that FAT cannot hold; several in a `CollectedError`.
    """
    directories = []
    problems: list[LayoutError] = []
    with mapped("read", "the directory of a FAT partition"):
        for listed in walk(top):
            problems += _problems_in(listed)
            path = "/" + os.fsdecode(listed.path)
            files = [
                f".{path.rstrip('/')}/{os.fsdecode(name)}"
                for name, status in listed.entries
                if stat.S_ISREG(status.st_mode)
            ]
            directories.append(_Directory(path, tuple(files)))
    raise_all(problems or [*_problems_of_letters(directories)], "FAT cannot hold these files")
    return directories


def _problems_in(listed: Listed) -> Iterator[LayoutError]:
    seen: dict[str, str] = {}
    for raw, status in listed.entries:
        name = os.fsdecode(raw)
        path = "/" + os.fsdecode(listed.path + b"/" + raw if listed.path else raw)
        yield from _problems(name, status.st_mode, path, seen)


def _problems(name: str, mode: int, path: str, seen: dict[str, str]) -> Iterator[LayoutError]:
    """What FAT cannot hold of a file `name`; `seen` has the names before it in upper case."""
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "a special file"
        yield LayoutError(
            f"{path} is {kind}, which FAT cannot hold",
            code="FAT-KIND",
            where=path,
            hint="put a regular file there, or use ext4",
        )
    reason = _refused_name(name)
    if reason is not None:
        yield LayoutError(
            f"FAT cannot hold the name {name!r}: {reason}",
            code="FAT-NAME",
            where=path,
            hint="rename it, or use ext4",
        )
    before = seen.setdefault(name.upper(), name)
    if before != name:
        yield LayoutError(
            f"FAT cannot hold both {before!r} and {name!r}: they differ in case only",
            code="FAT-CASE",
            where=path,
            hint="rename one of them",
        )


def _refused_name(name: str) -> str | None:
    try:
        units = len(name.encode("utf-16-le")) // 2
    except UnicodeEncodeError:
        return "it is not UTF-8"
    if forbidden := sorted(_FORBIDDEN & set(name)):
        return f"it contains {forbidden[0]!r}"
    if name[-1] in ". ":
        return "it ends with a dot or a space, which would be dropped"
    if name[0] == " ":
        return "it begins with a space"
    if name.partition(".")[0].upper() in _DEVICE_NAMES:
        return "it is the name of a DOS device"
    return "it is longer than 255 characters" if units > _MAX_NAME_UNITS else None


def _batches(words: Sequence[str]) -> Iterator[Sequence[str]]:
    """`words` in pieces short enough for a command line."""
    batch: list[str] = []
    length = 0
    for word in words:
        word_bytes = len(os.fsencode(word)) + 1
        if batch and length + word_bytes > _ARGUMENT_BYTES:
            yield batch
            batch, length = [], 0
        batch.append(word)
        length += word_bytes
    if batch:
        yield batch
