"""The package model between the Debian side and the XBPS writer: plain values, no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from voidimg.xbps.query import parse_query

Kind = Literal["file", "symlink", "hardlink"]

HANDMADE_MTIME = 1_704_067_200
"""The modification time of files written here, 2024-01-01 UTC; Debian's keep their own."""


@dataclass(frozen=True, slots=True)
class Member:
    """One path of a package; `target` is a symlink's text or the path a hard link shares."""

    path: str
    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = HANDMADE_MTIME
    content: bytes = b""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """One XBPS package before it is written. `version` includes the revision.

    `build_date` stands in its index entry, and not in the package: xbps-rindex did so until 2020,
    and entries of packages that nobody has built since still have it.
    """

    name: str
    version: str
    architecture: str
    short_desc: str
    members: tuple[Member, ...]
    depends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    conf_files: tuple[str, ...] = ()
    alternatives: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shlib_provides: tuple[str, ...] = ()
    shlib_requires: tuple[str, ...] = ()
    preserve: bool = False
    build_date: str = ""
    install: bytes | None = None
    remove: bytes | None = None

    @property
    def pkgver(self) -> str:
        """`name-version_revision`."""
        return f"{self.name}-{self.version}"

    @property
    def installed_bytes(self) -> int:
        """The size of all regular files."""
        return sum(len(member.content) for member in self.members)


def dependency_name(pattern: str) -> str:
    """The package a dependency such as ``glibc>=2.36_1`` or ``libpcre2-8-0-10.42_1`` is on."""
    return parse_query(pattern).name or pattern
