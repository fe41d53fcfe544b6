"""A private directory for one build, and the removal of those that killed builds left behind."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from voidimg.errors import VoidimgError, storing
from voidimg.events import Listener, Message, ignore
from voidimg.fetch import Cache, upkeep
from voidimg.fetch.upkeep import CacheUse
from voidimg.file_locks import directory_held, hold, try_to_hold
from voidimg.sandbox import namespace
from voidimg.tree.remove import LOCK_FILE, empty_directory
from voidimg.tree.walk import DIRECTORY

_EARLIER_PLACES = ("inspect", "lint", "smoke")
"""Below the cache: where earlier versions unpacked images."""
_PREFIX = "voidimg-build."
_OURS = re.compile(rf"(tmp|{re.escape(_PREFIX)}|voidimg-image\.)[a-z0-9_]{{8}}")
"""The names of our directories; ``tmp`` is that of earlier versions. Nothing else is removed: a
cache may have been put where somebody has a directory ``work``."""


@contextmanager
def workplace(cache: Cache, listener: Listener) -> Iterator[Path]:
    """An empty directory below `cache`, locked while the block runs and gone afterwards.

    What is in it may belong to subordinate ids, so it is emptied inside the namespace. A build
    that was killed leaves its directory without the lock: the next build removes it first.
    """
    remove_abandoned(cache, listener)
    base = _base(cache)
    # Nobody else makes, locks or clears directories there meanwhile.
    with storing(base, "make a work directory in"), directory_held(base):
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        hold(lock)
    try:
        yield directory
    finally:
        _remove(directory)
        os.close(lock)


def remove_abandoned(cache: Cache, listener: Listener) -> CacheUse:
    """Remove the work directories of builds that were killed, and nobody else's.

    What cannot be removed is told as a warning and stays: it must not keep anybody from building.

    Returns:
        What was removed, as far as the caller may look into it.
    """
    removed, problems = _remove_all_abandoned(cache, listener)
    for problem in problems:
        listener(Message("warning", f"what an interrupted run left stays: {problem}"))
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
        StoreError, SandboxError: something cannot be removed; all else has been.
    """
    if not cache.is_there():
        return ()
    work, problems = _remove_all_abandoned(cache, listener)
    others = upkeep.clear_cache(
        cache, max_bytes=max_bytes, older_seconds=older_seconds, listener=listener
    )
    if problems:
        raise problems[0]
    return (work, *others) if work.files else others


def _base(cache: Cache) -> Path:
    return cache.scratch()


def _remove_all_abandoned(
    cache: Cache, listener: Listener
) -> tuple[CacheUse, tuple[VoidimgError, ...]]:
    """What was removed, and what went wrong with the rest."""
    files = size = 0
    problems: list[VoidimgError] = []
    for base in (_base(cache), *(cache.directory / name for name in _EARLIER_PLACES)):
        try:
            with storing(base, "clear"):
                entries = sorted(base.iterdir()) if base.is_dir() else []
                if not entries:
                    continue
                with directory_held(base):
                    for entry in entries:
                        found = _tried(entry, listener, problems)
                        files, size = files + found[0], size + found[1]
        except VoidimgError as error:
            problems.append(error)
    return CacheUse("work under way", files, size), tuple(problems)


def _tried(entry: Path, listener: Listener, problems: list[VoidimgError]) -> tuple[int, int]:
    try:
        with storing(entry, "remove"):
            return _remove_if_abandoned(entry, listener)
    except VoidimgError as error:
        problems.append(error)
        return (0, 0)


def _remove_if_abandoned(directory: Path, listener: Listener) -> tuple[int, int]:
    """The number of files that were removed, and the bytes that they took on disk.

    The lock of a build is a file in its directory; that of an unpacked image is its directory, see
    `voidimg.disk.private`.
    """
    match = _OURS.fullmatch(directory.name)
    if match is None:
        return (0, 0)
    try:
        held = os.open(directory, DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return (0, 0)  # gone, or nothing of ours
    except OSError as error:
        if error.errno == errno.ELOOP:
            return (0, 0)
        raise
    lock = held
    try:
        with suppress(FileNotFoundError):
            flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            lock = os.open(LOCK_FILE, flags, dir_fd=held)
        if lock == held and match[1] == "tmp":
            with suppress(OSError):  # made or removed only in part, if it is ours
                directory.rmdir()
            return (0, 0)
        if not try_to_hold(lock):
            return (0, 0)
        if not os.fstat(lock).st_nlink:
            return (0, 0)  # its build has just ended
        listener(Message("note", f"removing what an interrupted run left in {directory}"))
        removed = upkeep.disk_use(directory)
        _remove(directory)
        return removed
    finally:
        if lock != held:
            os.close(lock)
        os.close(held)


def _remove(directory: Path) -> None:
    with storing(directory, "remove"):
        try:
            empty_directory(directory)
        except PermissionError:  # it belongs to subordinate ids
            namespace.call(empty_directory, directory)
        (directory / LOCK_FILE).unlink(missing_ok=True)
        with suppress(FileNotFoundError):  # another build saw it without its lock
            directory.rmdir()
