"""What the work of a build needs of the file system of its cache, asked before work starts.

A tree is a real directory in the cache: programs in it are started, and owners, modes, names and
times of its files go into the artifacts. On a file system that keeps one of them otherwise the
artifact would be another one, or none. So each property is tried in a directory of its own, not
looked up in a list of file systems: mount options, network and stacked file systems decide too.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from voidimg.atomic import private_directory
from voidimg.errors import StoreError, storing
from voidimg.file_locks import try_to_hold

_OWNER = 54321
"""Any id that is nobody's here, and within those that every tree needs (below 65536)."""
_HOLE_BYTES = 2**20
_LINK_BYTES = 255
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
"""``cap_net_raw=p`` as ``security.capability`` has it: version 2 of capabilities(7)."""


@dataclass(frozen=True, slots=True)
class Lack:
    """A property that a file system has not: its name, and what was seen."""

    name: str
    seen: str

    def __str__(self) -> str:
        """The lack in a few words."""
        return f"{self.name} ({self.seen})"


class _Lacking(Exception):  # noqa: N818 - it is no error of ours but an answer
    """What was seen instead of the property."""


_Trial = Callable[[bytes], None]
"""Tries one property in an empty directory of its own; raises `_Lacking` or `OSError`."""


def _file(directory: bytes, name: bytes = b"file", content: bytes = b"x") -> bytes:
    path = directory + b"/" + name
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
    return path


def _try_execution(directory: bytes) -> None:
    path = _file(directory, content=b"#!/bin/sh\n")
    os.chmod(path, 0o700)
    if os.statvfs(directory).f_flag & os.ST_NOEXEC or not os.access(path, os.X_OK):
        raise _Lacking("mounted with noexec: no program in it can be started")


def _try_modes(directory: bytes) -> None:
    path = _file(directory)
    for mode in (0o4751, 0o2751, 0o640, 0o000, 0o701):
        os.chmod(path, mode)
        _same("mode", mode, stat.S_IMODE(os.lstat(path).st_mode))
    os.mkdir(directory + b"/sticky", 0o700)
    os.chmod(directory + b"/sticky", 0o1700)
    _same("mode", 0o1700, stat.S_IMODE(os.lstat(directory + b"/sticky").st_mode))


def _same(what: str, wanted: int, found: int) -> None:
    if wanted != found:
        raise _Lacking(f"{what} {wanted:04o} becomes {found:04o}")


def _try_owners(directory: bytes) -> None:
    path = _file(directory)
    os.symlink(b"nowhere", directory + b"/link")
    for one in (path, directory + b"/link"):
        os.chown(one, _OWNER, _OWNER + 1, follow_symlinks=False)
        found = os.lstat(one)
        if (found.st_uid, found.st_gid) != (_OWNER, _OWNER + 1):
            raise _Lacking(f"a file given to {_OWNER} belongs to {found.st_uid}")


def _try_case(directory: bytes) -> None:
    _file(directory, b"README")
    _distinct(directory, b"readme", "README and readme are one file")


def _distinct(directory: bytes, name: bytes, complaint: str) -> None:
    try:
        _file(directory, name)
    except FileExistsError:
        raise _Lacking(complaint) from None


def _try_names(directory: bytes) -> None:
    composed = unicodedata.normalize("NFC", "é").encode()
    names = [b"n" * 255, b"\xff\xfe", b"a:b", b'<>|"*?', b"back\\slash", b"dot.", b"blank ", b"aux"]
    for name in (*names, composed):
        try:
            _file(directory, name)
        except OSError as error:
            raise _Lacking(f"no file can be called {name[:20]!r}: {error.strerror}") from error
    decomposed = unicodedata.normalize("NFD", "é").encode()
    _distinct(directory, decomposed, "two spellings of é are one file")
    if {*names, composed, decomposed} != set(os.listdir(directory)):
        raise _Lacking("files get other names than they were given")


def _try_links(directory: bytes) -> None:
    path = _file(directory)
    os.link(path, directory + b"/hard")
    if os.lstat(path).st_nlink != 2:
        raise _Lacking("a hard link is a copy")
    os.symlink(b"file", directory + b"/near")
    if not os.path.samefile(directory + b"/near", path):
        raise _Lacking("a symbolic link leads elsewhere")
    target = b"../" * (_LINK_BYTES // 3)
    os.symlink(target, directory + b"/symbolic")
    if os.readlink(directory + b"/symbolic") != target:
        raise _Lacking("a symbolic link points elsewhere")


def _try_times(directory: bytes) -> None:
    path = _file(directory)
    os.symlink(b"nowhere", directory + b"/link")
    for seconds in (0, 1, 2**31 - 1):
        for one in (path, directory + b"/link"):
            os.utime(one, (seconds, seconds), follow_symlinks=False)
            found = int(os.lstat(one).st_mtime)
            if found != seconds:
                raise _Lacking(f"the time {seconds} becomes {found}")


def _try_attributes(directory: bytes) -> None:
    path = _file(directory)
    os.setxattr(path, "security.capability", _CAPABILITY)
    if not os.getxattr(path, "security.capability"):
        raise _Lacking("a capability is gone")


def _try_plainness(directory: bytes) -> None:
    """A directory's default ACL would give its rights to every file of a tree."""
    path = _file(directory)
    os.mkdir(directory + b"/below")
    for one in (path, directory + b"/below"):
        inherited = [name for name in os.listxattr(one) if name.startswith("system.posix_acl_")]
        if inherited:
            raise _Lacking("new files inherit an access control list")


def _try_holes(directory: bytes) -> None:
    descriptor = os.open(directory + b"/file", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, _HOLE_BYTES)
        os.pwrite(descriptor, b"x", _HOLE_BYTES - 1)
        if os.fstat(descriptor).st_blocks * 512 >= _HOLE_BYTES:
            raise _Lacking("what was never written takes room")
    finally:
        os.close(descriptor)


def _try_locks(directory: bytes) -> None:
    path = _file(directory)
    descriptors = [os.open(path, os.O_RDWR | os.O_CLOEXEC) for _ in range(2)]
    try:
        if try_to_hold(descriptors[0]) and try_to_hold(descriptors[1]):
            raise _Lacking("two programs can hold the same lock")
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _try_renaming(directory: bytes) -> None:
    # empty files: ext4 writes out the content of one that replaces another, which takes its time
    old, new = _file(directory, b"old", b""), _file(directory, b"new", b"")
    wanted = os.lstat(new).st_ino
    os.replace(new, old)
    if os.listdir(directory) != [b"old"] or os.lstat(old).st_ino != wanted:
        raise _Lacking("a file cannot take the place of another at once")


_TRIALS: Mapping[str, _Trial] = {
    "execution": _try_execution,
    "owners": _try_owners,
    "modes": _try_modes,
    "names": _try_names,
    "case": _try_case,
    "links": _try_links,
    "times": _try_times,
    "attributes": _try_attributes,
    "plain rights": _try_plainness,
    "holes": _try_holes,
    "locks": _try_locks,
    "renaming": _try_renaming,
}

CACHE_NEEDS = frozenset({"locks", "renaming"})
"""What every use of the cache relies on."""

TREE_NEEDS = frozenset(_TRIALS)
"""What trees and images need beside."""

PRIVILEGED = frozenset({"owners", "attributes"})
"""What only root may try, of the machine or of a user namespace."""

_MENDED_BY = {
    "execution": "mount it again without noexec (as root: mount -o remount,exec PLACE)",
    "plain rights": "remove the default ACL (setfacl -k DIRECTORY)",
}


def lacks(directory: Path, needs: Collection[str] = TREE_NEEDS) -> tuple[Lack, ...]:
    """The properties among `needs` that the file system at `directory` has not; takes some ms.

    `directory` is made if need be. What only root may try is left out for others: run this in the
    user namespace of a build to know it.

    Raises:
        StoreError: nothing can be written there.
        DiskFullError: there is no room left.
    """
    privileged = os.geteuid() == 0
    tried = {
        name: trial
        for name, trial in _TRIALS.items()
        if name in needs and (privileged or name not in PRIVILEGED)
    }
    with storing(directory, "try the file system of"), _place(directory) as place:
        found = []
        for name, trial in tried.items():
            own = os.fsencode(place / name)
            os.mkdir(own, 0o700)
            seen = _seen(trial, own)
            if seen is not None:
                found.append(Lack(name, seen))
        return tuple(found)


def _seen(trial: _Trial, directory: bytes) -> str | None:
    try:
        trial(directory)
    except _Lacking as lacking:
        return str(lacking)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        return str(error.strerror)
    return None


@contextmanager
def _place(directory: Path) -> Iterator[Path]:
    """A private directory below `directory`; what killed trials left there is removed first."""
    directory.mkdir(parents=True, exist_ok=True)
    with private_directory(directory) as place:
        yield place


def require_properties(directory: Path, needs: Collection[str] = TREE_NEEDS) -> None:
    """Ensure that the file system at `directory` has the properties `needs`.

    Raises:
        StoreError: it lacks some; all are named, and nothing is left in the directory.
        DiskFullError: there is no room left.
    """
    lacking = lacks(directory, needs)
    if not lacking:
        return
    mends = [_MENDED_BY[one.name] for one in lacking if one.name in _MENDED_BY]
    raise StoreError(
        f"the file system of {directory} cannot hold what is made in it; it lacks "
        + ", ".join(map(str, lacking)),
        code="FILESYSTEM",
        where=str(directory),
        hint="; or ".join(["choose another place with --cache DIR", *mends]),
    )
