"""What GNU tar makes of a tarball, and what the tarball itself says; both in the same words."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_XATTR = "SCHILY.xattr."


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a tree; `content` is the SHA-256 of a file, the target of a symlink."""

    kind: int
    mode: int
    uid: int
    gid: int
    mtime: int
    content: str
    xattrs: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A tree that GNU tar made: its entries by name, and the small text files asked for."""

    entries: dict[str, Entry]
    texts: dict[str, bytes]


_KINDS = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.DIRTYPE: stat.S_IFDIR,
}


def entries_of(archive: Path) -> dict[str, Entry]:
    """The members of the uncompressed tarball `archive`, hard links as what they repeat."""
    found: dict[str, Entry] = {}
    with tarfile.open(archive, encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            if member.islnk():
                found[member.name] = found[member.linkname]
                continue
            file = tar.extractfile(member) if member.isreg() else None
            content = member.linkname if file is None else _sha256(file.read())
            found[member.name] = Entry(
                kind=_KINDS[member.type],
                mode=member.mode,
                uid=member.uid,
                gid=member.gid,
                mtime=int(member.mtime),
                content=content,
                xattrs={
                    key.removeprefix(_XATTR): value.encode("utf-8", "surrogateescape")
                    for key, value in member.pax_headers.items()
                    if key.startswith(_XATTR)
                },
            )
    return found


def unpack(archive: Path, directory: Path, texts: list[str]) -> Unpacked:
    """Unpack with GNU tar as root of a namespace, look, and remove it again.

    To be run by `voidimg.sandbox.namespace.call`, where all owners exist.
    """
    directory.mkdir()
    words = ["tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*"]
    try:
        subprocess.run([*words, "-f", archive, "-C", directory], check=True, capture_output=True)
        names = [
            Path(top, name)
            for top, directories, files in os.walk(directory)
            for name in (*directories, *files)
        ]
        found = {f"./{path.relative_to(directory)}": _entry(path) for path in names}
        return Unpacked(
            {".": _entry(directory), **found},
            {name: (directory / name).read_bytes() for name in texts},
        )
    finally:
        shutil.rmtree(directory)


def _entry(path: Path) -> Entry:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        content = os.readlink(path)
    else:
        content = _sha256(path.read_bytes()) if stat.S_ISREG(status.st_mode) else ""
    return Entry(
        kind=stat.S_IFMT(status.st_mode),
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=int(status.st_mtime),
        content=content,
        xattrs={
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in os.listxattr(path, follow_symlinks=False)
        },
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
