"""Reads the files of an installed tree out of an ext4 partition of an image (debugfs)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, TypeVar

from voidimg.arguments import Argument, Inside
from voidimg.atomic import path_of
from voidimg.errors import LayoutError, ToolError
from voidimg.formats.entries import MAX_FILE_BYTES, MAX_NAMES, EntryKind, TreeEntry
from voidimg.inspection.tree_files import digest_of, exactly
from voidimg.sandbox.confined import run_bounded, streamed

_ROOT_INODE = 2
_NOT_FOUND = re.compile(r"not found|not a directory", re.IGNORECASE)
_ROW = re.compile(rb"/(\d+)/(\d+)/(-?\d*)/(-?\d*)/([^/]*)/(\d*)/\n")
"""A row of ``ls -p``: inode, mode in octal, owner, group, name, size.

Names are written as they are, with newlines; only a slash is in none.
"""
_FAST_LINK = b'\nFast link dest: "'
_32_BITS = 0xFFFFFFFF
_KINDS: Mapping[int, EntryKind] = {0o10: "file", 0o04: "directory", 0o12: "symlink"}
_FAST_LINK_BYTES = 60
"""Targets below this lie in the inode (kernel documentation, "Symbolic links" of ext4)."""
_MAX_LINK_BYTES = 4096
_MAX_LISTING = 2 * MAX_NAMES
_PROMPT_BYTES = 64
_Row = tuple[int, TreeEntry, str]
"""Inode, what it is, and its name."""
T = TypeVar("T")


@contextmanager
def _commands(lines: Iterable[str]) -> Iterator[Path]:
    """The commands `lines` as a file of no file system, so that a full one is none that matters."""
    with open(os.memfd_create("debugfs"), "w", encoding="ascii") as file:
        file.writelines(lines)
        file.flush()
        yield path_of(file.fileno())


@dataclass(frozen=True)
class Ext4Files:
    """The files of the ext4 filesystem at `offset_bytes` of `image`."""

    image: Path
    offset_bytes: int

    def read(self, path: str) -> bytes | None:
        """The content of a regular file; None when there is none."""
        return None if '"' in path or not path.isprintable() else self._debugfs(f'cat "{path}"')

    def names(self, directory: str) -> tuple[str, ...]:
        """The sorted names in a directory; none when there is no such directory."""
        listing = self._debugfs(f'ls -p "{directory}"') or b""
        rows, _ = _rows(listing, 0)
        return tuple(sorted({name for _, _, name in rows} - {"", ".", ".."}))

    def entries(self) -> Mapping[str, TreeEntry]:
        """Every file and directory but the top, by path.

        Raises:
            LayoutError: the directories are damaged, or were made to fill memory.
        """
        return self._walked[0]

    def file_digests(self) -> Mapping[str, str]:
        """The SHA-256 of every regular file, by path.

        Raises:
            LayoutError: one cannot be read to its end.
        """
        return self._streams(digest_of, lambda _: True)

    def contents(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """The contents of those of `paths` that are regular files."""
        return self._streams(exactly, frozenset(paths).__contains__)

    def _streams(
        self, take: Callable[[IO[bytes], int], T | None], wanted: Callable[[str], bool]
    ) -> dict[str, T]:
        """What `take` makes of each wanted file: it is given a stream and the size of the file."""
        entries, inodes = self._walked
        paths: dict[int, list[str]] = {}
        for path, inode in inodes.items():
            if entries[path].kind == "file" and wanted(path):
                paths.setdefault(inode, []).append(path)
        sizes = {inode: entries[same[0]].size_bytes for inode, same in paths.items()}
        taken = self._taken(sizes, take, {inode: same[0] for inode, same in paths.items()})
        return {path: taken[inode] for inode, same in paths.items() for path in same}

    def _taken(
        self,
        sizes: Mapping[int, int],
        take: Callable[[IO[bytes], int], T | None],
        names: Mapping[int, str],
    ) -> dict[int, T]:
        """What `take` makes of the content of each inode, whose size in bytes is known."""
        found: dict[int, T] = {}
        if not sizes:
            return found
        with _commands(f"cat <{inode}>\n" for inode in sizes) as commands:
            words: list[Argument] = ["debugfs", "-f", commands, self._device]
            with streamed(words, reads=[self.image, commands]) as stream:
                for inode, size in sizes.items():
                    said = stream.readline(_PROMPT_BYTES)
                    taken = take(stream, size)
                    if taken is None or said.rstrip() != b"debugfs: cat <%d>" % inode:
                        raise self._damaged(f"{names[inode]} or a file before it cannot be read")
                    found[inode] = taken
        return found

    @property
    def _device(self) -> Inside:
        return Inside(self.image, f"?offset={self.offset_bytes}")

    @cached_property
    def _walked(self) -> tuple[dict[str, TreeEntry], dict[str, int]]:
        """Every file and directory with its inode, by path."""
        found: dict[str, TreeEntry] = {}
        inodes: dict[str, int] = {}
        links: dict[int, list[tuple[str, TreeEntry]]] = {}
        seen = {_ROOT_INODE}
        level = {_ROOT_INODE: ""}
        while level:
            below: dict[int, str] = {}
            for inode, rows in self._listings(sorted(level)):
                for child, entry, name in rows:
                    if not child or name in (".", ".."):
                        continue
                    path = f"{level[inode]}/{name}"
                    found[path] = entry
                    inodes[path] = child
                    if entry.kind == "symlink":
                        links.setdefault(child, []).append((path, entry))
                    elif entry.kind == "directory":
                        if child in seen:
                            raise self._damaged(f"two directories are one: {path}")
                        seen.add(child)
                        below[child] = path
            level = below
        found.update(self._links(links))
        return dict(sorted(found.items())), inodes

    def _listings(self, inodes: Sequence[int]) -> Iterator[tuple[int, list[_Row]]]:
        """The rows of each directory of `inodes`."""
        said = self._said("ls -p", inodes)
        at = 0
        for inode in inodes:
            at = self._after_prompt(said, at, b"ls -p", inode)
            rows, at = _rows(said, at)
            yield inode, rows
        if rest := said[at:].strip():
            raise self._damaged(f"a directory holds what is no name: {_text(rest[:80])!r}")

    def _links(self, links: dict[int, list[tuple[str, TreeEntry]]]) -> dict[str, TreeEntry]:
        """The links with their targets; short ones lie in the inode itself."""
        sizes = {inode: rows[0][1].size_bytes for inode, rows in links.items()}
        short = {inode: size for inode, size in sizes.items() if size < _FAST_LINK_BYTES}
        long = {inode: size for inode, size in sizes.items() if size >= _FAST_LINK_BYTES}
        names = {inode: rows[0][0] for inode, rows in links.items()}
        if too_long := [inode for inode, size in long.items() if size >= _MAX_LINK_BYTES]:
            raise self._damaged(f"the target of {names[too_long[0]]} is too long")
        targets = {**self._fast_links(short), **self._taken(long, exactly, names)}
        return {
            path: replace(entry, size_bytes=0, target=_text(targets[inode]))
            for inode, rows in links.items()
            for path, entry in rows
        }

    def _fast_links(self, sizes: Mapping[int, int]) -> dict[int, bytes]:
        """The target of each link of `sizes`, which says how many bytes it has.

        Anything may be in a target, so only its length says where it ends.
        """
        said = self._said("stat", list(sizes))
        found: dict[int, bytes] = {}
        at = 0
        for inode, size in sizes.items():
            at = self._after_prompt(said, at, b"stat", inode)
            start = said.find(_FAST_LINK, at) + len(_FAST_LINK)
            at = start + size
            if start < len(_FAST_LINK) or said[at : at + 2] != b'"\n':
                raise self._damaged(f"the target of the link of inode {inode} is no text")
            found[inode] = said[start:at]
            at += 2
        return found

    def _after_prompt(self, said: bytes, at: int, command: bytes, inode: int) -> int:
        """Where what `command` says of `inode` begins: its prompt is the next thing after `at`."""
        prompt = re.compile(rb"\s*debugfs: +%s <%d> *(?=\n)" % (command, inode))
        found = prompt.match(said, at)
        if found is None:
            rest = _text(said[at : at + 80].strip())
            raise self._damaged(f"a directory holds what is no name: {rest!r}")
        return found.end() + (command != b"stat")

    def _said(self, command: str, inodes: Sequence[int]) -> bytes:
        """What `command` says of each of `inodes`, by one run of debugfs."""
        if not inodes:
            return b""
        with _commands(f"{command} <{inode}>\n" for inode in inodes) as commands:
            words: list[Argument] = ["debugfs", "-f", commands, self._device]
            reads = [self.image, commands]
            return run_bounded(words, max_bytes=_MAX_LISTING, reads=reads).stdout

    def _debugfs(self, command: str) -> bytes | None:
        words: list[Argument] = ["debugfs", "-R", command, self._device]
        ended = run_bounded(words, max_bytes=MAX_FILE_BYTES, reads=[self.image])
        said = [line for line in ended.stderr.splitlines() if not line.startswith("debugfs 1.")]
        if not said:
            return ended.stdout
        if _NOT_FOUND.search(said[0]):
            return None
        raise ToolError(
            f"debugfs cannot read the filesystem: {said[0]}",
            code="FAILED",
            where=str(self.image),
            hint="the filesystem may be damaged: run e2fsck -fn on the partition",
        )

    def _damaged(self, why: str) -> LayoutError:
        return LayoutError(
            f"the filesystem is damaged: {why}", code="DAMAGED", where=str(self.image),
            hint="run e2fsck -fn on the partition",
        )  # fmt: skip


def _rows(said: bytes, at: int) -> tuple[list[_Row], int]:
    """The rows of ``ls -p`` that stand in `said` from `at` on, and where they end. Pure."""
    found: list[_Row] = []
    while match := _ROW.match(said, at):
        mode = int(match[2], 8)
        size, uid, gid = (int(match[number] or 0) for number in (6, 3, 4))
        kind = _KINDS.get(mode >> 12, "other")
        entry = TreeEntry(kind, mode & 0o7777, size, uid=uid & _32_BITS, gid=gid & _32_BITS)
        found.append((int(match[1]), entry, _text(match[5])))
        at = match.end()
    return found, at


def _text(raw: bytes) -> str:
    """A name as text, whatever its bytes are; no two become the same."""
    return raw.decode("utf-8", "surrogateescape")
