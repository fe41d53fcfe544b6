"""Walking and clearing directories by descriptor, never following a link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from voidimg.tree.paths import MAX_PATH_BYTES, decode_path

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a directory is opened to list it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry met by `Tree.walk`: its absolute path in the tree and its lstat."""

    path: str
    stat: os.stat_result


def temporary_name(fd: int) -> bytes:
    """A name for a new file in the directory, free of the rest of a write that was killed."""
    name = b".voidimg-%d" % os.getpid()
    unlink_if_there(fd, name)
    return name


def write_all(fd: int, content: bytes) -> None:
    """Write all of `content`, however many calls it takes."""
    done = os.write(fd, content) if content else 0
    while done < len(content):
        done += os.write(fd, memoryview(content)[done:])


def unlink_if_there(fd: int, name: bytes) -> None:
    """Remove the file or link `name` of the directory `fd`, if there is one."""
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        return


def remove_at(fd: int, name: bytes) -> None:
    """Remove the file, link or empty directory `name` of the directory `fd`."""
    if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
        os.rmdir(name, dir_fd=fd)
    else:
        os.unlink(name, dir_fd=fd)


def remove_all(fd: int, name: bytes) -> None:
    """Remove `name` of the directory `fd` with all that is below; the root itself stays.

    However deep it is: one descriptor is open at a time, and nothing recurses.
    """
    if not stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=fd)
        return
    at = _Position(os.open(name, DIRECTORY, dir_fd=fd))
    try:
        pending = [_Level(at.identity, name, _unlink_all_but_directories(at.fd))]
        while True:
            if pending[-1].names:
                below = pending[-1].names.pop()
                at.enter(below)
                names = _unlink_all_but_directories(at.fd)
                pending.append(_Level(at.identity, below, names))
                continue
            emptied = pending.pop()
            if not pending:
                break
            at.leave_to(pending[-1].identity)
            os.rmdir(emptied.name, dir_fd=at.fd)
    finally:
        at.close()
    if name != b".":
        os.rmdir(name, dir_fd=fd)


def remove_directory(path: Path) -> None:
    """Remove the directory `path` of the host with all that is below; a link there raises.

    Raises:
        OSError: something cannot be removed.
    """
    parent = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_all(parent, os.fsencode(path.name))
    finally:
        os.close(parent)


def empty_directory(path: Path, *, kept: Container[bytes] = ()) -> None:
    """Remove all that is below the directory `path` of the host, but the names in `kept`.

    Raises:
        OSError: something cannot be removed, or `path` is a link.
    """
    top = os.open(path, DIRECTORY)
    try:
        for name in os.listdir(top):
            if os.fsencode(name) not in kept:
                remove_all(top, os.fsencode(name))
    finally:
        os.close(top)


def _unlink_all_but_directories(fd: int) -> list[bytes]:
    """Unlink what is in the directory `fd`; the names of the directories, which stay."""
    directories = []
    for name in sorted((os.fsencode(name) for name in os.listdir(fd)), reverse=True):
        if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            directories.append(name)
        else:
            os.unlink(name, dir_fd=fd)
    return directories


def walk_at(fd: int, prefix: bytes) -> Iterator[Entry]:
    """Everything below the directory `fd`, which is `prefix` in the tree; see `Tree.walk`.

    Raises:
        OSError: ``ENAMETOOLONG``, a path is longer than `MAX_PATH_BYTES`.
    """
    for met in descend(fd):
        yield Entry(decode_path(prefix + met.path), met.status)


@dataclass(frozen=True, slots=True)
class Met:
    """What `descend` met: `name` in the open directory `fd`, `path` below the top, its lstat."""

    fd: int
    name: bytes
    path: bytes
    status: os.stat_result


def descend(top: int, *, max_bytes: int | None = MAX_PATH_BYTES) -> Iterator[Met]:
    """Everything below the directory `top`: parents first, siblings in byte order, links as such.

    One descriptor is open at a time, and nothing recurses, so no depth is too much. With
    `max_bytes` None there is no limit to paths, and `Met.path` stays empty: a hostile tree could
    fill memory.

    Raises:
        OSError: ``ENAMETOOLONG``, a path is longer than `max_bytes`; ``ESTALE``, somebody moved a
            directory meanwhile.
    """
    at = _Position(os.open(b".", DIRECTORY, dir_fd=top))
    try:
        levels = [_Level(at.identity, b"", _names(at.fd))]
        while levels:
            level = levels[-1]
            if not level.names:
                levels.pop()
                if levels:
                    at.leave_to(levels[-1].identity)
                continue
            name = level.names.pop()
            path = b"" if max_bytes is None else level.name + name
            if max_bytes is not None and len(path) > max_bytes:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
            status = os.stat(name, dir_fd=at.fd, follow_symlinks=False)
            yield Met(at.fd, name, path, status)
            if stat.S_ISDIR(status.st_mode):
                at.enter(name)
                below = b"" if max_bytes is None else path + b"/"
                levels.append(_Level(at.identity, below, _names(at.fd)))
    finally:
        at.close()


@dataclass(frozen=True, slots=True)
class _Level:
    """A directory on the way down: which it is, its name or path, the names left, last first."""

    identity: tuple[int, int]
    name: bytes
    names: list[bytes]


class _Position:
    """The one directory that is open; ``..`` leads back, and must be the directory it was."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @property
    def identity(self) -> tuple[int, int]:
        status = os.fstat(self.fd)
        return status.st_dev, status.st_ino

    def enter(self, name: bytes) -> None:
        self._move(name)

    def leave_to(self, identity: tuple[int, int]) -> None:
        self._move(b"..")
        if self.identity != identity:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    def _move(self, name: bytes) -> None:
        there = os.open(name, DIRECTORY, dir_fd=self.fd)
        os.close(self.fd)
        self.fd = there

    def close(self) -> None:
        os.close(self.fd)


def _names(fd: int) -> list[bytes]:
    return sorted((os.fsencode(name) for name in os.listdir(fd)), reverse=True)
