"""Invents the ISO 9660 names of files: what isolinux reads, beside the real names of Rock Ridge.

ISO 9660 (ECMA-119, 7.5 and 7.6, interchange level 3) has A to Z, 0 to 9 and _ with one dot and
30 characters for files, 31 without a dot for directories. isolinux looks for files by these names,
so a name that only needs upper case keeps its form, and never gives way to an invented one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from voidimg.live.iso_plan import parents

_FILE_CHARACTERS = 30
_DIRECTORY_CHARACTERS = 31
_EXTENSION_CHARACTERS = 8
_FOREIGN = re.compile(r"[^A-Z0-9_]")


def iso_names(files: Iterable[str]) -> Mapping[str, str]:
    """Absolute path -> absolute ISO 9660 path, for `files` and the directories above them.

    The same paths give the same names in whatever order they come.
    """
    paths = sorted(files)
    directories = {above for path in paths for above in parents(path)}
    below: dict[str, list[str]] = {}
    for path in sorted({*paths, *directories}):
        below.setdefault(path.rpartition("/")[0], []).append(path)
    names: dict[str, str] = {"": ""}
    for directory in ("", *sorted(directories)):
        for path, name in _in_directory(below[directory], directories).items():
            names[path] = f"{names[directory]}/{name}"
    del names[""]
    return names


def _in_directory(paths: list[str], directories: set[str]) -> dict[str, str]:
    wished = {path: _wished(path.rpartition("/")[2], path in directories) for path in paths}
    # Names that were only put into upper case come first: a boot loader may ask for them.
    kept = [path for path, name in wished.items() if _is_kept(path, name)]
    taken: set[str] = set()
    chosen: dict[str, str] = {}
    for path in (*kept, *(path for path in paths if path not in kept)):
        number, name = 0, wished[path]
        while name in taken:
            number += 1
            name = _numbered(wished[path], number, path in directories)
        taken.add(name)
        chosen[path] = name if path in directories else f"{name};1"
    return chosen


def _is_kept(path: str, name: str) -> bool:
    return path.rpartition("/")[2].upper() == name.removesuffix(".")


def _wished(name: str, is_directory: bool) -> str:
    if is_directory:
        return _plain(name)[:_DIRECTORY_CHARACTERS]
    stem, dot, extension = name.rpartition(".")
    if not dot:
        stem, extension = name, ""
    extension = _plain(extension)[:_EXTENSION_CHARACTERS]
    return f"{_plain(stem)[: _FILE_CHARACTERS - len(extension)]}.{extension}"


def _numbered(name: str, number: int, is_directory: bool) -> str:
    suffix = f"_{number}"
    if is_directory:
        return name[: _DIRECTORY_CHARACTERS - len(suffix)] + suffix
    stem, _, extension = name.partition(".")
    room = _FILE_CHARACTERS - len(extension) - len(suffix)
    return f"{stem[:room]}{suffix}.{extension}"


def _plain(text: str) -> str:
    return _FOREIGN.sub("_", text.upper())
