"""A private directory for one build, and the removal of those that killed builds left behind."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from voidimg.errors import storing
from voidimg.events import Listener, Message, ignore
from voidimg.fetch import Cache, upkeep
from voidimg.fetch.upkeep import CacheUse
from voidimg.sandbox import namespace
from voidimg.tree.remove import LOCK_FILE, empty_directory


@contextmanager
def workplace(cache: Cache, listener: Listener) -> Iterator[Path]:
    """An empty directory below `cache`, locked while the block runs and gone afterwards.

    What is in it may belong to subordinate ids, so it is emptied inside the namespace. A build
    that was killed leaves its directory without the lock: the next build removes it first.
    """
    remove_abandoned(cache, listener)
    base = _base(cache)
    with storing(base, "make a work directory in"), _alone(base):
        directory = Path(tempfile.mkdtemp(dir=base))
        lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield directory
    finally:
        _remove(directory)
        os.close(lock)


def remove_abandoned(cache: Cache, listener: Listener) -> CacheUse:
    """Remove the work directories of builds that were killed, and nobody else's.

    Returns:
        What was removed, as far as the caller may look into it.

    Raises:
        StoreError: one cannot be removed.
        SandboxError: its files belong to subordinate ids, and there is no user namespace here.
    """
    base = _base(cache)
    removed = CacheUse("work under way", 0, 0)
    if not any(base.iterdir()):
        return removed
    with storing(base, "clear"), _alone(base):
        for directory in sorted(base.iterdir()):
            files, size = _remove_if_abandoned(directory, listener)
            removed = CacheUse(removed.content, removed.files + files, removed.size + size)
    return removed


def clear_cache(
    cache: Cache,
    *,
    max_bytes: int | None = None,
    older_seconds: int | None = None,
    listener: Listener = ignore,
) -> tuple[CacheUse, ...]:
    """Remove what is left over from killed runs, their work first, then what was unused longest.

    Args:
        cache: which.
        max_bytes: remove until the cache takes no more than this; None: no limit.
        older_seconds: remove what was not used for so long; None: no limit.
        listener: is told of the steps.

    Returns:
        What was removed. What a build under way has used stays, and its work.

    Raises:
        StoreError, SandboxError: something cannot be removed.
    """
    work = remove_abandoned(cache, listener)
    others = upkeep.clear_cache(
        cache, max_bytes=max_bytes, older_seconds=older_seconds, listener=listener
    )
    return (work, *others) if work.files else others


def _base(cache: Cache) -> Path:
    return cache.part("work", LOCK_FILE).parent


@contextmanager
def _alone(base: Path) -> Iterator[None]:
    """While the block runs, nobody else makes, locks or clears work directories below `base`."""
    descriptor = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_if_abandoned(directory: Path, listener: Listener) -> tuple[int, int]:
    """The number of files that were removed, and the bytes that they took on disk."""
    removed = (0, 0)
    try:
        lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        # Made or removed only in part; if its build is alive, it is about to remove it itself.
        with suppress(OSError):
            directory.rmdir()
        return removed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:
        if (directory / LOCK_FILE).exists():  # else its build has just ended
            listener(Message("note", f"removing what an interrupted build left in {directory}"))
            removed = upkeep.disk_use(directory)
            _remove(directory)
    finally:
        os.close(lock)
    return removed


def _remove(directory: Path) -> None:
    with storing(directory, "remove"):
        if any(entry.name != LOCK_FILE for entry in directory.iterdir()):
            namespace.call(empty_directory, directory)
        (directory / LOCK_FILE).unlink()
        with suppress(FileNotFoundError):  # another build saw it without its lock
            directory.rmdir()
