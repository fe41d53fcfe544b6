"""Reads single files of an installed tree out of an artifact: an ext4 partition, or a tar."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from voidimg.disk.artifact import not_sound
from voidimg.errors import PackageError, ToolError
from voidimg.run import run
from voidimg.xbps.archive import open_archive

_MAX_FILE_BYTES = 64 * 2**20
_MAX_NAMES = 128 * 2**20
"""Most characters in the names of a tar together; a full system has some 20 million."""
_NOT_FOUND = re.compile(r"not found|not a directory", re.IGNORECASE)


class TreeFiles(Protocol):
    """The files of a tree; paths are absolute inside it."""

    def read(self, path: str) -> bytes | None:
        """The content of a regular file; None when there is none."""

    def names(self, directory: str) -> tuple[str, ...]:
        """The sorted names in a directory; none when there is no such directory."""


@dataclass(frozen=True, slots=True)
class Ext4Files:
    """The files of the ext4 filesystem at `offset_bytes` of `image` (debugfs)."""

    image: Path
    offset_bytes: int

    def read(self, path: str) -> bytes | None:
        """The content of a regular file; None when there is none."""
        return self._debugfs(f'cat "{path}"')

    def names(self, directory: str) -> tuple[str, ...]:
        """The sorted names in a directory; none when there is no such directory."""
        listing = self._debugfs(f'ls -p "{directory}"') or b""
        # /inode/mode/uid/gid/name/size/
        rows = (line.split("/") for line in listing.decode("utf-8", "replace").splitlines())
        found = {row[5] for row in rows if len(row) > 6}
        return tuple(sorted(found - {"", ".", ".."}))

    def _debugfs(self, command: str) -> bytes | None:
        ended = run(["debugfs", "-R", command, f"{self.image}?offset={self.offset_bytes}"])
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


@dataclass(slots=True)
class TarFiles:
    """The files of a tar, read in one pass that keeps the content of `wanted` only."""

    contents: dict[str, bytes] = field(default_factory=dict)
    directories: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, wanted: Iterable[str]) -> TarFiles:
        """The files of the tar at `path`, plain or compressed.

        Raises:
            LayoutError: it is damaged or truncated.
        """
        files = cls()
        keep = frozenset(wanted)
        left = _MAX_NAMES
        with not_sound(path), open_archive(path) as archive:
            for member in archive:
                name = "/" + member.name.removeprefix("./").strip("/")
                left -= len(name)
                if left < 0:
                    raise PackageError(
                        "the names in it fill memory", code="ARCHIVE-SIZE", where=str(path)
                    )
                parent, _, own = name.rpartition("/")
                files.directories.setdefault(parent or "/", set()).add(own)
                if member.kind == "file" and name in keep and member.size <= _MAX_FILE_BYTES:
                    files.contents[name] = b"".join(archive.chunks())
        return files

    def read(self, path: str) -> bytes | None:
        """The content of a wanted regular file; None when there is none."""
        return self.contents.get(path)

    def names(self, directory: str) -> tuple[str, ...]:
        """The sorted names in a directory; none when there is no such directory."""
        return tuple(sorted(self.directories.get(directory, set()) - {""}))
