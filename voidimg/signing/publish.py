"""Writes the small files of a release so that they appear whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from voidimg.errors import ReleaseError, storing


def write_new(path: Path, content: bytes, mode: int) -> None:
    """Make `path` with `content`; a file that exists is never touched.

    The content has no name until it is complete, so a kill leaves nothing behind.

    Raises:
        ReleaseError: `path` exists.
        StoreError: the directory cannot be written.
    """
    with storing(path, "write"):
        descriptor, temporary = _open_nameless(path.parent, mode)
        try:
            _fill(descriptor, content, mode)
            source = temporary or f"/proc/self/fd/{descriptor}"
            # A directory descriptor, not used otherwise, makes Python follow the link in /proc.
            os.link(source, path, src_dir_fd=descriptor, follow_symlinks=True)
        except FileExistsError:
            raise ReleaseError(
                f"{path} exists already and is never overwritten",
                code="EXISTS",
                where=str(path),
                hint="choose another directory, or move the old file away first",
            ) from None
        finally:
            os.close(descriptor)
            if temporary is not None:
                os.unlink(temporary)
        _sync_directory(path.parent)


def replace(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Make `path` hold `content`, in place of what was there.

    Raises:
        StoreError: the directory cannot be written.
    """
    with storing(path, "write"):
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            _fill(descriptor, content, mode)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(descriptor)
        _sync_directory(path.parent)


def _open_nameless(directory: Path, mode: int) -> tuple[int, str | None]:
    try:
        return os.open(directory, os.O_TMPFILE | os.O_WRONLY, mode), None
    except OSError as error:
        # Network and some union filesystems have no files without a name.
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOSYS):
            raise
    return tempfile.mkstemp(dir=directory)


def _fill(descriptor: int, content: bytes, mode: int) -> None:
    os.fchmod(descriptor, mode)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
