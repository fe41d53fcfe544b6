"""Locks on open files and directories: held by one process at a time, free when it ends or dies.

They are ``flock(2)``: whoever is killed leaves no lock, and no file says that somebody holds one.
They count between descriptors, so two threads that each open a file exclude each other too.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def hold(descriptor: int, *, shared: bool = False) -> None:
    """Wait for the lock of what `descriptor` has open; closing it gives it back.

    Several may hold a `shared` lock, while nobody has it alone.

    Raises:
        OSError: the filesystem has no locks.
    """
    fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def try_to_hold(descriptor: int) -> bool:
    """Take the lock of what `descriptor` has open if nobody has it; whether it was free.

    Raises:
        OSError: the filesystem has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def held(descriptor: int, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of what `descriptor` has open while the block runs, then close it."""
    try:
        hold(descriptor, shared=shared)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def directory_held(path: Path) -> Iterator[None]:
    """Hold the lock of the directory `path` while the block runs.

    Raises:
        OSError: it is not there, is no directory, or cannot be opened.
    """
    with held(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)):
        yield


@contextmanager
def directory_tried(path: Path) -> Iterator[bool]:
    """Hold the lock of the directory `path` while the block runs, if nobody has it: the answer.

    Raises:
        OSError: it is not there, is no directory, or cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield try_to_hold(descriptor)
    finally:
        os.close(descriptor)
