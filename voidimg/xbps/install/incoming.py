"""A package about to be unpacked: what it says about itself, checked against the index."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voidimg.xbps.names import Pkgver
from voidimg.xbps.package.agreement import require_agreement, require_identity
from voidimg.xbps.package.file_list import Listed, decode_list
from voidimg.xbps.package.reader import BinaryPackage
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.reserved import require_own_alternatives, require_own_paths


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
        require_own_paths(split.name, listed, where=pkgver)
        require_own_alternatives(package.props, where=pkgver)
        return Incoming(
            path=path,
            split=split,
            entry=entry,
            files=package.files,
            listed=listed,
            install_script=package.install_script or b"",
            remove_script=package.remove_script or b"",
        )
