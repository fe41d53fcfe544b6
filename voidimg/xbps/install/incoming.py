"""A package about to be unpacked: what it says about itself, checked against the index."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import PackageError
from voidimg.xbps.install.pkgdb import DIRECTORY
from voidimg.xbps.names import Pkgver
from voidimg.xbps.package.agreement import require_agreement, require_identity
from voidimg.xbps.package.file_list import Kind, Listed, decode_list
from voidimg.xbps.package.reader import BinaryPackage
from voidimg.xbps.plist import PlistDict


@dataclass(frozen=True, slots=True)
class Incoming:
    """The metadata of a package file.

    Attributes:
        path: the file, already verified.
        split: name and version.
        entry: the package's index entry, equal to its own properties.
        files: its file list as a property list, kept to be recorded.
        listed: the same, decoded.
        install_script: INSTALL, empty if there is none.
        remove_script: REMOVE likewise.
    """

    path: Path
    split: Pkgver
    entry: PlistDict
    files: PlistDict
    listed: tuple[Listed, ...]
    install_script: bytes
    remove_script: bytes

    @property
    def pkgver(self) -> str:
        """Name and version."""
        return str(self.split)

    @property
    def preserve(self) -> bool:
        """Whether the package wants the files of its older versions kept."""
        return self.entry.get("preserve") is True


def read_incoming(path: Path, pkgver: str, entry: PlistDict, arch: str) -> Incoming:
    """The metadata of the package file `path`, which the index calls `pkgver`.

    Args:
        path: a file whose signature, size and SHA256 were verified.
        pkgver: what was resolved.
        entry: its index entry.
        arch: architecture of the tree.

    Raises:
        PackageError: the file is no sound package, or its index entry says something else.
    """
    with BinaryPackage.open(path, where=pkgver) as package:
        require_agreement(entry, package.props, where=pkgver)
        split = require_identity(package.props, arch, where=pkgver)
        listed = decode_list(package.files, where=pkgver)
        _require_no_database(listed, where=pkgver)
        return Incoming(
            path=path,
            split=split,
            entry=entry,
            files=package.files,
            listed=listed,
            install_script=package.install_script or b"",
            remove_script=package.remove_script or b"",
        )


def _require_no_database(listed: tuple[Listed, ...], *, where: str) -> None:
    """No package may bring the package database; trusted keys come with packages (Void's xbps)."""
    for one in listed:
        if one.kind is Kind.DIRECTORY or one.path.startswith(f"{DIRECTORY}/keys/"):
            continue
        if one.path == DIRECTORY or one.path.startswith(f"{DIRECTORY}/"):
            raise PackageError(
                f"the package brings {one.path}, which belongs to the package database",
                code="DATABASE",
                where=where,
                hint="the package is malformed or hostile; do not use it",
            )
