"""Reads single files of an installed tree out of a tar, and says what all of its files are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from hashlib import sha256
from pathlib import Path
from typing import IO, Protocol

from voidimg.errors import PackageError
from voidimg.formats.entries import MAX_FILE_BYTES, MAX_NAMES, EntryKind, TreeEntry
from voidimg.formats.tar_reader import Member, open_archive
from voidimg.inspection.opened import not_sound

_PIECE_BYTES = 2**18
_MAX_KEPT_BYTES = 2**30
"""Most of a tar's content that is kept, however many files are wanted."""
_MAX_LINKS = 40
"""As many links as Linux follows on the way to a file (path_resolution(7))."""


class TreeFiles(Protocol):
    """The files of a tree; paths are absolute inside it."""

    def read(self, path: str) -> bytes | None:
        """The content of a regular file; None when there is none."""

    def names(self, directory: str) -> tuple[str, ...]:
        """The sorted names in a directory; none when there is no such directory."""

    def entries(self) -> Mapping[str, TreeEntry]:
        """Every file and directory but the top, by path."""

    def file_digests(self) -> Mapping[str, str]:
        """The SHA-256 of every regular file, by path: each is read to its end.

        Raises:
            LayoutError: one cannot be read.
        """

    def contents(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """The contents of those of `paths` that are regular files, read at once."""


def exactly(stream: IO[bytes], size_bytes: int) -> bytes | None:
    """The next `size_bytes` of `stream`; None when it ends before."""
    content = stream.read(size_bytes)
    return content if len(content) == size_bytes else None


def digest_of(stream: IO[bytes], size_bytes: int) -> str | None:
    """The SHA-256 of the next `size_bytes` of `stream`; None when it ends before."""
    digest = sha256()
    left = size_bytes
    while left and (piece := stream.read(min(left, _PIECE_BYTES))):
        digest.update(piece)
        left -= len(piece)
    return None if left else digest.hexdigest()


def real_path(entries: Mapping[str, TreeEntry], path: str) -> str | None:
    """The path that `path` leads to inside the tree, links followed; None when it leads nowhere.

    Pure. `..` above the top stays at the top, as in a chroot.
    """
    pending = path.split("/")[::-1]
    at: list[str] = []
    links = 0
    while pending:
        name = pending.pop()
        if name in ("", "."):
            continue
        if name == "..":
            del at[-1:]
            continue
        here = "/".join(("", *at, name))
        entry = entries.get(here)
        if entry is None:
            return None
        if entry.kind != "symlink":
            at.append(name)
            continue
        links += 1
        if links > _MAX_LINKS or not entry.target:
            return None
        if entry.target.startswith("/"):
            at = []
        pending += entry.target.split("/")[::-1]
    return "/" + "/".join(at)


@dataclass(slots=True)
class TarFiles:
    """The files of a tar, read in one pass that keeps the content of `wanted` only.

    A wanted path that ends with / stands for every file in that directory.
    """

    kept: dict[str, bytes] = field(default_factory=dict)
    directories: dict[str, set[str]] = field(default_factory=dict)
    members: dict[str, TreeEntry] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        path: Path,
        wanted: Iterable[str],
        *,
        patterns: Iterable[str] = (),
        digests: bool = False,
    ) -> TarFiles:
        """The files of the tar at `path`, plain or compressed.

        Files that match one of `patterns` are wanted too. With `digests` the SHA-256 of each file
        is kept.

        Raises:
            LayoutError: it is damaged or truncated.
        """
        files = cls()
        keep = frozenset(wanted)
        matches = re.compile("|".join(map(translate, patterns)) or r"(?!)").match
        left, room = MAX_NAMES, _MAX_KEPT_BYTES
        with not_sound(path), open_archive(path) as archive:
            for member in archive:
                name = "/" + member.name.removeprefix("./").strip("/")
                left -= len(name) + len(member.target)
                if left < 0:
                    raise PackageError(
                        "the names in it fill memory", code="ARCHIVE-SIZE", where=str(path)
                    )
                parent, _, own = name.rpartition("/")
                files.directories.setdefault(parent or "/", set()).add(own)
                files.members[name] = files.entry_of(member)
                if member.kind == "hardlink":
                    files._repeat(name, member)
                if member.kind != "file":
                    continue
                kept = (
                    name in keep or f"{parent}/" in keep or matches(name)
                ) and member.size <= min(room, MAX_FILE_BYTES)
                if kept:
                    room -= member.size
                    files.kept[name] = b"".join(archive.chunks())
                if digests:
                    pieces = (files.kept[name],) if kept else archive.chunks()
                    files.digests[name] = _digest(pieces)
        files.members.pop("/", None)
        return files

    def _repeat(self, name: str, member: Member) -> None:
        """A hard link has the content of the member that it repeats."""
        target = "/" + member.target.removeprefix("./").strip("/")
        if target in self.kept:
            self.kept[name] = self.kept[target]
        if target in self.digests:
            self.digests[name] = self.digests[target]

    def entry_of(self, member: Member) -> TreeEntry:
        """`member` as an entry; a hard link is what the member is that it repeats."""
        kind: EntryKind
        match member.kind:
            case "file":
                kind, size, target = "file", member.size, ""
            case "directory":
                kind, size, target = "directory", 0, ""
            case "symlink":
                kind, size, target = "symlink", 0, member.target
            case "hardlink":
                known = self.members.get("/" + member.target.removeprefix("./").strip("/"))
                if known is not None:
                    return known
                kind, size, target = "file", 0, ""
            case _:
                kind, size, target = "other", 0, ""
        return TreeEntry(kind, member.mode, size, target, member.uid, member.gid)

    def read(self, path: str) -> bytes | None:
        """The content of a wanted regular file; None when there is none."""
        return self.kept.get(path)

    def names(self, directory: str) -> tuple[str, ...]:
        """The sorted names in a directory; none when there is no such directory."""
        return tuple(sorted(self.directories.get(directory, set()) - {""}))

    def entries(self) -> Mapping[str, TreeEntry]:
        """Every file and directory but the top, by path."""
        return self.members

    def file_digests(self) -> Mapping[str, str]:
        """The SHA-256 of every regular file: of those of the pass that asked for `digests`."""
        return self.digests

    def contents(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """The contents of those of `paths` that were wanted."""
        return {path: self.kept[path] for path in paths if path in self.kept}


def _digest(pieces: Iterable[bytes]) -> str:
    digest = sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
