"""A copy of the tiny repository that can be damaged or turned hostile, and signed all the same."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import zstandard

from tests.command import PROJECT
from tests.testrepo import RepositoryFixture
from voidimg.xbps import plist
from voidimg.xbps.keys import PrivateKey
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.repository.local import read_repodata, sign_packages
from voidimg.xbps.repository.repodata import Repodata

KEYS = PROJECT / "tests" / "vectors" / "xbps" / "keys"
TRUSTED = KEYS / "second.private.pem"
OTHER = KEYS / "main.private.pem"

Made = tuple[tarfile.TarInfo, bytes]
"""A member of an archive and its content."""


class Tampered:
    """The repository in `path`, a copy of `original`, still believed to be that."""

    def __init__(self, original: RepositoryFixture, path: Path):
        shutil.copytree(original.path, path)
        self.path = path
        self.arch = original.arch
        self.fixture = RepositoryFixture(path, original.key_plist, original.arch)

    def package(self, name: str) -> Path:
        """The file of the package `name`."""
        return next(self.path.glob(f"{name}-[0-9]*.xbps"))

    def change_index(self, change: Callable[[dict[str, PlistDict]], None]) -> None:
        """Let `change` edit the index; nothing signs an index."""
        repodata = read_repodata(self.path, self.arch)
        index = {name: dict(entry) for name, entry in repodata.index.items()}
        change(index)
        self.write_index(Repodata(index, repodata.stage, repodata.meta))

    def write_index(self, repodata: Repodata) -> None:
        """Make `repodata` the index."""
        (self.path / f"{self.arch}-repodata").write_bytes(repodata.encode())

    def sign(self, name: str, key: Path = TRUSTED) -> None:
        """Sign the package file as it is now."""
        sign_packages([self.package(name)], PrivateKey.read(key))

    def rewrite(
        self,
        name: str,
        more: list[Made],
        *,
        files: list[PlistDict] | None = None,
        links: list[PlistDict] | None = None,
    ) -> None:
        """Append `more` to a package, and to the lists of its files.plist; index and sign it."""
        path = self.package(name)
        members = _members(path)
        listed = plist.decode(members["./files.plist"][1], where=name)
        listed["files"] = [*_list(listed, "files"), *(files or [])]
        listed["links"] = [*_list(listed, "links"), *(links or [])]
        members["./files.plist"] = _with_content(members["./files.plist"][0], plist.encode(listed))
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for member, content in [*members.values(), *more]:
                tar.addfile(member, io.BytesIO(content))
        path.write_bytes(zstandard.compress(packed.getvalue(), 3))
        self.sign(name)
        self.change_index(lambda index: index[name].update(_selection(path)))


def _list(values: PlistDict, key: str) -> list[plist.PlistValue]:
    found = values.get(key, [])
    assert isinstance(found, list)
    return found


def _members(path: Path) -> dict[str, Made]:
    content = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            name = "./" + member.name.removeprefix("./")
            member.name = name
            found[name] = (member, b"" if file is None else file.read())
    return found


def _with_content(member: tarfile.TarInfo, content: bytes) -> Made:
    member.size = len(content)
    return member, content


def _selection(path: Path) -> Mapping[str, plist.PlistValue]:
    return {
        "filename-sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "filename-size": path.stat().st_size,
    }


def member(name: str, content: bytes = b"", **attributes: object) -> Made:
    """A member with any name; `attributes` are those of `tarfile.TarInfo`."""
    made = tarfile.TarInfo(name)
    made.mode = 0o644
    for key, value in attributes.items():
        setattr(made, key, value)
    return _with_content(made, content)


def listed(path: str, content: bytes) -> PlistDict:
    """The entry of files.plist for a file."""
    return {
        "file": path,
        "mtime": 0,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }


def state_of(directory: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """All there is to know of a small directory, to see whether anything touched it."""
    found = {}
    for path in [directory, *sorted(directory.rglob("*"))]:
        status = path.lstat()
        content = os.fsencode(path.readlink()) if path.is_symlink() else b""
        content = path.read_bytes() if path.is_file() else content
        found[str(path)] = (status.st_mode, status.st_mtime_ns, status.st_uid, content)
    return found
