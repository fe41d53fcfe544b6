"""Gives work a directory of its own, and clears away those that killed runs left behind."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voidimg.errors import full_disk_told


@contextmanager
def private_directory(parent: Path, prefix: str) -> Iterator[Path]:
    """A new empty directory in `parent`, removed with all in it at the end.

    It is locked while it is used. One of the same `prefix` that nobody has locked belongs to a run
    that was killed, and is removed first.

    Raises:
        DiskFullError: a program failed in the block, and there is no room left.
    """
    for left in [path for path in parent.iterdir() if path.name.startswith(prefix)]:
        _remove_if_left(left)
    descriptor, path = _create(parent, prefix)
    try:
        with full_disk_told(path):
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def _create(parent: Path, prefix: str) -> tuple[int, Path]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, path
        os.close(descriptor)  # between its making and its lock another run took it for left over


def _remove_if_left(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # not a directory, not ours, or just gone
        return
    try:
        if os.fstat(descriptor).st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
    except BlockingIOError:  # in use
        pass
    finally:
        os.close(descriptor)
