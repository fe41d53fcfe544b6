"""Reads the files of a live system out of its squashfs, without mounting it (unsquashfs)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TypeVar

from voidimg.errors import LayoutError, ToolError, VoidimgError
from voidimg.formats.entries import MAX_FILE_BYTES, MAX_NAMES, EntryKind, TreeEntry
from voidimg.inspection.tree_files import digest_of, exactly
from voidimg.sandbox.confined import run_bounded, streamed

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

_MEMORY_FOR_ALL = ("-da", "64", "-fr", "64")
_MAX_BATCH, _MAX_BATCH_BYTES = 4000, 2**18
"""How many files, with names of how many bytes, one run is asked for: far below ARG_MAX."""
T = TypeVar("T")


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

    def file_digests(self) -> Mapping[str, str]:
        """The SHA-256 of every regular file, by path: each block of the squashfs is unpacked.

        Raises:
            LayoutError: a block is damaged.
        """
        files = (path for path, one in self._listing.items() if one.kind == "file")
        return self._each(list(files), digest_of, _MEMORY_FOR_ALL)

    def contents(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """The contents of those of `paths` that are regular files."""
        known = [path for path in paths if self._is_readable(path)]
        return self._each(known, exactly, _MEMORY)

    def _is_readable(self, path: str) -> bool:
        entry = self._listing.get(path)
        return entry is not None and entry.kind == "file" and entry.size_bytes <= MAX_FILE_BYTES

    def _each(
        self,
        paths: Sequence[str],
        take: Callable[[IO[bytes], int], T | None],
        memory: tuple[str, ...],
    ) -> dict[str, T]:
        """What `take` makes of each file: it is given a stream and the size of the file."""
        found: dict[str, T] = {}
        for batch in _batches(paths):
            words = [*self._words(memory, ["-no-wildcards", "-cat"])]
            path = batch[0]
            try:
                asked = [*words, *(path[1:] for path in batch)]
                with streamed(asked, reads=[self.image]) as stream:
                    for path in batch:
                        taken = take(stream, self._listing[path].size_bytes)
                        if taken is None:
                            break
                        found[path] = taken
            except ToolError as error:
                raise self._unread(path, error) from error
            if path not in found:
                raise self._damaged(f"{path} ends too early")
        return found

    def _unread(self, path: str, error: ToolError) -> VoidimgError:
        """The error about `path`, or one near it: what follows it in the stream is mixed up."""
        if error.code.endswith("MISSING"):
            return error
        return self._damaged(f"{path} or a file near it cannot be read: {error.what}")

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
        words = [*self._words(_MEMORY, options), *paths]
        try:
            return run_bounded(words, max_bytes=max_bytes, reads=[self.image]).stdout
        except ToolError as error:
            if error.code.endswith("MISSING"):
                raise
            raise self._damaged(error.what) from error

    def _words(self, memory: Sequence[str], options: Sequence[str]) -> tuple[str, ...]:
        place = ["-offset", str(self.offset_bytes)] if self.offset_bytes else []
        return ("unsquashfs", *memory, *place, *options, str(self.image))

    def _damaged(self, why: str) -> LayoutError:
        return LayoutError(
            f"the squashfs is not sound: {why}", code="SQUASHFS-DAMAGED", where=str(self.image),
            hint="the file may not be complete: fetch or build it again",
        )  # fmt: skip


def _batches(paths: Sequence[str]) -> Iterator[tuple[str, ...]]:
    batch: list[str] = []
    size = 0
    for path in paths:
        size += len(path.encode("utf-8", "surrogateescape")) + 1
        if batch and (len(batch) >= _MAX_BATCH or size > _MAX_BATCH_BYTES):
            yield tuple(batch)
            batch, size = [], len(path) + 1
        batch.append(path)
    if batch:
        yield tuple(batch)


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
