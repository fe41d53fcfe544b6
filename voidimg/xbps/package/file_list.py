"""A package's file list (``files.plist``): every path it owns, checked and by kind."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass

from voidimg.errors import PackageError
from voidimg.xbps.plist import PlistDict, PlistValue

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_PATH = 4095
"""PATH_MAX without its NUL (Linux, limits.h)."""
_MAX_DEPTH = 129


class Kind(enum.Enum):
    """What a path is, named as in messages; in the order in which the list's arrays are read."""

    FILE = "file"
    CONF_FILE = "configuration file"
    LINK = "symlink"
    DIRECTORY = "directory"


ARRAYS = {
    "files": Kind.FILE,
    "conf_files": Kind.CONF_FILE,
    "links": Kind.LINK,
    "dirs": Kind.DIRECTORY,
}
"""The arrays of the list, each absent when empty."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One path of a package. `sha256` and `size` of files only; `target` of links only.

    `target` is xbps's normalised form, not the text of the link.
    """

    path: str
    kind: Kind
    sha256: str = ""
    size: int = 0
    target: str = ""

    @property
    def is_regular(self) -> bool:
        """Whether it is a file with content (configuration files included)."""
        return self.kind is Kind.FILE or self.kind is Kind.CONF_FILE


def decode_list(files: PlistDict, *, where: str) -> tuple[Listed, ...]:
    """The paths in `files`, in the list's own order.

    Raises:
        PackageError: a path is relative, leaves the tree, or stands in the list twice; an entry
            lacks its hash.
    """
    listed = tuple(_entries(files, where))
    kinds: dict[str, Kind] = {}
    for entry in listed:
        earlier = kinds.get(entry.path)
        if earlier is not None and not earlier is entry.kind is Kind.DIRECTORY:
            raise PackageError(
                f"the file list names {entry.path} twice",
                code="LIST-TWICE",
                where=where,
                hint="the package is malformed",
            )
        kinds[entry.path] = entry.kind
    return listed


def _entries(files: PlistDict, where: str) -> Iterator[Listed]:
    for array, kind in ARRAYS.items():
        entries = files.get(array, [])
        if not isinstance(entries, list):
            raise _malformed(f"{array} is not an array", where)
        for entry in entries:
            if not isinstance(entry, dict):
                raise _malformed(f"an entry of {array} is not a dictionary", where)
            path = _path(entry.get("file"), where)
            if kind is Kind.LINK:
                yield Listed(path, kind, target=str(entry.get("target", "")))
            elif kind is Kind.DIRECTORY:
                yield Listed(path, kind)
            else:
                sha256, size = entry.get("sha256"), entry.get("size", 0)
                if not isinstance(sha256, str) or _SHA256.fullmatch(sha256) is None:
                    raise _malformed(f"{path} has no SHA256", where)
                yield Listed(path, kind, sha256, size if isinstance(size, int) else 0)


def _path(value: PlistValue | None, where: str) -> str:
    """A path of the list: absolute, clean and inside the tree."""
    if not isinstance(value, str):
        raise _malformed("an entry has no path", where)
    parts = value.split("/")
    if (
        parts[0]
        or len(parts) < 2
        or not {"", ".", ".."}.isdisjoint(parts[1:])
        or len(value.encode("utf-8", "surrogateescape")) > _MAX_PATH
        or len(parts) > _MAX_DEPTH
    ):
        raise PackageError(
            f"the file list names {value[:_MAX_PATH]!r}, which is no clean absolute path",
            code="LIST-PATH",
            where=where,
            hint="the package is malformed or hostile; do not use it",
        )
    return value


def _malformed(reason: str, where: str) -> PackageError:
    return PackageError(
        f"the file list is malformed: {reason}",
        code="LIST",
        where=where,
        hint="the package was not made by xbps-create",
    )
