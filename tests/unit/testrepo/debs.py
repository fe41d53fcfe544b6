"""Writes small Debian packages for the tests of the conversion."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def write_deb(
    path: Path,
    control: Mapping[str, str],
    files: Mapping[str, tuple[int, bytes]],
    *,
    links: Mapping[str, str] | None = None,
    hard_links: Mapping[str, str] | None = None,
    conf_files: Sequence[str] = (),
    data: bytes | None = None,
) -> Path:
    """A package at `path`; `files` maps a name to its mode and content."""
    fields = "".join(f"{name}: {value}\n" for name, value in control.items())
    texts = {"./control": (0o644, fields.encode())}
    if conf_files:
        texts["./conffiles"] = (0o644, "".join(f"{name}\n" for name in conf_files).encode())
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": _tar(texts),
        "data.tar.xz" if data is None else "data.tar": data
        or _tar(files, links or {}, hard_links or {}),
    }
    archive = b"!<arch>\n"
    for name, content in members.items():
        archive += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        archive += content + b"\n" * (len(content) % 2)
    path.write_bytes(archive)
    return path


def _tar(
    files: Mapping[str, tuple[int, bytes]],
    links: Mapping[str, str] | None = None,
    hard_links: Mapping[str, str] | None = None,
) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz") as archive:
        directory = tarfile.TarInfo("./")
        directory.type = tarfile.DIRTYPE
        archive.addfile(directory)
        for name, (mode, content) in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = mode, len(content)
            archive.addfile(entry, io.BytesIO(content))
        for kind, table in ((tarfile.SYMTYPE, links), (tarfile.LNKTYPE, hard_links)):
            for name, target in (table or {}).items():
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = kind, target
                archive.addfile(entry)
    return stream.getvalue()
