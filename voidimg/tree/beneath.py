"""Opens what is in a tree for those who read it as the host: never through a link.

Packages and their scripts decide what a tree holds. Whoever takes a file of it, or hands a
directory of it to a program of the host, opens it here: a link on the way, or at the end, could
lead to a file of the host, and is refused. (`voidimg.tree.tree` follows links, but only inside the
tree.)

This is the one module that makes something of the host from a tree and a path in it; a test looks
for others.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voidimg.errors import LayoutError
from voidimg.tree.openat2 import Links, open_inside

_ROOT = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


def open_directory(tree: Path, path: str) -> int | None:
    """A descriptor for reading of the directory `path` of `tree`, None when there is none.

    The caller closes it.

    Raises:
        LayoutError: ``OUTSIDE``, it is a link or lies behind one, or the path climbs up.
    """
    try:
        found = _open_at(tree, path, Links.REFUSED)
    except OSError as error:
        _require_absent(error, path)
        return None
    try:
        return os.open(b".", _DIRECTORY, dir_fd=found)
    finally:
        os.close(found)


def open_file(tree: Path, path: str) -> int | None:
    """A descriptor for reading of the regular file `path` of `tree`, None when there is none.

    The caller closes it.

    Raises:
        LayoutError: ``OUTSIDE``, it is a link or lies behind one, or the path climbs up.
    """
    directory, _, name = path.rstrip("/").rpartition("/")
    if not name:
        return None
    _require_plain(name, path)
    try:
        parent = _open_at(tree, directory, Links.REFUSED)
        try:
            file = os.open(os.fsencode(name), _FILE, dir_fd=parent)
        finally:
            os.close(parent)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            return None
        _require_absent(error, path)
        return None
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    return None


@contextmanager
def directory(tree: Path, path: str) -> Iterator[int | None]:
    """As `open_directory`, open while this lasts."""
    found = open_directory(tree, path)
    try:
        yield found
    finally:
        if found is not None:
            os.close(found)


def is_directory(tree: Path, path: str) -> bool:
    """Whether `path` of `tree` is a directory; a link raises, as in `open_directory`."""
    with directory(tree, path) as found:
        return found is not None


def is_file(tree: Path, path: str) -> bool:
    """Whether `path` of `tree` is a regular file; a link raises, as in `open_file`."""
    return size_of(tree, path) is not None


def size_of(tree: Path, path: str) -> int | None:
    """The bytes of the regular file `path` of `tree`, None when there is none; see `open_file`."""
    file = open_file(tree, path)
    if file is None:
        return None
    try:
        return os.fstat(file).st_size
    finally:
        os.close(file)


def own_copy(directory: Path, path: str) -> Path:
    """Where `path` is in a directory of copies that this build made, in which no package writes."""
    return directory / path.lstrip("/")


def held(descriptor: int) -> Path:
    """A path of the directory open as `descriptor`, for as long as it is open.

    It leads there whatever happens to the names of the directory; as the working directory of a
    program it needs no inherited descriptor.
    """
    return Path(f"/proc/self/fd/{descriptor}")


def _open_at(tree: Path, path: str, links: Links) -> int:
    parts = [part for part in path.split("/") if part]
    for part in parts:
        _require_plain(part, path)
    root = os.open(tree, _ROOT)
    try:
        return open_inside(root, os.fsencode("/".join(parts)), links)
    finally:
        os.close(root)


def _require_plain(part: str, path: str) -> None:
    if part in (".", "..") or "\0" in part:
        raise _outside(path)


def _require_absent(error: OSError, path: str) -> None:
    """Raise for an error that says more than that there is nothing."""
    if error.errno in (errno.ELOOP, errno.EXDEV):
        raise _outside(path) from error
    if error.errno not in _ABSENT:
        raise error


def _outside(path: str) -> LayoutError:
    return LayoutError(
        f"{path} does not stay inside the tree: it is a link, or lies behind one",
        code="OUTSIDE",
        where=path,
        hint="a directory or file that artifacts are made of must be there itself: see which"
        " package or script put the link in its place",
    )
