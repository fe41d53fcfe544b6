"""Directories of a tree held open while many files are put into them."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from voidimg.errors import PackageError
from voidimg.tree.openat2 import Links, open_inside

DATABASE = "/var/db/xbps"
"""The package database of a tree, which only the installer writes."""

_DATABASE = DATABASE[1:].encode()
_MOST_OPEN = 256
"""Descriptors held at most; a process may usually have 1024."""


@dataclass(frozen=True, slots=True)
class Directory:
    """An open directory. `gives_group`: new files in it get its group (setgid)."""

    fd: int
    gives_group: bool


class Directories:
    """Opens the parents of package files below `root_fd`, making missing ones (0755).

    A parent that is a symbolic link is followed only when the link is relative, stays beneath
    the root and leads to a directory: so ``/bin -> usr/bin`` of a merged /usr works. Every other
    link is refused; xbps would delete it and make a directory in its place. (A link that comes
    in the same transaction is refused before, by `voidimg.xbps.install.file_plan`.)

    The process's umask must be 0 while this is used.
    """

    def __init__(self, root_fd: int, where: str) -> None:
        self.where = where
        self._root_fd = root_fd
        self._open: dict[bytes, Directory] = {}
        self._database = self._identity_of_database()

    def close(self) -> None:
        """Give all descriptors back."""
        for directory in self._open.values():
            os.close(directory.fd)
        self._open.clear()

    def get(self, path: bytes) -> Directory:
        """The directory `path`, relative to the root.

        Raises:
            PackageError: ``PARENT-LINK``, it or a parent is a link that is not followed;
                ``PARENT-FILE``, it or a parent is something else; ``DATABASE``, links lead it
                into the package database, which no file list may name.
        """
        found = self._open.get(path)
        if found is None:
            if len(self._open) >= _MOST_OPEN:
                self.close()
            fd = self._enter(path)
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) == self._database and path != _DATABASE:
                os.close(fd)
                raise self._into_database(path)
            found = self._open[path] = Directory(fd, bool(status.st_mode & stat.S_ISGID))
        return found

    def _identity_of_database(self) -> tuple[int, int] | None:
        try:
            fd = open_inside(self._root_fd, _DATABASE, Links.BENEATH)
        except OSError:
            return None
        try:
            status = os.fstat(fd)
        finally:
            os.close(fd)
        return status.st_dev, status.st_ino

    def _into_database(self, path: bytes) -> PackageError:
        name = "/" + path.decode("utf-8", "surrogateescape")
        return PackageError(
            f"the package has files in {name}, which links lead into the package database",
            code="DATABASE",
            where=self.where,
            hint="the package is malformed or hostile; do not use it",
        )

    def _enter(self, path: bytes) -> int:
        try:
            return open_inside(self._root_fd, path, Links.BENEATH)
        except FileNotFoundError:
            self._make(path)
        except OSError as error:
            raise self._refused(path, error) from error
        try:
            return open_inside(self._root_fd, path, Links.BENEATH)
        except OSError as error:
            raise self._refused(path, error) from error

    def _make(self, path: bytes) -> None:
        """Make `path` and what is missing above it.

        Another worker may have made one meanwhile, or a dangling link be there.
        """
        missing = [path]
        while (parent := missing[-1].rpartition(b"/")[0]) and not self._is_there(parent):
            missing.append(parent)
        for directory in reversed(missing):
            above, _, name = directory.rpartition(b"/")
            # What is above is there by now, unless it is refused: this goes one level down at most.
            try:
                os.mkdir(name, 0o755, dir_fd=self.get(above).fd)
            except FileExistsError:
                continue

    def _is_there(self, path: bytes) -> bool:
        if path in self._open:
            return True
        try:
            os.close(open_inside(self._root_fd, path, Links.BENEATH))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._refused(path, error) from error
        return True

    def _refused(self, path: bytes, error: OSError) -> Exception:
        name = "/" + path.decode("utf-8", "surrogateescape")
        if error.errno in (errno.EXDEV, errno.ELOOP, errno.ENOENT):
            return PackageError(
                f"{name} is, or passes through, a link that leaves the tree or leads nowhere",
                code="PARENT-LINK",
                where=self.where,
                hint="only relative links to directories inside the tree are followed",
            )
        if error.errno == errno.ENOTDIR:
            return PackageError(
                f"{name} is needed as a directory, but it or a parent is something else",
                code="PARENT-FILE",
                where=self.where,
                hint="remove what is in its place",
            )
        return error
