"""The process that lives inside a tree: makes the tree its root, then runs programs on request.

It is pid 1 of a pid namespace, forked from the build's worker (see `chroot`): one set of mounts
serves hundreds of script runs, and a run costs one fork. It holds all capabilities of the user
namespace; the programs it starts keep only those that install scripts need. Inside the tree Python
finds no module of its own any more: everything used there is imported before.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import select
import signal
import socket
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from voidimg.errors import SandboxError
from voidimg.sandbox import kernel
from voidimg.sandbox.frames import Channel

RUN, FIND, REFUSED, ANSWER = b"r", b"f", b"x", b"a"
"""Kinds of frames."""

SCRIPT = "/dev/xbps-script"
"""Where the script of a run is, inside the tree's world."""

TARGET = "/dev/target"
"""Where the target tree is, seen from a bootstrap tree."""

OUTPUT_BYTES = 256 * 1024

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}
_HIDDEN = ("kcore", "keys", "key-users", "kmsg", "timer_list", "kallsyms", "config.gz", "cmdline")
"""Files of /proc that tell about the host what no install script needs."""

_KEPT_CAPABILITIES = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 18, 29, 31})
"""CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE
SYS_CHROOT AUDIT_WRITE SETFCAP (capability.h). Without SYS_ADMIN no mount can be changed."""


@dataclass(frozen=True, slots=True)
class Run:
    """A program to run; see `chroot.Chroot.run`."""

    argv: tuple[str, ...]
    env: dict[str, str]
    stdin: bytes
    cwd: str
    script: bytes | None
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended; `failure` is the errno when it could not be started."""

    status: int
    output: bytes
    failure: int | None = None
    timed_out: bool = False


def start(connection: socket.socket, root: Path, target: Path | None) -> int:
    """Fork the server for `root`; it answers on `connection`. Returns its process id.

    The first frame it sends is an empty answer, or the `SandboxError` that stopped it.
    """
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        kernel.unshare(kernel.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            # Locks, sockets and files of the caller must not stay open as long as the server.
            os.closerange(3, connection.fileno())
            os.closerange(connection.fileno() + 1, 1 << 20)
            _serve(Channel(connection), root, target)
        # Later children of the caller belong into its own pid namespace again.
        kernel.enter(own, kernel.CLONE_NEWPID)
    except OSError as error:
        raise _refused(error, root) from error
    finally:
        os.close(own)
    return pid


def _serve(channel: Channel, root: Path, target: Path | None) -> None:
    try:
        gc.freeze()
        # Pid 1 is only hurt by signals it handles, and Python handles this one.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            _settle(root, target)
        except OSError as error:
            channel.send(REFUSED, _refused(error, root))
            os._exit(1)
        except SandboxError as error:
            channel.send(REFUSED, error)
            os._exit(1)
        kernel.last_capability()  # Looked up once, not after every fork.
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        channel.send(ANSWER)
        while (frame := channel.receive()) is not None:
            kind, value = frame
            if kind == RUN:
                channel.send(ANSWER, _run(cast("Run", value)))
            else:
                paths = cast("Sequence[str]", value)
                there = [path for path in paths if os.path.exists(path)]
                can_run = (path for path in there if os.access(path, os.X_OK))
                channel.send(ANSWER, (next(can_run, None), next(iter(there), None)))
        os._exit(0)
    except Exception as error:  # noqa: BLE001 - the caller gets every failure as a value
        what = f"the sandbox of {root} failed: {type(error).__name__}: {error}"
        channel.send(REFUSED, SandboxError(what, code="JAIL", where=str(root)))
    finally:
        os._exit(1)


def _refused(error: OSError, root: Path) -> SandboxError:
    return SandboxError(
        f"cannot make {root} the root of a sandbox: {error.strerror} ({error.filename})",
        code="MOUNT",
        where=str(root),
        hint="the build runs inside voidimg's own namespace; a container must allow mounts there",
    )


def _settle(root: Path, target: Path | None) -> None:
    """Make `root` the root of a new mount namespace, and let nothing else be seen."""
    kernel.unshare(
        kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWNET
    )
    kernel.mount(None, "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    socket.sethostname("void")
    devices = {name: os.open(f"/dev/{name}", os.O_PATH | os.O_CLOEXEC) for name in _DEVICES}
    bound = None if target is None else os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    kernel.mount(str(root), str(root), flags=kernel.MS_BIND | kernel.MS_REC)
    os.chdir(root)
    kernel.pivot_root(".", ".")
    os.chroot(".")
    # From here on every path, whatever links the tree holds, ends inside the tree.
    _mount_proc()
    _mount_dev(devices, bound)
    os.fchdir(old)
    kernel.unmount(".", kernel.MNT_DETACH)
    os.chdir("/")
    for descriptor in (*devices.values(), old, *(() if bound is None else (bound,))):
        os.close(descriptor)


def _directory(path: str) -> None:
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise SandboxError(
                f"{path} of the tree is not a directory",
                code="TREE",
                where=path,
                hint="a package has put something else in its place",
            ) from None


def _mount_proc() -> None:
    _directory("/proc")
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("proc", "/proc", "proc", flags)
    # No further user namespaces: in one of its own a program would have all capabilities.
    Path("/proc/sys/user/max_user_namespaces").write_bytes(b"0")
    # As root in an identity map we are the host's uid 0, and for many of the host's settings in
    # /proc the kernel asks no more than that.
    remount = kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY
    kernel.mount(None, "/proc", flags=remount | flags)


def _mount_dev(devices: dict[str, int], target: int | None) -> None:
    _directory("/dev")
    options = "mode=0755,size=64m,nr_inodes=4096"
    kernel.mount("tmpfs", "/dev", "tmpfs", kernel.MS_NOSUID | kernel.MS_NOEXEC, options)
    for name, descriptor in devices.items():
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666))
        kernel.mount(f"/proc/self/fd/{descriptor}", f"/dev/{name}", flags=kernel.MS_BIND)
    for name, rest in _LINKS.items():
        os.symlink(f"/proc/self/fd{rest}", f"/dev/{name}")
    os.mkdir("/dev/shm")  # noqa: S108 - a mount point
    if target is not None:
        os.mkdir(TARGET)
        source = f"/proc/self/fd/{target}"
        kernel.mount(source, TARGET, flags=kernel.MS_BIND | kernel.MS_REC)
    for name in _HIDDEN:
        if os.path.exists(f"/proc/{name}"):
            kernel.mount("/dev/null", f"/proc/{name}", flags=kernel.MS_BIND)


def _run(wanted: Run) -> Ended:
    if wanted.script is not None:
        descriptor = os.open(SCRIPT, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o755)
        with open(descriptor, "wb") as file:
            file.write(wanted.script)
    output, written = os.pipe()
    failure, failed = os.pipe()
    child = os.fork()
    if child == 0:
        _become(wanted, written, failed)
    os.close(written)
    os.close(failed)
    try:
        text, status, timed_out = _collect(child, output, wanted.timeout_seconds)
        number = os.read(failure, 16)
    finally:
        os.close(output)
        os.close(failure)
        _end_descendants()
        if wanted.script is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(SCRIPT)
    if number:
        return Ended(0, b"", failure=int(number))
    return Ended(status, text, timed_out=timed_out)


def _become(wanted: Run, written: int, failed: int) -> None:
    """In the child: the program's surroundings, then the program; never returns."""
    try:
        os.setsid()
        # Leftovers of one run in shared memory must not reach the next.
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC)
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        kernel.mount("tmpfs", "/dev/shm", "tmpfs", flags, "mode=1777,size=64m")  # noqa: S108
        kernel.drop_bounding_set(_KEPT_CAPABILITIES)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.umask(0o022)
        os.chdir(wanted.cwd)
        if wanted.stdin:
            source = os.memfd_create("stdin")
            os.write(source, wanted.stdin)
            os.lseek(source, 0, os.SEEK_SET)
        else:
            source = os.open("/dev/null", os.O_RDONLY)
        os.dup2(source, 0)
        os.dup2(written, 1)
        os.dup2(written, 2)
        os.closerange(3, failed)
        os.closerange(failed + 1, 1 << 20)
        os.execve(wanted.argv[0], wanted.argv, wanted.env)  # noqa: S606 - the point of it all
    except OSError as error:
        os.write(failed, b"%d" % (error.errno or 0))
    finally:
        os._exit(127)


def _collect(child: int, output: int, timeout_seconds: float) -> tuple[bytes, int, bool]:
    """What `child` writes until it ends, its status, and whether its time was over.

    Programs left in the background may hold the pipe open, so the end of `child` counts, not the
    end of the stream; what is in the pipe then is still read.
    """
    deadline = time.monotonic() + timeout_seconds
    text = _Bounded()
    os.set_blocking(output, False)
    ended = os.pidfd_open(child)
    watch = select.poll()
    watch.register(output, select.POLLIN)
    watch.register(ended, select.POLLIN)
    timed_out = False
    try:
        while True:
            left = deadline - time.monotonic()
            ready = {number for number, _ in watch.poll(max(0.0, left) * 1000)}
            if output in ready and not text.read(output):
                watch.unregister(output)
            if ended in ready:
                break
            if not ready and left <= 0:
                timed_out = True
                break
    finally:
        os.close(ended)
    if timed_out:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    while text.read(output):
        pass
    return text.value(), os.waitstatus_to_exitcode(status), timed_out


class _Bounded:
    """Output of which only the beginning and the end are kept."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._lost = 0

    def read(self, descriptor: int) -> bool:
        """Take what is there; False when there is nothing (now, or ever)."""
        try:
            piece = os.read(descriptor, 65536)
        except BlockingIOError:
            return False
        half = OUTPUT_BYTES // 2
        room = half - len(self._head)
        self._head += piece[:room]
        self._tail += piece[room:] if room < len(piece) else b""
        if len(self._tail) > half:
            self._lost += len(self._tail) - half
            del self._tail[: len(self._tail) - half]
        return bool(piece)

    def value(self) -> bytes:
        """The text, with a line in the place of what was left out."""
        gap = b"\n[... %d bytes left out ...]\n" % self._lost if self._lost else b""
        return bytes(self._head) + gap + bytes(self._tail)


def _end_descendants() -> None:
    """Kill and reap everything else in this pid namespace."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
