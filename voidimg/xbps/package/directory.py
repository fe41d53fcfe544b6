"""Package directories: a ``package.toml`` beside the files, from which a package is made.

::

    hello/
      package.toml     what the package says about itself
      files/           the files as they shall lie below /
      INSTALL REMOVE   scripts, optional

Owners and times do not come from the directory, for they differ from checkout to checkout, and
modes only as far as a checkout keeps them: 0755 for executable files, 0644 for others.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from voidimg.errors import PackageError, StoreError
from voidimg.foreign import MAX_DOCUMENT_BYTES, kind_in_words, read_regular
from voidimg.units import parse_mode
from voidimg.xbps.package.file_list import Kind, Listed
from voidimg.xbps.package.writer import PackageMember, PackageMeta
from voidimg.xbps.reserved import require_link_text, require_own_alternatives, require_own_paths

_Said = TypeVar("_Said")
_SCRIPTS = {"INSTALL": "install_script", "REMOVE": "remove_script"}
_OWNER = re.compile(r"([0-9]{1,9}):([0-9]{1,9})")
_NOT_IN_TOML = frozenset(_SCRIPTS.values())
_BYTES = frozenset({"install_msg", "remove_msg"})
_MAX_SCRIPT_BYTES = 4 * 2**20
_KINDS = {
    "file": Kind.FILE,
    "hardlink": Kind.FILE,
    "symlink": Kind.LINK,
    "directory": Kind.DIRECTORY,
}


def read_package_directory(directory: Path) -> tuple[PackageMeta, list[PackageMember]]:
    """The package that `directory` describes, ready for `write_package`.

    Keys of ``package.toml`` are the attributes of `PackageMeta`, and:

    * ``mtime``: of every member, seconds since 1970; 0 by default
    * ``mutable``: paths of files that will change on the target
    * ``modes``: path to mode, like ``"/usr/bin/foo" = "04755"``; of a hard link it is that of
      the file, under whichever of its names it is given
    * ``owners``: path to ``"uid:gid"``; 0:0 by default

    Raises:
        PackageError: a key is unknown, missing or of the wrong type, or a file is none that
            packages may hold.
        StoreError: something cannot be read.
    """
    where = str(directory / "package.toml")
    values = _read_toml(directory / "package.toml")
    mtime = _take(values, "mtime", int, 0, where)
    mutable = set(_strings(_take(values, "mutable", list, [], where), "mutable", where))
    modes = {
        path: _mode(mode, path, where)
        for path, mode in _take(values, "modes", dict, {}, where).items()
    }
    owners = {
        path: _owner(owner, path, where)
        for path, owner in _take(values, "owners", dict, {}, where).items()
    }
    meta = _meta(values, _scripts(directory), where)
    walked = _walk(directory / "files")
    _require_carried(walked, {"mode": modes, "owner": owners, "mutable mark": mutable}, where)
    modes = _by_file(walked, modes, "modes", where)
    owners = _by_file(walked, owners, "owners", where)
    members = []
    for found in walked:
        uid, gid = owners.pop(found.path, (0, 0))
        members.append(
            PackageMember(
                found.path,
                found.kind,
                modes.pop(found.path, found.mode),
                uid,
                gid,
                mtime,
                found.content,
                found.target,
                found.path in mutable,
            )
        )
    for path in (*modes, *owners, *sorted(mutable - {member.path for member in members})):
        raise _wrong(f"{path} is named, but is not below files/", where)
    _require_installable(meta, members, where)
    return meta, members


_CARRIED = {"symlink": ("owner",), "directory": ()}
"""What an archive says of members that are no files; mode and owner of a directory it never has."""


def _require_carried(
    walked: Sequence[PackageMember], said: Mapping[str, Collection[str]], where: str
) -> None:
    """Refuse what is said of a path (``said[what]`` are paths) and no package can say of it."""
    kinds = {member.path: member.kind for member in walked}
    for what, paths in said.items():
        for path in paths:
            kind = kinds.get(path, "file")
            if what not in _CARRIED.get(kind, (what,)):
                raise _wrong(
                    f"{path} is a {kind}, of which a package keeps no {what}"
                    + ("; let INSTALL set it" if kind == "directory" else ""),
                    where,
                )


def _by_file(
    walked: Sequence[PackageMember], said: Mapping[str, _Said], key: str, where: str
) -> dict[str, _Said]:
    """`said` of paths as said of files: all names of a set of hard links are one file.

    Raises:
        PackageError: two names of one file are said to differ.
    """
    files = {one.path: one.target or "" for one in walked if one.kind == "hardlink"}
    found: dict[str, _Said] = {}
    names: dict[str, str] = {}
    for path, value in said.items():
        file = files.get(path, path)
        if found.setdefault(file, value) != value:
            raise _wrong(
                f"{names[file]} and {path} are one file with two names, but {key} differ", where
            )
        names.setdefault(file, path)
    return found


def _require_installable(meta: PackageMeta, members: list[PackageMember], where: str) -> None:
    """Refuse now what every installation of the package would refuse."""
    listed = [Listed(member.path, _KINDS[member.kind]) for member in members]
    require_own_paths(meta.pkgname, listed, where=where)
    for member in members:
        if member.kind == "symlink":
            require_link_text(member.path, member.target or "", where=where)
    require_own_alternatives(meta.props(0), where=where)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_regular(path, MAX_DOCUMENT_BYTES, follow=False).decode("utf-8"))
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror}",
            code="IO",
            where=str(path),
            hint=getattr(error, "hint", None)
            or "a package directory has package.toml, files/, and maybe INSTALL and REMOVE",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(f"not TOML: {error}", str(path)) from error


def _take(values: dict[str, Any], key: str, kind: type, default: Any, where: str) -> Any:
    """The value of `key`, removed from `values`."""
    value = values.pop(key, default)
    if type(value) is not kind:
        raise _wrong(f"{key} must be of type {kind.__name__}", where)
    return value


def _strings(value: Any, key: str, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong(f"{key} must be a list of strings", where)
    return value


def _meta(values: dict[str, Any], scripts: dict[str, bytes], where: str) -> PackageMeta:
    known = {field.name for field in fields(PackageMeta)} - _NOT_IN_TOML
    given: dict[str, Any] = dict(scripts)
    for key, value in values.items():
        if key not in known:
            raise _wrong(f"there is no key {key!r}; known are {', '.join(sorted(known))}", where)
        given[key] = _typed(key, value, where)
    for key in ("pkgname", "version", "architecture", "short_desc"):
        if key not in given:
            raise _wrong(f"{key} is missing", where)
    return PackageMeta(**given)


def _typed(key: str, value: Any, where: str) -> Any:
    """`value` as `PackageMeta` wants `key`."""
    if key == "alternatives":
        if not isinstance(value, dict):
            raise _wrong("alternatives must be a table of lists", where)
        return {group: _strings(links, f"alternatives.{group}", where)
                for group, links in value.items()}  # fmt: skip
    if key == "preserve":
        if not isinstance(value, bool):
            raise _wrong("preserve must be true or false", where)
        return value
    if isinstance(_DEFAULTS.get(key), tuple):
        return _strings(value, key, where)
    if not isinstance(value, str):
        raise _wrong(f"{key} must be a string", where)
    return value.encode() if key in _BYTES else value


_DEFAULTS = {field.name: field.default for field in fields(PackageMeta)}


def _mode(value: Any, path: str, where: str) -> int:
    try:
        return parse_mode(value)
    except (TypeError, ValueError) as error:
        raise _wrong(f"the mode of {path}: {error}", where) from error


def _owner(value: Any, path: str, where: str) -> tuple[int, int]:
    match = _OWNER.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _wrong(f"the owner of {path} must be like '0:0', in numbers", where)
    return int(match[1]), int(match[2])


def _scripts(directory: Path) -> dict[str, bytes]:
    found = {}
    for name, key in _SCRIPTS.items():
        try:
            found[key] = read_regular(directory / name, _MAX_SCRIPT_BYTES, follow=False)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unreadable(directory / name, error) from error
    return found


def _walk(root: Path) -> list[PackageMember]:
    """What lies below `root`, symlinks not followed; a missing `root` is an empty one."""
    found: list[PackageMember] = []
    links: dict[tuple[int, int], str] = {}
    todo = [root] if _is_directory(root) else []
    while todo:
        directory = todo.pop()
        try:
            entries = sorted(os.scandir(directory), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            raise _unreadable(directory, error) from error
        for entry in entries:
            path = Path(entry.path)
            member = _member(path, f"/{path.relative_to(root).as_posix()}", links)
            found.append(member)
            if member.kind == "directory":
                todo.append(path)
    return found


def _is_directory(root: Path) -> bool:
    """Whether there is a directory `root`; what else is there, a link too, is an error."""
    try:
        mode = root.lstat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unreadable(root, error) from error
    if not stat.S_ISDIR(mode):
        raise _wrong(f"files/ is {kind_in_words(mode) or 'a file'} and no directory", str(root))
    return True


def _member(path: Path, name: str, links: dict[tuple[int, int], str]) -> PackageMember:
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return PackageMember(name, "symlink", target=os.readlink(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        return PackageMember(name, "directory")
    if not stat.S_ISREG(status.st_mode):
        raise _wrong("packages hold files, links and directories only", str(path))
    first = links.setdefault((status.st_dev, status.st_ino), name)
    if first != name:
        return PackageMember(name, "hardlink", target=first)
    return PackageMember(name, mode=0o755 if status.st_mode & 0o111 else 0o644, content=path)


def _unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"cannot read {path}: {error.strerror}",
        code="IO",
        where=str(path),
        hint=getattr(error, "hint", None),
    )


def _wrong(what: str, where: str) -> PackageError:
    return PackageError(
        what,
        code="DESCRIPTION",
        where=where,
        hint="see `voidimg repo create --help` for the form of a package directory",
    )
