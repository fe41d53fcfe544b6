"""Runs a function as root of its own namespaces, on behalf of an ordinary user or of root.

`call` is how everything that needs owners, modes and capabilities of a tree is done: unpacking,
scripts, filesystems made from the tree. The function runs in a fresh interpreter.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from voidimg.errors import SandboxError, VoidimgError
from voidimg.events import Event, Listener, ignore
from voidimg.programs import SEARCH_PATH
from voidimg.sandbox import idmap, limits
from voidimg.sandbox.frames import Channel
from voidimg.sandbox.worker import CALL, CRASH, ERROR, EVENT, MAPPED, RESULT, UNMAPPED, Call, Crash

R = TypeVar("R")

_ENVIRONMENT = {
    "PATH": SEARCH_PATH,
    "HOME": "/",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}
_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; from voidimg.sandbox.worker import main; "
    "main({descriptor}, {caller})"
)
_LOG_BYTES = 65536


class WorkerError(SandboxError):
    """The function ended in a way that it should not; `output` is the traceback or last words."""

    def __init__(self, what: str, *, code: str, where: str | None, output: str):
        super().__init__(
            what, code=code, where=where, hint="this is a fault of voidimg; run again with -v"
        )
        self.output = output


def call(
    function: Callable[..., R], /, *args: object, listener: Listener = ignore, **kwargs: object
) -> R:
    """What ``function(*args, **kwargs)`` returns when root of new namespaces calls it.

    The namespaces are: user (all ids mapped), mount (private), pid, network (none), ipc, uts.
    Working directory ``/``, umask 022, a small fixed environment. The caller's death, even by
    SIGKILL, ends the function and every process it started; its mounts vanish with it.

    Args:
        function: a top-level function of a module; if it takes `listener`, it gets one that
            forwards events to the caller's.
        args: arguments; they and the result must be picklable.
        listener: gets the function's events, in the thread of the caller.
        kwargs: keyword arguments.

    Raises:
        SandboxError: no namespace could be made, or the caller's limits are too low (``LIMITS``);
            the hint says what to change.
        ToolError: newuidmap is missing (package uidmap).
        WorkerError: the function raised something other than a `VoidimgError`, or was killed.
        VoidimgError: whatever the function raised, as itself.
    """
    limits.check()
    wanted = _describe(function, args, kwargs)
    ours, theirs = _socket_pair()
    log = os.memfd_create("voidimg-worker")
    try:
        with theirs:
            worker = subprocess.Popen(
                [sys.executable, "-I", "-c", _program(theirs.fileno())],
                env=_ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                # Ctrl-C is for the caller; it ends the worker in its own time.
                start_new_session=True,
            )
        try:
            return cast("R", _converse(Channel(ours), worker, wanted, listener, log))
        finally:
            # A worker that still waits for its id map ends at the end of the stream.
            ours.close()
            _end(worker)
    finally:
        ours.close()
        os.close(log)


def _socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets, none of which has the number of a standard stream that is closed."""
    pair = []
    for one in socket.socketpair():
        with one:
            number = fcntl.fcntl(one.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
        pair.append(socket.socket(fileno=number))
    return pair[0], pair[1]


def _describe(
    function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
) -> Call:
    name = getattr(function, "__qualname__", "")
    module = sys.modules.get(getattr(function, "__module__", ""))
    if getattr(module, name, None) is not function:
        raise TypeError(f"{function!r} is not a top-level function of a module")
    file = getattr(module, "__file__", None)
    return Call(
        module=function.__module__,
        file=None if file is None else str(Path(file).resolve()),
        name=name,
        arguments=pickle.dumps((args, kwargs), protocol=pickle.HIGHEST_PROTOCOL),
    )


def _program(descriptor: int) -> str:
    home = str(Path(__file__).resolve().parents[2])
    # Relative entries mean another directory once the worker has changed to /.
    path = [resolved for entry in sys.path if (resolved := _resolved(entry)) is not None]
    if home not in path:
        path.append(home)
    return _PROGRAM.format(path=path, descriptor=descriptor, caller=os.getpid())


def _resolved(entry: str) -> str | None:
    """The absolute path of an entry; None when it is relative and its directory is gone."""
    try:
        return str(Path(entry).resolve())
    except OSError:
        return None


def _converse(
    channel: Channel,
    worker: subprocess.Popen[bytes],
    wanted: Call,
    listener: Listener,
    log: int,
) -> object:
    where = f"{wanted.module}.{wanted.name}"
    try:
        while (frame := channel.receive()) is not None:
            kind, value = frame
            if kind == UNMAPPED:
                channel.send(MAPPED, idmap.enter_maps(worker.pid))
                channel.send(CALL, wanted)
            elif kind == EVENT:
                listener(cast("Event", value))
            elif kind == RESULT:
                return value
            elif kind == ERROR:
                raise cast("VoidimgError", value)
            elif kind == CRASH:
                crash = cast("Crash", value)
                raise WorkerError(crash.what, code="WORKER", where=where, output=crash.trace)
    except BrokenPipeError:
        pass  # The worker died while it was spoken to: the same as an early end of its words.
    worker.wait()
    raise WorkerError(
        f"the build's worker {_ending(worker.returncode)}",
        code="WORKER-DIED",
        where=where,
        output=_tail(log),
    )


def _ending(status: int) -> str:
    # The outer process reports the inner one's signal N as 256 - N.
    number = -status if status < 0 else 256 - status
    if status < 0 or status > 128:
        try:
            return f"was killed by {signal.Signals(number).name}"
        except ValueError:
            pass
    return f"ended without an answer (status {status})"


def _tail(log: int) -> str:
    size = os.fstat(log).st_size
    return os.pread(log, _LOG_BYTES, max(0, size - _LOG_BYTES)).decode("utf-8", "replace")


def _end(worker: subprocess.Popen[bytes]) -> None:
    """Return only when the worker and all its descendants are gone."""
    if worker.poll() is None:
        worker.send_signal(signal.SIGTERM)
    try:
        worker.wait(timeout=10)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
