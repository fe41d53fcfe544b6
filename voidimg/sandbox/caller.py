"""Who called the worker: what is kept for the caller's later use is given to them.

In the namespace of a worker the ids of a tree are others than the caller's. What is written there
outside of trees, into the cache, would belong to an id that nobody has.
"""

from __future__ import annotations

import os
from pathlib import Path

_VARIABLE = "VOIDIMG_CALLER"
"""``UID:GID`` of the caller as this namespace has them; not set outside of a worker."""


def remember(uid: int, gid: int) -> None:
    """Note the caller's ids, also for the processes that are started from here."""
    os.environ[_VARIABLE] = f"{uid}:{gid}"


def ids() -> tuple[int, int]:
    """The uid and gid of the caller as they are called here; our own outside of a worker."""
    text = os.environ.get(_VARIABLE)
    if text is None:
        return os.geteuid(), os.getegid()
    uid, _, gid = text.partition(":")
    return int(uid), int(gid)


def give(path: Path) -> None:
    """Make the caller the owner of the file or directory `path`.

    Raises:
        OSError: it cannot be given.
    """
    wanted = ids()
    if wanted != (os.geteuid(), os.getegid()):
        os.chown(path, *wanted, follow_symlinks=False)


def make_directory(path: Path) -> None:
    """Make the directory `path`, and those above it that are missing, for the caller.

    Raises:
        OSError: it cannot be made.
    """
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(exist_ok=True)
        give(directory)
