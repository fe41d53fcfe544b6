"""Binary packages (``.xbps``): what they say about themselves, and their payload.

A package is a compressed tar archive: ``./REMOVE`` and ``./INSTALL`` (each optional), then
``./props.plist``, ``./files.plist``, then the payload: files, hard links and symlinks, whose names
begin with ``./`` (xbps 0.60.7). The real reader leaves hostile shapes to be caught while
unpacking, after it has touched the disk; here they never come out of the archive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from voidimg.errors import PackageError
from voidimg.formats.compression import MAX_BYTES
from voidimg.formats.tar_reader import CHUNK_BYTES, Member, TarReader, open_archive
from voidimg.xbps import plist
from voidimg.xbps.plist import PlistDict

MAX_SCRIPT_BYTES = 4 * 2**20
"""Largest INSTALL or REMOVE; those of Void have a few KiB."""
MAX_PROPS_BYTES = 8 * 2**20
MAX_FILES_BYTES = plist.MAX_BYTES
MAX_NAME_BYTES = 4095
"""Longest path inside a package: PATH_MAX without its NUL (Linux, limits.h)."""
MAX_DEPTH = 128
"""Most directories on the way to a file; no package of Void comes near."""
MAX_PARENTS = 128 * 2**20
"""Most characters in the names of all directories of a package: each is remembered whole."""
PAYLOAD_SLACK_BYTES = 2**20
"""What the payload may hold beyond twice its installed_size."""

_METADATA = {
    "./INSTALL": MAX_SCRIPT_BYTES,
    "./REMOVE": MAX_SCRIPT_BYTES,
    "./props.plist": MAX_PROPS_BYTES,
    "./files.plist": MAX_FILES_BYTES,
}
_REQUIRED = ("pkgname", "version", "pkgver", "architecture")
# Control characters would forge lines of logs and lists; no package has them.
_NAME = re.compile(r"\.(?:/(?!\.\.?(?:/|\Z))[^/\x00-\x1f\x7f]{1,255})+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class BinaryPackage:
    """An open package: its metadata is read, its payload waits to be read forward once.

    Attributes:
        where: what the package is called in errors.
        props: ``props.plist``; pkgname, version, pkgver and architecture are there and agree.
        files: ``files.plist``; its hashes are not compared with the payload here.
        props_bytes: the bytes of ``props.plist`` as they are in the archive.
        files_bytes: the bytes of ``files.plist`` as they are in the archive.
        install_script: ``INSTALL``, None if missing or empty.
        remove_script: ``REMOVE``, None if missing or empty.
    """

    def __init__(self, reader: TarReader):
        self._reader = reader
        self.where = reader.where
        found = self._read_metadata()
        self.props_bytes = found["./props.plist"]
        self.files_bytes = found["./files.plist"]
        self.install_script = found.get("./INSTALL") or None
        self.remove_script = found.get("./REMOVE") or None
        self.props: PlistDict = plist.decode(
            self.props_bytes, where=f"{self.where}: props.plist", max_bytes=MAX_PROPS_BYTES
        )
        self.files: PlistDict = plist.decode(
            self.files_bytes, where=f"{self.where}: files.plist", max_bytes=MAX_FILES_BYTES
        )
        self._check_props()

    @classmethod
    def open(cls, path: Path, *, where: str | None = None, max_bytes: int = MAX_BYTES) -> Self:
        """The package in the file `path`; a context manager.

        Verify the file first (`voidimg.xbps.keys`): this checks shape, not origin.

        Args:
            path: the ``.xbps`` file.
            where: what it is called in errors; its path by default.
            max_bytes: most bytes it may decompress to.

        Raises:
            StoreError: the file cannot be read.
            PackageError: it is not a package, or a damaged one.
        """
        reader = open_archive(path, where=where, max_bytes=max_bytes)
        try:
            return cls(reader)
        except BaseException:
            reader.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    @property
    def pkgver(self) -> str:
        """Name and version, like ``foo-1.0_1``."""
        return str(self.props["pkgver"])

    def members(self) -> Iterator[Member]:
        """The payload in archive order: members of kind file, hardlink and symlink.

        Names begin with ``./`` and stay below it; each occurs once; no member lies below
        another; a hard link names a file that came before. A hard link to a symlink comes as the
        symlink that it is: xbps-create makes one of symlinks that share an inode. Directory
        entries are left out, as XBPS leaves them out. The content of the member last yielded is
        read with `read` or `chunks`. Can be called once.

        Raises:
            PackageError: a member breaks one of these rules, the payload is much larger than
                the package says, or the archive is truncated or damaged.
        """
        shapes = _Shapes(self.where)
        left = self._payload_limit()
        for found in self._reader:
            member = shapes.checked(found)
            if member.kind == "directory":
                continue
            left -= member.size
            if left < 0:
                raise PackageError(
                    "the payload is far larger than the installed_size of the package",
                    code="BINPKG-SIZE",
                    where=self.where,
                    hint="it was made to fill disks",
                )
            yield member

    def read(self, limit: int) -> bytes:
        """The content of the file last yielded; PackageError if longer than `limit` bytes."""
        return self._reader.read(limit)

    def chunks(self, size: int = CHUNK_BYTES) -> Iterator[bytes]:
        """The content of the file last yielded, in pieces of at most `size` bytes."""
        return self._reader.chunks(size)

    def _read_metadata(self) -> dict[str, bytes]:
        """The metadata members, which end with ``./files.plist``."""
        found: dict[str, bytes] = {}
        while "./files.plist" not in found:
            member = self._reader.next()
            if member is None or member.name not in _METADATA or member.kind != "file":
                missing = "./props.plist" if "./props.plist" not in found else "./files.plist"
                raise self._not_a_package(f"{missing} is missing")
            if member.name in found:
                raise self._not_a_package(f"{member.name} is there twice")
            found[member.name] = self._reader.read(_METADATA[member.name])
        if "./props.plist" not in found:
            raise self._not_a_package("./props.plist does not come before ./files.plist")
        return found

    def _check_props(self) -> None:
        for key in _REQUIRED:
            if not isinstance(self.props.get(key), str):
                raise self._not_a_package(f"props.plist has no {key}")
        if self.props["pkgver"] != "-".join(str(self.props[key]) for key in ("pkgname", "version")):
            raise self._not_a_package("pkgver is not made of pkgname and version")

    def _payload_limit(self) -> int:
        size = self.props.get("installed_size")
        if type(size) is not int or size < 0:
            return MAX_BYTES
        return 2 * size + PAYLOAD_SLACK_BYTES

    def _not_a_package(self, why: str) -> PackageError:
        return PackageError(
            f"not a binary package: {why}",
            code="BINPKG",
            where=self.where,
            hint="expected what xbps-create writes",
        )


class _Shapes:
    """The rules for payload members, which need memory of those seen."""

    def __init__(self, where: str):
        self._where = where
        self._parents = {"."}
        self._parents_left = MAX_PARENTS
        self._leaves: set[str] = set()
        self._files: set[str] = set()
        self._symlinks: dict[str, str] = {}

    def checked(self, member: Member) -> Member:
        """`member` if it is what a package may contain; a hard link to a symlink as a symlink."""
        if member.kind == "hardlink" and member.target in self._symlinks:
            member = member._replace(kind="symlink", target=self._symlinks[member.target])
        self._check(member)
        if member.kind == "symlink":
            self._symlinks[member.name] = member.target
        return member

    def _check(self, member: Member) -> None:
        """Refuse `member` if it is not what a package may contain."""
        name = member.name.removesuffix("/") if member.kind == "directory" else member.name
        if name == "." and member.kind == "directory":
            return
        self._check_name(name)
        if member.kind == "directory":
            self._add_parents(name)
            return
        if member.kind not in ("file", "symlink", "hardlink"):
            raise self._hostile(f"{name!r} is a {member.kind}", "TYPE")
        if name in _METADATA:
            raise self._hostile(f"{name} stands in the payload", "NAME")
        if name in self._leaves:
            raise self._hostile(f"{name!r} is there twice", "DUPLICATE")
        if name in self._parents:
            raise self._hostile(f"{name!r} is a {member.kind} and a directory", "DUPLICATE")
        self._add_parents(name.rpartition("/")[0])
        self._leaves.add(name)
        if member.kind == "file":
            self._files.add(name)
        elif member.kind == "hardlink" and member.target not in self._files:
            raise self._hostile(
                f"{name!r} is a hard link to {member.target!r}, which is no file or symlink before"
                " it in the archive",
                "LINK",
            )
        elif not 0 < _byte_length(member.target) <= MAX_NAME_BYTES:
            raise self._hostile(f"{name!r} is a symlink to nothing, or to no path", "LINK")

    def _check_name(self, name: str) -> None:
        if _CONTROL.search(name) is not None:
            raise self._hostile(
                f"{name[:200]!r} has a control character, which would forge lines of lists", "NAME"
            )
        if (
            _NAME.fullmatch(name) is None
            or name.count("/") > MAX_DEPTH
            or _byte_length(name) > MAX_NAME_BYTES
        ):
            raise self._hostile(f"{name[:200]!r} is not a path below the root", "NAME")

    def _add_parents(self, directory: str) -> None:
        while directory not in self._parents:
            if directory in self._leaves:
                raise self._hostile(f"{directory!r} is a directory and another member", "DUPLICATE")
            self._parents.add(directory)
            self._parents_left -= len(directory)
            if self._parents_left < 0:
                raise self._hostile("its paths are too many and too deep to be remembered", "SIZE")
            directory = directory.rpartition("/")[0]

    def _hostile(self, what: str, code: str) -> PackageError:
        return PackageError(
            f"hostile or damaged package: {what}",
            code=f"BINPKG-{code}",
            where=self._where,
            hint="do not use it; xbps-create does not make such packages",
        )


def _byte_length(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
