"""Reads the files of a live system out of its squashfs, without mounting it (unsquashfs)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from voidimg.errors import LayoutError, ToolError
from voidimg.formats.entries import MAX_FILE_BYTES, MAX_NAMES, EntryKind, TreeEntry
from voidimg.run import run_bounded

_TOP = "squashfs-root"
_LINE = re.compile(
    rf"([-dlbcps])([rwxsStT-]{{9}}) (\d+)/(\d+) +([\d, ]+) (\d{{4,}}-\d\d-\d\d \d\d:\d\d)"
    rf" {_TOP}(/.*)?"
)
"""A line of ``unsquashfs -lln``: type, mode, owner, group, size or device, time, name."""
_KINDS: Mapping[str, EntryKind] = {"-": "file", "d": "directory", "l": "symlink"}
_BITS = tuple(1 << bit for bit in range(8, -1, -1))
_SPECIAL = {2: 0o4000, 5: 0o2000, 8: 0o1000}
_MEMORY = ("-da", "16", "-fr", "16", "-p", "1")
"""How little unsquashfs needs for one file: buffers in MiB, and threads."""


@dataclass(frozen=True)
class SquashfsFiles:
    """The files of the squashfs at `offset_bytes` of `image`; its listing is read once."""

    image: Path
    offset_bytes: int = 0

    def read(self, path: str) -> bytes | None:
        """The content of a regular file; None when there is none.

        Raises:
            LayoutError: it is larger than a file that is looked at can be, or damaged.
        """
        entry = self._listing.get(path)
        if entry is None or entry.kind != "file":
            return None
        if entry.size_bytes > MAX_FILE_BYTES:
            raise self._damaged(f"{path} has {entry.size_bytes} bytes")
        return self._run(["-no-wildcards", "-cat"], [path[1:]], entry.size_bytes)

    def names(self, directory: str) -> tuple[str, ...]:
        """The sorted names in a directory; none when there is no such directory."""
        below = "" if directory == "/" else directory
        return tuple(
            path.rpartition("/")[2]
            for path in self._listing
            if path.rpartition("/")[0] == below
        )  # fmt: skip

    def entries(self) -> Mapping[str, TreeEntry]:
        """Every file and directory but the top, by path."""
        return self._listing

    @cached_property
    def _listing(self) -> Mapping[str, TreeEntry]:
        output = self._run(["-lln"], [], 2 * MAX_NAMES)
        found = {}
        for line in output.decode("utf-8", "surrogateescape").split("\n"):
            if not line:
                continue
            match = _LINE.fullmatch(line)
            if match is None:
                raise self._damaged(f"it lists what is no name: {line[:80]!r}")
            if match[7]:
                path, entry = _entry(match)
                found[path] = entry
        return dict(sorted(found.items()))

    def _run(self, options: list[str], paths: list[str], max_bytes: int) -> bytes:
        place = ["-offset", str(self.offset_bytes)] if self.offset_bytes else []
        words = ["unsquashfs", *_MEMORY, *place, *options, str(self.image), *paths]
        try:
            return run_bounded(words, max_bytes=max_bytes).stdout
        except ToolError as error:
            if error.code.endswith("MISSING"):
                raise
            raise self._damaged(error.what) from error

    def _damaged(self, why: str) -> LayoutError:
        return LayoutError(
            f"the squashfs is not sound: {why}", code="SQUASHFS-DAMAGED", where=str(self.image),
            hint="the file may not be complete: fetch or build it again",
        )  # fmt: skip


def _entry(match: re.Match[str]) -> tuple[str, TreeEntry]:
    kind = _KINDS.get(match[1], "other")
    name, mode = match[7], _mode(match[2])
    uid, gid = int(match[3]), int(match[4])
    if kind == "symlink":
        path, _, target = name.partition(" -> ")
        return path, TreeEntry(kind, mode, 0, target, uid, gid)
    size = int(match[5]) if kind == "file" else 0
    return name, TreeEntry(kind, mode, size, "", uid, gid)


def _mode(text: str) -> int:
    """The permission bits of ``rwsr-xr-t``."""
    mode = 0
    for place, (letter, bit) in enumerate(zip(text, _BITS, strict=True)):
        mode |= bit if letter in "rwxst" else 0
        mode |= _SPECIAL[place] if letter in "sStT" else 0
    return mode
