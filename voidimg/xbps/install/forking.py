"""Independent tasks in forked workers, their results as they come.

Forking makes what the parent has decoded available to all workers at no cost. It is only safe
from a process with one thread, as which the installer runs.
"""

from __future__ import annotations

import os
import pickle
import selectors
import signal
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from voidimg.errors import StoreError, VoidimgError

T = TypeVar("T")
R = TypeVar("R")

_TOKEN = struct.Struct("=I")
_MOST_TASKS = 16384
"""So many tokens fit into a pipe (64 KiB), so that it can be filled before anyone reads."""


def may_fork(tasks: int) -> bool:
    """Whether `tasks` may be spread over workers here: one thread, and not too many tasks."""
    return threading.active_count() == 1 and 1 < tasks <= _MOST_TASKS


def run_forked(work: Callable[[T], R], tasks: Sequence[T], *, jobs: int) -> Iterator[tuple[int, R]]:
    """Yield ``(index, work(tasks[index]))`` for all tasks, in the order they are finished.

    Tasks are begun in order, by `jobs` workers forked now; results must be picklable. When one
    fails, or the caller stops iterating, the others are killed.

    Raises:
        VoidimgError: what a task raised, as itself.
        StoreError: ``WORKER``, a worker died or met an unforeseen error.
    """
    tokens, fill = os.pipe()
    workers: dict[int, int] = {}
    try:
        os.write(fill, b"".join(_TOKEN.pack(index) for index in range(len(tasks))))
        os.close(fill)
        for _ in range(min(jobs, len(tasks))):
            out, into = os.pipe()
            pid = os.fork()
            if pid == 0:
                _serve(work, tasks, tokens, into)
            os.close(into)
            workers[out] = pid
        yield from _collect(workers)
    finally:
        os.close(tokens)
        for fd, pid in workers.items():
            os.close(fd)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _serve(work: Callable[[T], R], tasks: Sequence[T], tokens: int, into: int) -> None:
    """In the worker: do tasks until there are no more, then end the process."""
    status = 1
    with suppress(BaseException):
        while token := os.read(tokens, _TOKEN.size):
            index = _TOKEN.unpack(token)[0]
            reply: tuple[int, object] = (index, _outcome(work, tasks[index]))
            encoded = pickle.dumps(reply)
            with open(into, "wb", closefd=False) as pipe:
                pipe.write(_TOKEN.pack(len(encoded)) + encoded)
        status = 0
    os._exit(status)


def _outcome(work: Callable[[T], R], task: T) -> object:
    try:
        return (True, work(task))
    except VoidimgError as error:
        return (False, error)
    except Exception as error:  # noqa: BLE001 - the border of the worker: told to the parent
        return (
            False,
            StoreError(
                f"a worker met an unforeseen error: {type(error).__name__}: {error}",
                code="WORKER",
                hint="this is a fault of voidimg",
            ),
        )


def _collect(workers: dict[int, int]) -> Iterator[tuple[int, R]]:
    with selectors.DefaultSelector() as selector:
        for fd in workers:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                reply: tuple[int, R] | None = _receive(key.fd)
                if reply is not None:
                    yield reply
                    continue
                selector.unregister(key.fd)
                os.close(key.fd)
                _, status = os.waitpid(workers.pop(key.fd), 0)
                if status:
                    raise StoreError(
                        "a worker was killed while unpacking",
                        code="WORKER",
                        hint="there may be too little memory; try --jobs 1",
                    )


def _receive(fd: int) -> tuple[int, R] | None:
    """The next reply from `fd`, None at the end; raises the error that a task raised."""
    header = _exactly(fd, _TOKEN.size)
    encoded = _exactly(fd, _TOKEN.unpack(header)[0]) if header else b""
    if not encoded:
        return None
    index, (good, value) = pickle.loads(encoded)  # noqa: S301 - from our own worker
    if not good:
        raise value
    return index, value


def _exactly(fd: int, size: int) -> bytes:
    """`size` bytes, or none if the worker is gone."""
    pieces = b""
    while len(pieces) < size:
        piece = os.read(fd, size - len(pieces))
        if not piece:
            return b""
        pieces += piece
    return pieces
