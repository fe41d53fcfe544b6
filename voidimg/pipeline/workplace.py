"""A private directory for one build, and the removal of those that killed builds left behind."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voidimg.errors import storing
from voidimg.events import Listener, Message
from voidimg.fetch import Cache
from voidimg.pipeline.work import LOCK_FILE, clear
from voidimg.sandbox import namespace


@contextmanager
def workplace(cache: Cache, listener: Listener) -> Iterator[Path]:
    """An empty directory below `cache`, locked while the block runs and gone afterwards.

    What is in it may belong to subordinate ids, so it is emptied inside the namespace. A build
    that was killed leaves its directory without the lock: the next build removes it first.
    """
    base = cache.part("work", LOCK_FILE).parent
    _remove_abandoned(base, listener)
    with storing(base, "make a work directory in"):
        directory = Path(tempfile.mkdtemp(dir=base))
        lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory
    finally:
        _remove(directory)
        os.close(lock)


def _remove_abandoned(base: Path, listener: Listener) -> None:
    for directory in sorted(base.iterdir()):
        try:
            lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # being made or removed at this moment
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            listener(Message("note", f"removing what an interrupted build left in {directory}"))
            _remove(directory)
        finally:
            os.close(lock)


def _remove(directory: Path) -> None:
    with storing(directory, "remove"):
        if any(entry.name != LOCK_FILE for entry in directory.iterdir()):
            namespace.call(clear, directory)
        (directory / LOCK_FILE).unlink()
        directory.rmdir()
