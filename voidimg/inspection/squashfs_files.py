"""Reads the files of a live system out of its squashfs, without mounting it (unsquashfs)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TypeVar

from voidimg.arguments import Argument
from voidimg.errors import LayoutError, ToolError, VoidimgError
from voidimg.formats.entries import MAX_FILE_BYTES, MAX_NAMES, EntryKind, TreeEntry
from voidimg.inspection.tree_files import digest_of, exactly
from voidimg.sandbox.confined import run_bounded, streamed

_TOP = "squashfs-root"
_HEAD = re.compile(
    rb"([-dlbcps])((?:[r-][w-][xsS-]){2}[r-][w-][xtT-]) (\d+)/(\d+) +([\d, ]+)"
    rb" (\d{4,}-\d\d-\d\d \d\d:\d\d) %s(?=[/\n])" % _TOP.encode()
)
"""A line of ``unsquashfs -lln``: type, mode, owner, group, size or device, time; then the name."""
_KINDS: Mapping[str, EntryKind] = {"-": "file", "d": "directory", "l": "symlink"}
_ARROW = b" -> "
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
        try:
            return dict(sorted(listed(output)))
        except ValueError as error:
            raise self._damaged(f"it lists what is no name: {error}") from error

    def _run(self, options: list[str], paths: list[str], max_bytes: int) -> bytes:
        words = [*self._words(_MEMORY, options), *paths]
        try:
            return run_bounded(words, max_bytes=max_bytes, reads=[self.image]).stdout
        except ToolError as error:
            if error.code.endswith("MISSING"):
                raise
            raise self._damaged(error.what) from error

    def _words(self, memory: Sequence[str], options: Sequence[str]) -> tuple[Argument, ...]:
        place = ["-offset", str(self.offset_bytes)] if self.offset_bytes else []
        return ("unsquashfs", *memory, *place, *options, self.image)

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


def listed(output: bytes) -> Iterator[tuple[str, TreeEntry]]:
    """The entries of the listing `output`. Pure.

    Names are written as they are: with newlines, with `` -> ``. But no name holds a slash, which
    the head of every line has; directories come before what is in them; and a line about a link
    says how long its target is. So it can be told where each name ends.

    Raises:
        ValueError: it is no listing; the text is where.
    """
    at = 0
    above = [b""]
    while at < len(output):
        head = _HEAD.match(output, at)
        if head is None:
            raise ValueError(repr(_text(output[at : at + 80])))
        path, target, at = _path(output, head, above)
        if path:
            yield _text(path), _entry(head, target)
        if head[1] == b"d":
            above.append(path)


def _path(output: bytes, head: re.Match[bytes], above: list[bytes]) -> tuple[bytes, bytes, int]:
    """The path behind `head`, what it leads to, and where the next line begins.

    `above` are the directories that may be the one of this line; those that are left are taken
    out.
    """
    start = head.end()
    while above and not output.startswith(above[-1] + b"/", start):
        above.pop()
    if not above:  # the line of the top itself, which is the first
        if start + 1 > len(output) or output[start : start + 1] != b"\n" or head.start():
            raise ValueError(repr(_text(output[start : start + 80])))
        return b"", b"", start + 1
    name = start + len(above[-1]) + 1
    if head[1] == b"l":
        return _link_path(output, head, start, name)
    end = _end_of_name(output, name)
    return output[start:end], b"", end + 1


def _link_path(
    output: bytes, head: re.Match[bytes], start: int, name: int
) -> tuple[bytes, bytes, int]:
    """As `_path`, of a link: the first `` -> `` behind which the target is as long as it says."""
    size = int(head[5])
    arrow = output.find(_ARROW, name)
    while arrow >= 0:
        end = arrow + len(_ARROW) + size
        follows = end + 1 == len(output) or _HEAD.match(output, end + 1) is not None
        if output[end : end + 1] == b"\n" and follows and b"/" not in output[name:arrow]:
            return output[start:arrow], output[arrow + len(_ARROW) : end], end + 1
        arrow = output.find(_ARROW, arrow + 1)
    raise ValueError(repr(_text(output[start : start + 80])))


def _end_of_name(output: bytes, name: int) -> int:
    """Where the name at `name` ends: at a newline behind which a new line or nothing stands."""
    end = output.find(b"\n", name)
    while end >= 0 and end + 1 < len(output) and _HEAD.match(output, end + 1) is None:
        end = output.find(b"\n", end + 1)
    if end < 0 or b"/" in output[name:end]:
        raise ValueError(repr(_text(output[name : name + 80])))
    return end


def _entry(head: re.Match[bytes], target: bytes) -> TreeEntry:
    kind = _KINDS.get(_text(head[1]), "other")
    mode = _mode(_text(head[2]))
    size = int(head[5]) if kind == "file" else 0
    return TreeEntry(kind, mode, size, _text(target), int(head[3]), int(head[4]))


def _text(raw: bytes) -> str:
    """A name as text, whatever its bytes are; no two become the same."""
    return raw.decode("utf-8", "surrogateescape")


def _mode(text: str) -> int:
    """The permission bits of ``rwsr-xr-t``."""
    mode = 0
    for place, (letter, bit) in enumerate(zip(text, _BITS, strict=True)):
        mode |= bit if letter in "rwxst" else 0
        mode |= _SPECIAL[place] if letter in "sStT" else 0
    return mode
