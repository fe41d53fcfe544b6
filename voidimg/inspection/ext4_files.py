"""Reads the files of an installed tree out of an ext4 partition of an image (debugfs)."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, TypeVar

from voidimg.errors import LayoutError, ToolError
from voidimg.formats.entries import MAX_FILE_BYTES, MAX_NAMES, EntryKind, TreeEntry
from voidimg.inspection.tree_files import digest_of, exactly
from voidimg.sandbox.confined import run_bounded, streamed

_ROOT_INODE = 2
_NOT_FOUND = re.compile(r"not found|not a directory", re.IGNORECASE)
_ROW = re.compile(r"/(\d+)/(\d+)/(\d*)/(\d*)/([^/]*)/(\d*)/")
"""A row of ``ls -p``: inode, mode in octal, owner, group, name, size."""
_PROMPT = re.compile(r"debugfs: +(?:ls -p|stat|cat) <(\d+)>")
_FAST_LINK = re.compile(r'Fast link dest: "(.*)"')
_KINDS: Mapping[int, EntryKind] = {0o10: "file", 0o04: "directory", 0o12: "symlink"}
_FAST_LINK_BYTES = 60
"""Targets below this lie in the inode (kernel documentation, "Symbolic links" of ext4)."""
_MAX_LISTING = 2 * MAX_NAMES
T = TypeVar("T")


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
        rows = listing.decode("utf-8", "replace").split("\n")
        found = {match[5] for row in rows if (match := _ROW.fullmatch(row))}
        return tuple(sorted(found - {"", ".", ".."}))

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
        found: dict[str, T] = {}
        with tempfile.NamedTemporaryFile("w", prefix="voidimg-debugfs.") as commands:
            commands.writelines(f"cat <{inode}>\n" for inode in paths)
            commands.flush()
            words = ["debugfs", "-f", commands.name, self._device]
            with streamed(words, reads=[self.image, Path(commands.name)]) as stream:
                for inode, same in paths.items():
                    said = stream.readline()
                    taken = take(stream, entries[same[0]].size_bytes)
                    if taken is None or said.rstrip() != b"debugfs: cat <%d>" % inode:
                        raise self._damaged(f"{same[0]}, or a file before it, cannot be read")
                    found |= dict.fromkeys(same, taken)
        return found

    @property
    def _device(self) -> str:
        return f"{self.image}?offset={self.offset_bytes}"

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
            listings = self._each("ls -p", sorted(level))
            for inode, rows in listings.items():
                for child, entry, name in self._rows(rows):
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

    def _rows(self, rows: Sequence[str]) -> list[tuple[int, TreeEntry, str]]:
        parsed = []
        for row in rows:
            match = _ROW.fullmatch(row)
            if match is None:
                raise self._damaged(f"a directory holds what is no name: {row[:80]!r}")
            inode, mode, name = int(match[1]), int(match[2], 8), match[5]
            if inode and name not in (".", ".."):
                kind = _KINDS.get(mode >> 12, "other")
                size, uid, gid = (int(match[at] or 0) for at in (6, 3, 4))
                entry = TreeEntry(kind, mode & 0o7777, size, uid=uid, gid=gid)
                parsed.append((inode, entry, name))
        return parsed

    def _links(self, links: dict[int, list[tuple[str, TreeEntry]]]) -> dict[str, TreeEntry]:
        found = {}
        for inode, rows in self._each("stat", sorted(links)).items():
            fast = next((m[1] for row in rows if (m := _FAST_LINK.fullmatch(row.strip()))), None)
            for path, entry in links[inode]:
                target = fast
                if target is None and _FAST_LINK_BYTES <= entry.size_bytes < 4096:
                    target = (self._debugfs(f"cat <{inode}>") or b"").decode("utf-8", "replace")
                found[path] = replace(entry, size_bytes=0, target=target or "")
        return found

    def _each(self, command: str, inodes: Sequence[int]) -> dict[int, list[str]]:
        """What `command` says of each of `inodes`, by one run of debugfs."""
        if not inodes:
            return {}
        with tempfile.NamedTemporaryFile("w", prefix="voidimg-debugfs.") as commands:
            commands.writelines(f"{command} <{inode}>\n" for inode in inodes)
            commands.flush()
            words = ["debugfs", "-f", commands.name, self._device]
            reads = [self.image, Path(commands.name)]
            ended = run_bounded(words, max_bytes=_MAX_LISTING, reads=reads)
        said: dict[int, list[str]] = {}
        rows: list[str] = []
        for row in ended.stdout.decode("utf-8", "replace").split("\n"):
            if match := _PROMPT.fullmatch(row.rstrip()):
                rows = said.setdefault(int(match[1]), [])
            elif row:
                rows.append(row)
        return {inode: said.get(inode, []) for inode in inodes}

    def _debugfs(self, command: str) -> bytes | None:
        words = ["debugfs", "-R", command, self._device]
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
