"""Walking and clearing directories by descriptor, never following a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from voidimg.tree.paths import decode_path

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
    """Remove `name` of the directory `fd` with all that is below; the root itself stays."""
    if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
        inner = os.open(name, DIRECTORY, dir_fd=fd)
        try:
            for child in os.listdir(inner):
                remove_all(inner, os.fsencode(child))
        finally:
            os.close(inner)
        if name != b".":
            os.rmdir(name, dir_fd=fd)
    else:
        os.unlink(name, dir_fd=fd)


def walk_at(fd: int, prefix: bytes) -> Iterator[Entry]:
    """Everything below the directory `fd`, which is `prefix` in the tree; see `Tree.walk`."""
    listed = os.open(".", DIRECTORY, dir_fd=fd)
    try:
        for name in sorted(os.fsencode(name) for name in os.listdir(listed)):
            status = os.stat(name, dir_fd=listed, follow_symlinks=False)
            yield Entry(decode_path(prefix + name), status)
            if stat.S_ISDIR(status.st_mode):
                inner = os.open(name, os.O_PATH | DIRECTORY, dir_fd=listed)
                try:
                    yield from walk_at(inner, prefix + name + b"/")
                finally:
                    os.close(inner)
    finally:
        os.close(listed)
