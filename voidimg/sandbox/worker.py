"""The child's side of `namespace.call`: new namespaces, then one function, then the end.

Two processes: the outer one leaves the old namespaces and waits; the inner one is pid 1 of the new
pid namespace and runs the function. The kernel kills the outer with the caller, the inner with the
outer, and every descendant with the inner, so nothing can be left behind.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import importlib.util
import inspect
import os
import pickle
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import cast

from voidimg.errors import DiskFullError, SandboxError, VoidimgError
from voidimg.events import Event
from voidimg.sandbox import caller, kernel, limits
from voidimg.sandbox.frames import Channel

UNMAPPED, MAPPED, CALL, EVENT, RESULT, ERROR, CRASH = (
    b"u",
    b"m",
    b"c",
    b"e",
    b"r",
    b"x",
    b"t",
)
"""Kinds of frames: the child's wish for an id map, the answer; the call; its events; its end."""

_NAMESPACES = (
    kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWNET
)
_BINFMT = "/proc/sys/fs/binfmt_misc"


@dataclass(frozen=True, slots=True)
class Call:
    """What to run: a top-level function by its module (`file` when not importable) and name."""

    module: str
    file: str | None
    name: str
    arguments: bytes
    """The pickled ``(args, kwargs)``; unpickled after the module has been imported."""


@dataclass(frozen=True, slots=True)
class Crash:
    """An exception that is not ours: what happened in a line, and the traceback."""

    what: str
    trace: str


def main(descriptor: int, parent: int) -> None:
    """Serve one call on the socket `descriptor` for the process `parent`, and exit."""
    channel = Channel(socket.socket(fileno=descriptor))
    _forget_signals()
    limits.raise_soft()
    kernel.leave_session_keyring()
    # A request to stop waits until there is someone who can pass it on.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    _die_with_parent()
    if os.getppid() != parent:
        os._exit(1)
    try:
        _leave(channel)
        kernel.mount(None, "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    except OSError as error:
        channel.send(ERROR, _refused(error))
        os._exit(1)
    alive, held = os.pipe()
    inner = os.fork()
    if inner == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        os.close(held)
        _die_with_parent()
        # The outer may have died before the line above; then its end of the pipe is closed.
        if select.select([alive], [], [], 0)[0]:
            os._exit(1)
        _serve(channel)
    channel.close()
    _outlive(inner)


def _leave(channel: Channel) -> None:
    kernel.unshare(kernel.CLONE_NEWUSER)
    channel.send(UNMAPPED)
    mapped = channel.receive()
    if mapped is None:
        os._exit(1)
    caller.remember(*cast("tuple[int, int]", mapped[1]))
    os.setresgid(0, 0, 0)
    os.setgroups([])
    os.setresuid(0, 0, 0)
    # A change of credentials makes the kernel forget the death signal.
    _die_with_parent()
    # The host's setuid programs, such as mount, would become the host's root, who is nobody here.
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.unshare(_NAMESPACES)


def _forget_signals() -> None:
    """Signals that the caller ignores or blocks mean what they mean to everybody else."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError):
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGPIPE, signal.SIG_IGN),
        (signal.SIGXFSZ, signal.SIG_IGN),
    ):
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _die_with_parent() -> None:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _outlive(inner: int) -> None:
    """Wait for the inner process; SIGTERM ends it, and with it all its descendants."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        os.kill(inner, signal.SIGKILL)

    signal.signal(signal.SIGTERM, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    while True:
        pid, status = os.wait()
        if pid == inner:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _serve(channel: Channel) -> None:
    """Run the one call as pid 1 of the namespace; never returns."""
    status = 1
    try:
        os.umask(0o022)
        os.chdir("/")
        _mount_proc()
        frame = channel.receive()
        if frame is not None:
            call = frame[1]
            if not isinstance(call, Call):
                raise TypeError(f"not a call: {call!r}")
            body = _answer(call, lambda event: channel.send(EVENT, event))
            channel.send(*body)
            status = 0
    except VoidimgError as error:
        channel.send(ERROR, error)
    except Exception as error:  # noqa: BLE001 - the caller gets every failure as a value
        channel.send(CRASH, Crash(_one_line(error), traceback.format_exc()))
    finally:
        sys.stderr.flush()
        os._exit(status)


def _mount_proc() -> None:
    """A /proc of this pid namespace, in which the host's binfmt_misc stays visible."""
    try:
        shown: int | None = os.open(_BINFMT, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        shown = None
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    try:
        kernel.mount("proc", "/proc", "proc", flags)
    except OSError as error:
        raise SandboxError(
            f"cannot mount /proc in the build's namespace: {error.strerror}",
            code="PROC",
            where="/proc",
            hint="a container that hides parts of /proc forbids it; start the container with "
            "--security-opt systempaths=unconfined",
        ) from error
    if shown is not None:
        # Not seeing the host's entries only costs a fallback.
        with contextlib.suppress(OSError):
            kernel.mount(f"/proc/self/fd/{shown}", _BINFMT, flags=kernel.MS_BIND)
            kernel.bind_read_only(_BINFMT)
        os.close(shown)


def _answer(call: Call, forward: Callable[[Event], None]) -> tuple[bytes, object]:
    try:
        module = _module(call)
        function = getattr(module, call.name)
        args, kwargs = pickle.loads(call.arguments)  # noqa: S301 - from our own parent
        if _takes_listener(function):
            kwargs["listener"] = forward
        return RESULT, function(*args, **kwargs)
    except VoidimgError as error:
        return ERROR, error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return ERROR, DiskFullError(
                f"the disk is full: cannot write {error.filename or 'the build tree'}",
                code="FULL",
                where=None if error.filename is None else os.fsdecode(error.filename),
                hint="free some space, or choose another --cache and --out directory",
            )
        return CRASH, Crash(_one_line(error), traceback.format_exc())
    except Exception as error:  # noqa: BLE001 - the caller gets every failure as a value
        return CRASH, Crash(_one_line(error), traceback.format_exc())


def _module(call: Call) -> ModuleType:
    if call.module != "__main__":
        try:
            return importlib.import_module(call.module)
        except ModuleNotFoundError:
            if call.file is None:
                raise
    # A file that no import finds, such as the caller's script. Loaded under another name than
    # __main__, so that it does not begin its work again, but found by pickles under its own.
    spec = importlib.util.spec_from_file_location(call.module.strip("_"), call.file or "")
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(call.module)
    module = importlib.util.module_from_spec(spec)
    sys.modules[call.module] = module
    spec.loader.exec_module(module)
    return module


def _takes_listener(function: Callable[..., object]) -> bool:
    parameters = inspect.signature(function).parameters
    return "listener" in parameters


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().replace("\n", " ")


def _refused(error: OSError) -> SandboxError:
    return SandboxError(
        f"the kernel does not allow the build's namespaces: {error.strerror}",
        code="NAMESPACE",
        where="user namespaces",
        hint=_hint(),
    )


_SETTINGS = (
    ("kernel/unprivileged_userns_clone", "0", "as root: sysctl -w kernel.{name}=1"),
    ("user/max_user_namespaces", "0", "as root: sysctl -w user.{name}=65536"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor restricts them; as root: sysctl -w kernel.{name}=0",
    ),
)
"""Under /proc/sys: what distributions switch user namespaces off with, and how to undo it."""


def _hint(settings: Path = Path("/proc/sys")) -> str:
    for path, off, advice in _SETTINGS:
        try:
            value = (settings / path).read_text("ascii").strip()
        except OSError:
            continue
        if value == off:
            return advice.format(name=Path(path).name)
    return (
        "user namespaces must be enabled in the kernel; in a container they need "
        "CAP_SYS_ADMIN or a seccomp profile that allows unshare and mount"
    )
