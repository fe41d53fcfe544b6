"""Reads Debian binary packages: an ar archive that holds control and data tarballs."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import PackageError

from .model import Kind, Member

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60


@dataclass(frozen=True, slots=True)
class Deb:
    """A read package: its files (paths as Debian has them), conf files and architecture."""

    name: str
    architecture: str
    conf_files: tuple[str, ...]
    members: tuple[Member, ...]


def read_deb(path: Path) -> Deb:
    """The package at `path`; directories are left out.

    Raises:
        PackageError: it is not a Debian package.
    """
    parts = dict(_ar_members(path))
    try:
        control = next(blob for name, blob in parts.items() if name.startswith("control.tar"))
        payload = next(blob for name, blob in parts.items() if name.startswith("data.tar"))
    except StopIteration:
        raise PackageError("not a Debian package", code="DEB", where=str(path)) from None
    texts = {member.path: member.content.decode("utf-8") for member in _tar_members(control)}
    fields = dict(
        line.split(": ", 1) for line in texts["/control"].splitlines() if ": " in line[1:]
    )
    return Deb(
        name=fields["Package"],
        architecture=fields["Architecture"],
        conf_files=tuple(
            line for line in texts.get("/conffiles", "").split("\n") if line.startswith("/")
        ),
        members=tuple(_tar_members(payload)),
    )


def _ar_members(path: Path) -> Iterator[tuple[str, bytes]]:
    data = path.read_bytes()
    if not data.startswith(_AR_MAGIC):
        raise PackageError("not an ar archive", code="DEB", where=str(path))
    at = len(_AR_MAGIC)
    while at + _AR_HEADER <= len(data):
        header = data[at : at + _AR_HEADER]
        name = header[:16].decode("ascii").strip().rstrip("/")
        size = int(header[48:58])
        yield name, data[at + _AR_HEADER : at + _AR_HEADER + size]
        at += _AR_HEADER + size + size % 2


def _tar_members(blob: bytes) -> Iterator[Member]:
    with tarfile.open(fileobj=io.BytesIO(blob), mode="r|*") as archive:
        for entry in archive:
            kind = _kind(entry)
            if kind is None:
                continue
            stream = archive.extractfile(entry) if kind == "file" else None
            yield Member(
                path=_absolute(entry.name),
                kind=kind,
                mode=0o777 if kind == "symlink" else entry.mode & 0o7777,
                uid=entry.uid,
                gid=entry.gid,
                mtime=int(entry.mtime),
                content=b"" if stream is None else stream.read(),
                target=_absolute(entry.linkname) if kind == "hardlink" else entry.linkname,
            )


def _kind(entry: tarfile.TarInfo) -> Kind | None:
    if entry.isreg():
        return "file"
    if entry.issym():
        return "symlink"
    return "hardlink" if entry.islnk() else None


def _absolute(name: str) -> str:
    return "/" + name.removeprefix("./").lstrip("/")
