"""The process that lives inside a tree: makes the tree its root, then runs programs on request.

It is pid 1 of a pid namespace, forked from the build's worker (see `chroot`): one set of mounts
serves hundreds of script runs, and a run costs one fork. It lives in a user namespace within the
worker's, in which the ids of a tree are the only ones, and holds all its capabilities; the programs
it starts keep only those that install scripts need, under a filter of system calls. Inside the
tree Python finds no module of its own any more: everything used there is imported before.
"""

from __future__ import annotations

import contextlib
import gc
import os
import platform
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
from voidimg.sandbox import idmap, kernel, limits
from voidimg.sandbox.frames import Channel
from voidimg.sandbox.seccomp import build_filter, install_filter

RUN, FIND, REFUSED, ANSWER = b"r", b"f", b"x", b"a"
"""Kinds of frames."""

SCRIPT = "/dev/xbps-script"
"""Where the script of a run is, inside the tree's world."""

TARGET = "/dev/target"
"""Where the target tree is, seen from a bootstrap tree."""

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a path of the tree

OUTPUT_BYTES = 256 * 1024

_LOOK_SECONDS = 0.25
"""How often the memory of a tree's programs is looked at."""

_LAST_CAPABILITY = kernel.last_capability()
"""Looked up once, not after every fork."""

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
    memory_exceeded: bool = False


def start(connection: socket.socket, root: Path, target: Path | None) -> int:
    """Fork the server for `root`; it answers on `connection`. Returns its process id.

    The first frame it sends is an empty answer, or the `SandboxError` that stopped it.
    """
    machine_filter = build_filter(platform.machine())
    try:
        pid = os.fork()
    except OSError as error:
        raise _refused(error, root) from error
    if pid == 0:
        _found(connection, root, target, machine_filter)
    return pid


def write_ids(pid: int, channel: Channel, root: Path) -> None:
    """Give the namespace of the server that `start` forked its ids, once it has made it.

    Raises:
        SandboxError: the kernel allows no namespace within the build's, or not these ids.
    """
    frame = channel.receive()
    if frame is None:
        raise SandboxError(
            f"the sandbox of {root} ended unexpectedly", code="DIED", where=str(root)
        )
    if frame[0] == REFUSED:
        raise cast("SandboxError", frame[1])
    idmap.write_tree_ids(pid)
    channel.send(ANSWER)


def _found(
    connection: socket.socket, root: Path, target: Path | None, machine_filter: bytes
) -> None:
    """In the child: make the namespaces of users and processes, then wait for the server's end.

    Never returns.
    """
    status = 1
    try:
        # Locks, sockets and files of the caller must not stay open as long as the server.
        os.closerange(3, connection.fileno())
        os.closerange(connection.fileno() + 1, 1 << 20)
        channel = Channel(connection)
        try:
            _settle(root, target)
            _enter_users(channel)
            server = os.fork()
        except OSError as error:
            channel.send(REFUSED, _refused(error, root))
            return
        except SandboxError as error:
            channel.send(REFUSED, error)
            return
        if server == 0:
            _serve(channel, root, machine_filter)
        channel.close()
        status = os.waitstatus_to_exitcode(os.waitpid(server, 0)[1]) & 0xFF
    finally:
        os._exit(status)


def _enter_users(channel: Channel) -> None:
    """A user namespace with the ids of a tree alone: none of the host's, nor the worker's."""
    # Whatever runs out of memory, it is not the caller's own programs that should pay for it.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(b"1000")
    limits.confine_tree()
    kernel.unshare(kernel.CLONE_NEWUSER)
    channel.send(ANSWER)
    if channel.receive() is None:
        os._exit(1)
    os.setresgid(0, 0, 0)
    os.setgroups([])
    os.setresuid(0, 0, 0)
    kernel.unshare(
        kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWNET | kernel.CLONE_NEWPID
    )
    kernel.mount(None, "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    with contextlib.suppress(OSError):  # a kernel without control groups
        kernel.unshare(kernel.CLONE_NEWCGROUP)


def _serve(channel: Channel, root: Path, machine_filter: bytes) -> None:
    try:
        gc.freeze()
        # Pid 1 is only hurt by signals it handles, and Python handles this one.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            _mount_own_proc()
            _mount_shared_memory()
        except OSError as error:
            channel.send(REFUSED, _refused(error, root))
            os._exit(1)
        world = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        channel.send(ANSWER)
        while (frame := channel.receive()) is not None:
            kind, value = frame
            if kind == RUN:
                channel.send(ANSWER, _run(cast("Run", value), world, machine_filter))
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
    """Make `root` the root of a new mount namespace, and let nothing else be seen.

    This is still done with the worker's rights: the way to the tree may be closed to its own ids.
    """
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS)
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
    _directory("/proc")
    # Seen by nobody, but nobody may mount a /proc of their own who has none already.
    kernel.mount("proc", "/proc", "proc", _PROC_FLAGS)
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


_PROC_FLAGS = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC


def _mount_own_proc() -> None:
    flags = _PROC_FLAGS
    kernel.mount("proc", "/proc", "proc", flags)
    # No further user namespaces: in one of its own a program would have all capabilities.
    Path("/proc/sys/user/max_user_namespaces").write_bytes(b"0")
    # Where a tree has the host's ids we are uid 0 to the kernel, and for many of the host's
    # settings in /proc it asks no more than that.
    remount = kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY
    kernel.mount(None, "/proc", flags=remount | flags)
    for name in _HIDDEN:
        if os.path.exists(f"/proc/{name}"):
            kernel.mount("/dev/null", f"/proc/{name}", flags=kernel.MS_BIND)
    # Of this process nothing is seen: its command line and mounts name paths of the host.
    options = "mode=0555,size=4k,nr_inodes=1"
    kernel.mount("tmpfs", "/proc/1", "tmpfs", flags | kernel.MS_RDONLY, options)


def _mount_dev(devices: dict[str, int], target: int | None) -> None:
    _directory("/dev")
    options = "mode=0755,size=64m,nr_inodes=4096"
    kernel.mount("tmpfs", "/dev", "tmpfs", kernel.MS_NOSUID | kernel.MS_NOEXEC, options)
    for name, descriptor in devices.items():
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666))
        kernel.mount(f"/proc/self/fd/{descriptor}", f"/dev/{name}", flags=kernel.MS_BIND)
        # It is the host's node: it can be written to, but not changed.
        kernel.bind_read_only(f"/dev/{name}")
    for name, rest in _LINKS.items():
        os.symlink(f"/proc/self/fd{rest}", f"/dev/{name}")
    os.mkdir(_SHARED_MEMORY)
    if target is not None:
        os.mkdir(TARGET)
        source = f"/proc/self/fd/{target}"
        kernel.mount(source, TARGET, flags=kernel.MS_BIND | kernel.MS_REC)


def _mount_shared_memory() -> None:
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", _SHARED_MEMORY, "tmpfs", flags, "mode=1777,size=64m")


def _run(wanted: Run, world: int, machine_filter: bytes) -> Ended:
    try:
        return _run_once(wanted, world, machine_filter)
    finally:
        # Leftovers of one run in shared memory must not reach the next. (Unmounting takes longer
        # than many a script, so it is only done when there is something.)
        status = os.stat(_SHARED_MEMORY)
        plain = (status.st_mode, status.st_uid, status.st_gid) == (stat.S_IFDIR | 0o1777, 0, 0)
        if os.listdir(_SHARED_MEMORY) or not plain:
            kernel.unmount(_SHARED_MEMORY, kernel.MNT_DETACH)
            _mount_shared_memory()


def _run_once(wanted: Run, world: int, machine_filter: bytes) -> Ended:
    if wanted.script is not None:
        descriptor = os.open(SCRIPT, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o755)
        with open(descriptor, "wb") as file:
            file.write(wanted.script)
    output, written = os.pipe()
    failure, failed = os.pipe()
    child = os.fork()
    if child == 0:
        _become(wanted, written, failed, world, machine_filter)
    os.close(written)
    os.close(failed)
    try:
        text, status, timed_out, memory_exceeded = _collect(child, output, wanted.timeout_seconds)
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
    return Ended(status, text, timed_out=timed_out, memory_exceeded=memory_exceeded)


def _become(wanted: Run, written: int, failed: int, world: int, machine_filter: bytes) -> None:
    """In the child: the program's surroundings, then the program; never returns."""
    try:
        os.setsid()
        # The tree stays the server's mounts. Those of the program's own namespace cannot be reached
        # from it, so that /proc lists none: they would tell where the cache is.
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC)
        os.fchdir(world)
        os.chroot(".")
        kernel.drop_bounding_set(_KEPT_CAPABILITIES, _LAST_CAPABILITY)
        limits.confine_program()
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
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        install_filter(machine_filter)
        os.execve(wanted.argv[0], wanted.argv, wanted.env)  # noqa: S606 - the point of it all
    except OSError as error:
        os.write(failed, b"%d" % (error.errno or 0))
    finally:
        os._exit(127)


def _collect(child: int, output: int, timeout_seconds: float) -> tuple[bytes, int, bool, bool]:
    """What `child` writes until it ends, its status, whether its time, or the memory, was over.

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
    timed_out = memory_exceeded = False
    looked = time.monotonic()
    try:
        while True:
            left = min(deadline - time.monotonic(), _LOOK_SECONDS)
            ready = {number for number, _ in watch.poll(max(0.0, left) * 1000)}
            if time.monotonic() - looked >= _LOOK_SECONDS:
                memory_exceeded = _memory_bytes() > limits.MEMORY_BYTES
                looked = time.monotonic()
            if output in ready and not text.read(output):
                watch.unregister(output)
            if ended in ready:
                break
            if time.monotonic() >= deadline and not ready:
                timed_out = True
            if timed_out or memory_exceeded:
                break
    finally:
        os.close(ended)
    if timed_out or memory_exceeded:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    while text.read(output):
        pass
    return text.value(), os.waitstatus_to_exitcode(status), timed_out, memory_exceeded


def _memory_bytes() -> int:
    """The memory of all programs of the tree together, without what they have from files.

    Of ``/proc/PID/statm`` fields 2 and 3 count resident pages, and those of files among them.
    """
    pages = 0
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{name}/statm", "rb") as file:
                    words = file.read().split()
                pages += int(words[1]) - int(words[2])
    return pages * resource.getpagesize()


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
