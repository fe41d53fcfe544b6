"""Installs a fuzzed payload into a tree full of traps and sees that nothing outside changed."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tests.fuzz.scratch import scratch
from voidimg.errors import VoidimgError
from voidimg.formats.compression import Stream
from voidimg.formats.tar_reader import Member, TarReader
from voidimg.xbps import plist, tarwriter
from voidimg.xbps.install.install import VerifiedPackage, install
from voidimg.xbps.plist import PlistDict, PlistValue
from voidimg.xbps.resolve.transaction import Step

_PKGVER = "fuzzed-1.0_1"
_MAX_BYTES = 64 * 2**20


def unpack_package(
    payload: bytes,
    refusing: Callable[[], AbstractContextManager[None]],
    noextract: Sequence[str] = (),
) -> None:
    """Install the members of the tar `payload`, under a file list that says what they are.

    `refusing` ends its block at errors of voidimg; `noextract` is as of the installer. What lies
    beside the tree may not change.
    """
    members = _members(payload)
    if not members:
        return
    root, outside = _tree_with_traps()
    package = scratch() / "fuzzed-1.0_1.noarch.xbps"
    props: PlistDict = {
        "pkgname": "fuzzed",
        "version": "1.0_1",
        "pkgver": _PKGVER,
        "architecture": "noarch",
        "short_desc": "fuzzed",
        "installed_size": sum(len(content) for _, content in members),
    }
    metadata = {"./props.plist": props, "./files.plist": _listed(members)}
    try:
        encoded = {name: plist.encode(value) for name, value in metadata.items()}
    except VoidimgError:
        return
    package.write_bytes(
        b"".join(
            tarwriter.file_header(name, len(content)) + tarwriter.padded(content)
            for name, content in encoded.items()
        )
        + payload
    )
    entry = {key: value for key, value in props.items() if key not in ("pkgname", "version")}
    step = Step(_PKGVER, "fuzzed", "install", None, entry, automatic=False)
    before = _state(outside), sorted(os.listdir(scratch()))
    with refusing():
        install(
            root,
            [VerifiedPackage(package, step)],
            arch="x86_64",
            runner=None,
            noextract=noextract,
        )
    assert (_state(outside), sorted(os.listdir(scratch()))) == before


def _members(payload: bytes) -> list[tuple[Member, bytes]]:
    """Whatever members can be read before the first thing that is wrong."""
    found: list[tuple[Member, bytes]] = []
    stream = Stream(io.BytesIO(payload), where="fuzz", max_bytes=_MAX_BYTES)
    try:
        with TarReader(stream) as reader:
            found += [(member, b"".join(reader.chunks())) for member in reader]
    except VoidimgError:
        return []
    return found


def _listed(members: list[tuple[Member, bytes]]) -> PlistDict:
    """A file list for `members`; names ending in ``.conf`` are configuration files."""
    hashes: dict[str, str] = {}
    arrays: dict[str, list[PlistValue]] = {"files": [], "conf_files": [], "links": []}
    for member, content in members:
        path = member.name.removeprefix(".")
        if member.kind == "symlink":
            arrays["links"].append({"file": path, "target": member.target})
        elif member.kind != "directory":
            digest = hashes.get(member.target) or hashlib.sha256(content).hexdigest()
            hashes[member.name] = digest
            array = "conf_files" if path.endswith(".conf") else "files"
            arrays[array].append({"file": path, "sha256": digest, "size": len(content)})
    return {key: values for key, values in arrays.items() if values}


def _tree_with_traps() -> tuple[Path, Path]:
    """A new tree, and a directory beside it that links in the tree lead to."""
    root, outside = scratch() / "root", scratch() / "outside"
    for old in (root, outside):
        shutil.rmtree(old, ignore_errors=True)
    for directory in ("usr/bin", "etc", "full/of"):
        (root / directory).mkdir(parents=True)
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    (outside / "kept.conf").write_bytes(b"kept")
    for path, content in {"etc/a.conf": b"old", "file": b"old", "full/of/things": b""}.items():
        (root / path).write_bytes(content)
    links = {
        "bin": "usr/bin",
        "out": "../outside",
        "absolute": str(outside),
        "etc/out.conf": "../../outside/kept.conf",
        "outfile": str(outside / "kept"),
        "usr/up": "../..",
        "loop": "loop",
    }
    for path, text in links.items():
        (root / path).symlink_to(text)
    return root, outside


def _state(directory: Path) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for path in (directory, *sorted(directory.rglob("*"))):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        times = (status.st_mtime_ns, status.st_ctime_ns)
        found.append((path.name, status.st_mode, status.st_uid, status.st_gid, times, content))
    return found
