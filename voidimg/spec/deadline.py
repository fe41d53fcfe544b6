"""An end to the time that something of a stranger may run in a thread of ours."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class OutOfTime(BaseException):
    """Raised in a thread whose time is over; `Exception` would be caught on the way out."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """The block is left by `OutOfTime` when it takes longer; between two operations, in any thread.

    One long operation of C is waited for.
    """
    thread = ctypes.c_ulong(threading.get_ident())
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    ended = threading.Lock()

    def end() -> None:
        if ended.acquire(blocking=False):
            raise_in(thread, ctypes.py_object(OutOfTime))

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        if not ended.acquire(blocking=False):
            raise_in(thread, None)  # it may not have been raised yet, and must not be any more
        timer.cancel()
