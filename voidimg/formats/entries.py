"""Entries of a tree as archives and filesystems list them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MAX_FILE_BYTES = 64 * 2**20
"""Most that is read of one file of a tree."""
MAX_NAMES = 128 * 2**20
"""Most characters in the names of a tree together; a full system has some 20 million."""
EntryKind = Literal["file", "directory", "symlink", "other"]


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file of a tree, of whatever kind; `mode` has the permission bits.

    `size_bytes` is that of a regular file, `target` the text of a symbolic link, `uid` and `gid`
    are the numbers of owner and group.
    """

    kind: EntryKind
    mode: int
    size_bytes: int = 0
    target: str = ""
    uid: int = 0
    gid: int = 0
