"""Writes binary packages as xbps-create does, from described members instead of a directory.

The same description gives the same bytes: order, owners and times come from it alone, and one
zstd thread compresses. Form and order are those of xbps-create 0.60.7.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from voidimg.atomic import replacing
from voidimg.errors import PackageError, StoreError, VoidimgError, storing
from voidimg.foreign import open_regular
from voidimg.xbps import plist, tarwriter
from voidimg.xbps.names import file_name, split_pkgver
from voidimg.xbps.package.link_target import Links
from voidimg.xbps.plist import PlistDict

_CHUNK_BYTES = 2**20
_SCRIPT_MODE = 0o755
_PATH = re.compile(r"(?:/(?!\.\.?(?:/|\Z))[^/\x00-\x1f\x7f]{1,255})+")
_PATTERN_CHARACTERS = frozenset("<>*?[]")


@dataclass(frozen=True, slots=True)
class PackageMember:
    """One entry of a package.

    Attributes:
        path: absolute path in the target, like ``/usr/bin/foo``.
        kind: a directory is only listed (``dirs`` of files.plist), never archived; parents of
            other members are listed without being named.
        mode: permission bits; ignored for symlinks and directories.
        uid: owner as a number.
        gid: group as a number.
        mtime: seconds since 1970.
        content: of a file: its bytes, or the host's file that holds them.
        target: text of a symlink, or absolute path of the file that a hard link repeats.
        mutable: the file is expected to change on the target.
    """

    path: str
    kind: Literal["file", "symlink", "hardlink", "directory"] = "file"
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    content: bytes | Path | None = None
    target: str | None = None
    mutable: bool = False


@dataclass(frozen=True, slots=True)
class PackageMeta:
    """What a package says about itself: the keys of ``props.plist``, and its scripts.

    `version` includes the revision (``1.0_1``). `run_depends` are patterns or pkgvers, never
    bare names. Alternatives are ``link:target`` strings by group. Empty values are left out.
    """

    pkgname: str
    version: str
    architecture: str
    short_desc: str
    long_desc: str = ""
    homepage: str = ""
    license: str = ""
    maintainer: str = ""
    changelog: str = ""
    tags: str = ""
    build_options: str = ""
    source_revisions: str = ""
    sourcepkg: str = ""
    packaged_with: str = ""
    run_depends: Sequence[str] = ()
    conflicts: Sequence[str] = ()
    replaces: Sequence[str] = ()
    provides: Sequence[str] = ()
    reverts: Sequence[str] = ()
    shlib_provides: Sequence[str] = ()
    shlib_requires: Sequence[str] = ()
    conf_files: Sequence[str] = ()
    alternatives: Mapping[str, Sequence[str]] = field(default_factory=dict)
    preserve: bool = False
    install_msg: bytes = b""
    remove_msg: bytes = b""
    install_script: bytes = b""
    remove_script: bytes = b""

    @property
    def pkgver(self) -> str:
        """Name and version, like ``foo-1.0_1``."""
        return f"{self.pkgname}-{self.version}"

    @property
    def file_name(self) -> str:
        """The file name of the package, like ``foo-1.0_1.noarch.xbps``."""
        return file_name(self.pkgver, self.architecture)

    def props(self, installed_size: int) -> PlistDict:
        """``props.plist`` of the package whose files have `installed_size` bytes together."""
        values: PlistDict = {
            "alternatives": {group: list(links) for group, links in self.alternatives.items()},
            "install-msg": self.install_msg,
            "preserve": self.preserve,
            "remove-msg": self.remove_msg,
        }
        for name in _TEXTS:
            values[name.replace("_", "-") if name in _DASHED else name] = getattr(self, name)
        for name in _ARRAYS:
            key = name.replace("_", "-") if name in _DASHED else name
            values[key] = list(getattr(self, name))
        return {
            **{key: value for key, value in values.items() if value},
            "architecture": self.architecture,
            "installed_size": installed_size,
            "pkgname": self.pkgname,
            "pkgver": self.pkgver,
            "short_desc": self.short_desc,
            "version": self.version,
        }


_TEXTS = ("long_desc", "homepage", "license", "maintainer", "changelog", "tags", "build_options",
          "source_revisions", "sourcepkg", "packaged_with")  # fmt: skip
_ARRAYS = ("run_depends", "conflicts", "replaces", "provides", "reverts", "shlib_provides",
           "shlib_requires", "conf_files")  # fmt: skip
_DASHED = frozenset({"build_options", "source_revisions", "packaged_with", "shlib_provides",
                     "shlib_requires"})  # fmt: skip


def write_package(
    out_dir: Path, meta: PackageMeta, members: Sequence[PackageMember], *, level: int = 9
) -> Path:
    """Write the package into `out_dir` and return its path; an older one of it is replaced.

    Args:
        out_dir: a directory, made if it is not there.
        meta: what the package says about itself.
        members: its entries, in any order.
        level: of zstd; xbps-create uses 9.

    Raises:
        PackageError: the description makes no sound package.
        StoreError: a content cannot be read, the package not be written, or something else than
            this package is in its place.
    """
    _check_meta(meta)
    _require_place(out_dir / meta.file_name, meta)
    entries = _sorted(members, meta)
    sums = {entry.path: _sum(entry, meta) for entry in entries if entry.kind == "file"}
    carriers = _carriers(entries, meta)
    size = sum(length for length, _ in sums.values())
    path = out_dir / meta.file_name
    with storing(out_dir, "make"):
        out_dir.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file, tarwriter.compressor(level).stream_writer(
        file, closefd=False
    ) as out:  # fmt: skip
        for name, script in (("./REMOVE", meta.remove_script), ("./INSTALL", meta.install_script)):
            if script:
                out.write(tarwriter.header(name, "0", mode=_SCRIPT_MODE, size=len(script)))
                out.write(tarwriter.padded(script))
        for name, values in (
            ("./props.plist", meta.props(size)),
            ("./files.plist", _files(entries, sums, carriers, meta)),
        ):
            content = plist.encode(values)
            out.write(tarwriter.file_header(name, len(content)) + tarwriter.padded(content))
        _write_payload(out.write, entries, sums, carriers, meta)
        out.write(tarwriter.END)
    return path


def _require_place(path: Path, meta: PackageMeta) -> None:
    """Ensure that `path` is missing or an older file of the same package."""
    from voidimg.xbps.package.reader import BinaryPackage  # seldom needed

    if not os.path.lexists(path):
        return
    try:
        with BinaryPackage.open(path) as package:
            if package.pkgver == meta.pkgver:
                return
    except VoidimgError:
        pass
    raise StoreError(
        f"{path} is not the package {meta.pkgver}, and is not replaced",
        code="NOT-OURS",
        where=str(path),
        hint="move it away",
    )


def _check_meta(meta: PackageMeta) -> None:
    parts = split_pkgver(meta.pkgver)
    if parts is None or (parts.name, parts.version) != (meta.pkgname, meta.version):
        raise _impossible(meta, f"{meta.pkgver!r} is not a pkgver, like foo-1.0_1")
    if not meta.architecture or not meta.short_desc:
        raise _impossible(meta, "architecture and short_desc are needed")
    for path in (meta.pkgver, meta.architecture):
        if _PATH.fullmatch(f"/{path}") is None or "/" in path:
            raise _impossible(meta, f"{path!r} cannot be part of a file name")
    for depend in meta.run_depends:
        if split_pkgver(depend) is None and _PATTERN_CHARACTERS.isdisjoint(depend):
            raise _impossible(meta, f"run_depends has {depend!r}; write {depend + '>=0'!r}")
    for pkgver in meta.provides:
        if split_pkgver(pkgver) is None:
            raise _impossible(meta, f"provides has {pkgver!r}, which is not a pkgver")
    for links in meta.alternatives.values():
        if not links or any(":" not in link for link in links):
            raise _impossible(meta, "alternatives are strings link:target")


def _sorted(members: Sequence[PackageMember], meta: PackageMeta) -> list[PackageMember]:
    """The members in the order of xbps-create's walk, every parent directory among them."""
    entries: dict[str, PackageMember] = {}
    for member in members:
        if _PATH.fullmatch(member.path) is None:
            raise _impossible(meta, f"{member.path!r} is not an absolute, plain path")
        if member.path in entries:
            raise _impossible(meta, f"{member.path} is there twice")
        if member.kind in ("symlink", "hardlink") and not member.target:
            raise _impossible(meta, f"the {member.kind} {member.path} has no target")
        entries[member.path] = member
    for path in list(entries):
        while path := path.rpartition("/")[0]:
            if entries.setdefault(path, PackageMember(path, "directory")).kind != "directory":
                raise _impossible(meta, f"{path} is a {entries[path].kind} and a directory")
    return sorted(entries.values(), key=lambda entry: os.fsencode(entry.path).split(b"/"))


def _sum(entry: PackageMember, meta: PackageMeta) -> tuple[int, str]:
    """Size and SHA-256 of a file's content."""
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(entry, meta):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def _chunks(entry: PackageMember, meta: PackageMeta) -> Iterator[bytes]:
    if isinstance(entry.content, bytes):
        for start in range(0, len(entry.content), _CHUNK_BYTES):
            yield entry.content[start : start + _CHUNK_BYTES]
    elif entry.content is None:
        raise _impossible(meta, f"{entry.path} has no content")
    else:
        try:
            with open_regular(entry.content, follow=False) as file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise StoreError(
                f"cannot read {entry.content}: {error.strerror}", code="IO", where=meta.pkgver
            ) from error


def _carriers(entries: list[PackageMember], meta: PackageMeta) -> dict[str, PackageMember]:
    """Path of each file and hard link -> the file that has its content."""
    files = {entry.path: entry for entry in entries if entry.kind == "file"}
    found = dict(files)
    for entry in entries:
        if entry.kind == "hardlink":
            if entry.target not in files:
                raise _impossible(meta, f"the hard link {entry.path} names no file of the package")
            found[entry.path] = files[entry.target]
    return found


def _files(
    entries: list[PackageMember],
    sums: Mapping[str, tuple[int, str]],
    carriers: Mapping[str, PackageMember],
    meta: PackageMeta,
) -> PlistDict:
    """``files.plist``: arrays in the order of the walk, none that would be empty."""
    arrays: dict[str, list[plist.PlistValue]] = {}
    links = Links(
        directories={entry.path for entry in entries if entry.kind == "directory"},
        files=set(carriers),
        symlinks={entry.path: entry.target or "" for entry in entries if entry.kind == "symlink"},
    )
    configuration = set(meta.conf_files)
    for entry in entries:
        listed: PlistDict = {"file": entry.path}
        if entry.kind == "directory":
            array = "dirs"
        elif entry.kind == "symlink":
            array = "links"
            listed["target"] = links.recorded_target(entry.path, entry.target or "")
        else:
            array = "conf_files" if entry.path in configuration else "files"
            size, listed["sha256"] = sums[carriers[entry.path].path]
            if size:
                listed["size"] = size
            if entry.mutable:
                listed["mutable"] = True
        arrays.setdefault(array, []).append(listed)
    return dict(arrays)


def _write_payload(
    write: Callable[[bytes], int],
    entries: list[PackageMember],
    sums: Mapping[str, tuple[int, str]],
    carriers: Mapping[str, PackageMember],
    meta: PackageMeta,
) -> None:
    """The members against the order of the walk; of a set of hard links the first has the data."""
    written: dict[str, str] = {}
    for entry in reversed(entries):
        name = f".{entry.path}"
        if entry.kind == "symlink":
            write(
                tarwriter.header(
                    name, "2", mode=0o777, uid=entry.uid, gid=entry.gid, mtime=entry.mtime,
                    target=entry.target or "",
                )
            )  # fmt: skip
        elif entry.kind != "directory":
            carrier = carriers[entry.path]
            first = written.setdefault(carrier.path, name)
            is_first = first == name
            size = sums[carrier.path][0] if is_first else 0
            write(
                tarwriter.header(
                    name, "0" if is_first else "1", mode=carrier.mode, uid=carrier.uid,
                    gid=carrier.gid, mtime=carrier.mtime, size=size,
                    target="" if is_first else first,
                )
            )  # fmt: skip
            if is_first:
                _write_content(write, carrier, sums[carrier.path], meta)


def _write_content(
    write: Callable[[bytes], int],
    entry: PackageMember,
    expected: tuple[int, str],
    meta: PackageMeta,
) -> None:
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(entry, meta):
        digest.update(chunk)
        size += len(chunk)
        write(chunk)
    if (size, digest.hexdigest()) != expected:
        raise _impossible(meta, f"{entry.content!r} changed while it was packed")
    write(bytes(-size % tarwriter.BLOCK))


def _impossible(meta: PackageMeta, why: str) -> PackageError:
    return PackageError(
        f"cannot make a package: {why}",
        code="META",
        where=meta.pkgver,
        hint="mend the description of the package",
    )
