"""Reads single files of an installed tree out of a tar, and says what all of its files are."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from voidimg.errors import PackageError
from voidimg.formats.entries import MAX_FILE_BYTES, MAX_NAMES, EntryKind, TreeEntry
from voidimg.formats.tar_reader import Member, open_archive
from voidimg.inspection.opened import not_sound

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

    contents: dict[str, bytes] = field(default_factory=dict)
    directories: dict[str, set[str]] = field(default_factory=dict)
    members: dict[str, TreeEntry] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    """The SHA-256 of files whose content is too large to be kept."""

    @classmethod
    def of(cls, path: Path, wanted: Iterable[str], digested: Collection[str] = ()) -> TarFiles:
        """The files of the tar at `path`, plain or compressed; of those `digested` the SHA-256.

        Raises:
            LayoutError: it is damaged or truncated.
        """
        files = cls()
        keep = frozenset(wanted)
        left = MAX_NAMES
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
                is_kept = name in keep or f"{parent}/" in keep
                if member.kind == "file" and is_kept and member.size <= MAX_FILE_BYTES:
                    files.contents[name] = b"".join(archive.chunks())
                elif member.kind == "file" and name in digested:
                    digest = hashlib.sha256()
                    for chunk in archive.chunks():
                        digest.update(chunk)
                    files.digests[name] = digest.hexdigest()
        files.members.pop("/", None)
        return files

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
        return self.contents.get(path)

    def names(self, directory: str) -> tuple[str, ...]:
        """The sorted names in a directory; none when there is no such directory."""
        return tuple(sorted(self.directories.get(directory, set()) - {""}))

    def entries(self) -> Mapping[str, TreeEntry]:
        """Every file and directory but the top, by path."""
        return self.members
