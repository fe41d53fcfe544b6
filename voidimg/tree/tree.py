"""A directory tree that becomes an image: every path resolves inside it, whatever its links say.

A `Tree` holds a descriptor of its root directory. Each operation opens the parent directory with
`voidimg.tree.openat2`, following links only as a chroot would, and then works on the last
component alone, which is never followed unless said so. A link in the tree, also one that is
changed meanwhile, can therefore not redirect a write, a removal or a chmod to the host.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from voidimg.errors import StoreError
from voidimg.tree.openat2 import Links, open_inside
from voidimg.tree.paths import NotInTreeError, encode_path, mapped, tree_error
from voidimg.tree.walk import (
    DIRECTORY,
    Entry,
    remove_all,
    remove_at,
    temporary_name,
    unlink_if_there,
    walk_at,
    write_all,
)

__all__ = ["Entry", "NotInTreeError", "Tree"]

_CLOEXEC = os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | _CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | _CLOEXEC
_MOST_LINKS = 40


class Tree:
    """The tree under the host directory `root`, as a context manager.

    Owners are set when this has effective uid 0 (root, or root of a user namespace); an ordinary
    user cannot, and everything then belongs to that user, as with xbps.

    All methods take absolute paths in the tree and raise `StoreError` (``E-STORE-TREE-...``)
    with the path in `where`. ``mode`` is the exact bits, whatever the umask. ``mtime`` is
    in whole seconds; None keeps the current time.
    """

    def __init__(self, root: Path, *, create: bool = False) -> None:
        """Open `root`; with `create` it is made (0755) with its parents when missing."""
        self.root = root
        self.sets_owners = os.geteuid() == 0
        try:
            if create:
                os.makedirs(root, 0o755, exist_ok=True)
            self.fd = os.open(root, os.O_PATH | os.O_DIRECTORY | _CLOEXEC)
        except OSError as error:
            raise StoreError(
                f"cannot open the tree {root}: {error.strerror}",
                code="TREE-ROOT",
                where=str(root),
                hint="it must be a directory that you may enter",
            ) from error

    def close(self) -> None:
        """Give the descriptor back; the tree cannot be used afterwards."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Reading

    def stat(self, path: str, *, follow: bool = True) -> os.stat_result:
        """The status of what `path` names; with `follow` a last link is followed inside the tree.

        Raises:
            StoreError: it does not exist (`NotInTreeError`).
        """
        with self._place(path, "look at", follow=follow) as (fd, name):
            return os.stat(name, dir_fd=fd, follow_symlinks=False)

    def lstat(self, path: str) -> os.stat_result | None:
        """The status of `path` itself, None when nothing is there."""
        try:
            return self.stat(path, follow=False)
        except NotInTreeError:
            return None

    def exists(self, path: str, *, follow: bool = True) -> bool:
        """Whether there is something at `path`; with `follow` a dangling link is nothing."""
        try:
            self.stat(path, follow=follow)
        except NotInTreeError:
            return False
        return True

    def is_directory(self, path: str) -> bool:
        """Whether `path` is a directory, or a link that leads to one inside the tree."""
        return self.exists(path) and stat.S_ISDIR(self.stat(path).st_mode)

    def is_program(self, path: str) -> bool:
        """Whether `path` is a file that may be run, or a link that leads to one inside the tree."""
        if not self.exists(path):
            return False
        mode = self.stat(path).st_mode
        return stat.S_ISREG(mode) and bool(mode & 0o111)

    def read(self, path: str, *, max_bytes: int = 1 << 30) -> bytes:
        """The content of the regular file `path`, following a last link inside the tree.

        Raises:
            StoreError: it is missing, no regular file, or longer than `max_bytes`.
        """
        with open(self.open_file(path), "rb") as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise tree_error(f"longer than {max_bytes} bytes", "TREE-SIZE", "read", path)
        return content

    def open_file(self, path: str, *, follow: bool = True) -> int:
        """A descriptor for reading of the regular file `path`; the caller closes it."""
        with self._place(path, "read", follow=follow) as (fd, name):
            file = os.open(name, _READ, dir_fd=fd)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise tree_error("not a regular file", "TREE-TYPE", "read", path)
        return file

    def readlink(self, path: str) -> str:
        """The text of the symbolic link `path`."""
        with self._place(path, "read the link") as (fd, name):
            return os.readlink(name, dir_fd=fd).decode("utf-8", "surrogateescape")

    def listdir(self, path: str) -> list[str]:
        """The names in the directory `path`, in byte order."""
        fd = self.open_directory(path)
        try:
            with mapped("list", path):
                listed = os.open(".", DIRECTORY, dir_fd=fd)
                try:
                    names = sorted(os.fsencode(name) for name in os.listdir(listed))
                finally:
                    os.close(listed)
        finally:
            os.close(fd)
        return [name.decode("utf-8", "surrogateescape") for name in names]

    def walk(self, path: str = "/") -> Iterator[Entry]:
        """Everything below the directory `path`, parents first, siblings in byte order.

        Links are reported, not followed; `path` itself is not reported.
        """
        fd = self.open_directory(path)
        prefix = encode_path(path)
        try:
            with mapped("walk", path):
                yield from walk_at(fd, prefix + b"/" if prefix else b"")
        finally:
            os.close(fd)

    def open_directory(self, path: str) -> int:
        """A descriptor (``O_PATH``) of the directory `path`; the caller closes it."""
        with mapped("enter", path):
            return open_inside(self.fd, encode_path(path), Links.INSIDE)

    # Writing

    def write(
        self,
        path: str,
        content: bytes,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        mtime: int | None = None,
        *,
        parents: bool = False,
    ) -> None:
        """Make `path` a regular file with `content`, replacing a file or link there at once.

        The file appears complete (temporary name, rename). A link at `path` is replaced, not
        followed. With `parents` missing directories are made (0755, root).
        """
        with self._place(path, "write", parents=parents) as (fd, name):
            new = temporary_name(fd)
            file = os.open(new, _CREATE, 0o600, dir_fd=fd)
            try:
                try:
                    write_all(file, content)
                    if self.sets_owners:
                        os.fchown(file, uid, gid)
                    os.fchmod(file, mode)
                    if mtime is not None:
                        os.utime(file, (mtime, mtime))
                finally:
                    os.close(file)
                os.rename(new, name, src_dir_fd=fd, dst_dir_fd=fd)
            except BaseException:
                os.unlink(new, dir_fd=fd)
                raise

    def symlink(
        self,
        path: str,
        target: str,
        uid: int = 0,
        gid: int = 0,
        mtime: int | None = None,
        *,
        parents: bool = False,
        replace: bool = True,
    ) -> None:
        """Make `path` a symbolic link with the text `target`, replacing a file or link there."""
        text = target.encode("utf-8", "surrogateescape")
        with self._place(path, "link", parents=parents) as (fd, name):
            if replace:
                unlink_if_there(fd, name)
            os.symlink(text, name, dir_fd=fd)
            if self.sets_owners:
                os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)
            if mtime is not None:
                os.utime(name, (mtime, mtime), dir_fd=fd, follow_symlinks=False)

    def link(self, path: str, existing: str, *, parents: bool = False) -> None:
        """Make `path` another name (hard link) of the file `existing`, replacing what is there."""
        with (
            self._place(path, "link", parents=parents) as (fd, name),
            self._place(existing, "link") as (source_fd, source),
        ):
            new = temporary_name(fd)
            os.link(source, new, src_dir_fd=source_fd, dst_dir_fd=fd, follow_symlinks=False)
            try:
                os.rename(new, name, src_dir_fd=fd, dst_dir_fd=fd)
            finally:
                unlink_if_there(fd, new)  # rename does nothing when both are one file already

    def mkdir(
        self,
        path: str,
        mode: int = 0o755,
        uid: int = 0,
        gid: int = 0,
        *,
        parents: bool = False,
        exist_ok: bool = True,
    ) -> None:
        """Make the directory `path`; missing `parents` get mode 0755 and root.

        An existing directory (also one behind a link) keeps its mode and owner with `exist_ok`.
        """
        if exist_ok and self._is_directory(path):
            return
        with self._place(path, "make the directory", parents=parents) as (fd, name):
            os.mkdir(name, 0o700, dir_fd=fd)
            if self.sets_owners:
                os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)
            made = os.open(name, DIRECTORY, dir_fd=fd)
            try:
                os.fchmod(made, mode)
            finally:
                os.close(made)

    def remove(self, path: str, *, missing_ok: bool = False) -> None:
        """Remove the file, link or empty directory `path`; a link is removed, not its target."""
        try:
            with self._place(path, "remove") as (fd, name):
                remove_at(fd, name)
        except NotInTreeError:
            if not missing_ok:
                raise

    def remove_tree(self, path: str, *, missing_ok: bool = False) -> None:
        """Remove `path` and everything below it, never following a link or leaving the tree."""
        try:
            with self._place(path, "remove") as (fd, name):
                remove_all(fd, name)
        except NotInTreeError:
            if not missing_ok:
                raise

    def rename(self, old: str, new: str) -> None:
        """Give `old` the name `new`, replacing a file there."""
        with self._place(new, "rename to") as (fd, name), self._place(old, "rename") as was:
            os.rename(was[1], name, src_dir_fd=was[0], dst_dir_fd=fd)

    def chmod(self, path: str, mode: int) -> None:
        """Set the permission bits of the file or directory `path`, following a link inside."""
        with self._place(path, "change the mode of", follow=True) as (fd, name):
            if stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            pinned = os.open(name, os.O_PATH | os.O_NOFOLLOW | _CLOEXEC, dir_fd=fd)
            try:
                os.chmod(f"/proc/self/fd/{pinned}", mode)
            finally:
                os.close(pinned)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Set the owner of `path` itself (a link is not followed); nothing without root."""
        with self._place(path, "change the owner of") as (fd, name):
            if self.sets_owners:
                os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)

    def utime(self, path: str, mtime: int) -> None:
        """Set access and modification time of `path` itself (a link is not followed)."""
        with self._place(path, "set the time of") as (fd, name):
            os.utime(name, (mtime, mtime), dir_fd=fd, follow_symlinks=False)

    # Resolving

    def _is_directory(self, path: str) -> bool:
        try:
            os.close(open_inside(self.fd, encode_path(path), Links.INSIDE))
        except OSError:
            return False
        return True

    @contextmanager
    def _place(
        self, path: str, action: str, *, follow: bool = False, parents: bool = False
    ) -> Iterator[tuple[int, bytes]]:
        """The directory that holds `path` (open while used) and the name in it, errors mapped."""
        raw = encode_path(path)
        with mapped(action, path):
            if follow:
                raw = self._followed(raw)
            directory, _, name = raw.rpartition(b"/")
            if parents:
                self._make_directories(directory)
            fd = open_inside(self.fd, directory, Links.INSIDE)
            try:
                yield fd, name or b"."
            finally:
                os.close(fd)

    def _followed(self, raw: bytes) -> bytes:
        """`raw` with links at its end replaced by what they name, inside the tree."""
        for _ in range(_MOST_LINKS):
            directory, _, name = raw.rpartition(b"/")
            if name in (b"", b"."):
                return raw
            fd = open_inside(self.fd, directory, Links.INSIDE)
            try:
                text = os.readlink(name, dir_fd=fd)
            except OSError as error:
                if error.errno == errno.EINVAL:
                    return raw
                raise
            finally:
                os.close(fd)
            raw = self._target(directory, text)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def _target(self, directory: bytes, text: bytes) -> bytes:
        """The path a link with `text` in `directory` names, its last component kept as it is."""
        path = text.lstrip(b"/") if text.startswith(b"/") else directory + b"/" + text
        head, _, name = path.rstrip(b"/").rpartition(b"/")
        # A last component `..` or `.` names a directory: let the kernel resolve all of it.
        return path.lstrip(b"/") + b"/." if name in (b"", b".", b"..") else head + b"/" + name

    def _make_directories(self, directory: bytes) -> None:
        """Make `directory` and the missing ones above it."""
        missing = []
        while True:
            try:
                os.close(open_inside(self.fd, directory, Links.INSIDE))
                break
            except FileNotFoundError:
                directory, _, name = directory.rpartition(b"/")
                missing.append(name)
        for name in reversed(missing):
            fd = open_inside(self.fd, directory, Links.INSIDE)
            try:
                os.mkdir(name, 0o755, dir_fd=fd)
                os.chmod(name, 0o755, dir_fd=fd)  # noqa: S103 - just made; undo the umask
            finally:
                os.close(fd)
            directory = directory + b"/" + name if directory else name
