"""Runs programs of the host that read foreign bytes: an end to what they take, and little to reach.

Readers of filesystems were made for disks of one's own. A program that a hostile image has taken
over finds here: no network and no other socket, no file but its own libraries and what the caller
names, nothing to gain by setuid programs, no signal for others, and limits on memory, time and
files. What of this a kernel does not have is left out; the limits are everywhere.
"""

from __future__ import annotations

import functools
import os
import platform
import queue
import re
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from voidimg.arguments import Argument, spelled
from voidimg.errors import SandboxError, ToolError
from voidimg.programs import program_path
from voidimg.run import FIXED_ENVIRONMENT, Completed, ending, find_program, last_lines
from voidimg.sandbox import kernel
from voidimg.sandbox.landlock import restrict_thread
from voidimg.sandbox.seccomp import build_filter, install_filter
from voidimg.sandbox.system_calls import REFUSED_TO_READERS
from voidimg.units import format_size

_FOREIGN_BYTES = 4 * 2**30
"""Memory of such a program, and its largest file: no FAT has one above it."""
_SAID_BYTES = 2**16
_PROGRAMS = tuple(
    Path(name)
    for name in (
        "/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store", "/gnu/store",
        "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives",
    )
)  # fmt: skip
"""Where programs and their libraries are, on any distribution."""
_SETTINGS = tuple(
    Path(name)
    for name in (
        "/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/sys/devices/system/cpu/online",
        "/etc/localtime", "/etc/mtab", "/etc/mke2fs.conf", "/etc/e2fsck.conf",
        "/etc/mtools.conf", "/dev/zero", "/dev/urandom", "/dev/random",
    )
)  # fmt: skip
"""What they may read beside. The rest of ``/proc`` would show them the environment of others."""
_OWN_DESCRIPTOR = re.compile(r"/proc/(\d+)/fd/(\d+)")


@dataclass(frozen=True, slots=True)
class _Command:
    """A program with its arguments, and what it may reach."""

    argv: tuple[Argument, ...]
    reads: tuple[Path, ...]
    writes: tuple[Path, ...]
    seconds: float
    env: Mapping[str, str]

    @property
    def words(self) -> tuple[str, ...]:
        """The command as it was given, for people."""
        return tuple(str(word) for word in self.argv)


def run_bounded(
    argv: Sequence[Argument],
    *,
    max_bytes: int,
    seconds: float = 300.0,
    env: Mapping[str, str] | None = None,
    reads: Sequence[Path] = (),
    writes: Sequence[Path] = (),
) -> Completed:
    """Run a program that reads foreign bytes, as `run` does, but confined.

    Args:
        argv: program and arguments.
        max_bytes: most that it may write to its output.
        seconds: most that it may take.
        env: variables added to the fixed environment.
        reads: files and directories that it may read.
        writes: files that it may change, and directories in which it may make files.

    Raises:
        ToolError: the program is missing, failed, wrote more (``E-TOOL-TOO-MUCH``), or took longer.
    """
    command = _command(argv, seconds, env, reads, writes)
    with _started(command) as (process, errors):
        output = cast("IO[bytes]", process.stdout).read(max_bytes + 1)
        if len(output) > max_bytes:
            process.kill()
        process.wait()
        said = _said(errors)
    # A program may have ended well before it was stopped: what it wrote counts all the same.
    if len(output) > max_bytes:
        raise _failed(command, f"wrote more than {format_size(max_bytes)}", "TOO-MUCH")
    _check_ending(command, process.returncode, said or output.decode("utf-8", "replace"))
    return Completed(command.words, process.returncode, output, said)


@contextmanager
def streamed(
    argv: Sequence[Argument], *, seconds: float = 3600.0, reads: Sequence[Path] = ()
) -> Iterator[IO[bytes]]:
    """What a program that reads foreign bytes writes, as a stream while this lasts.

    It is confined as by `run_bounded`. A stream that is left before its end stops the program,
    which is no failure of it.

    Raises:
        ToolError: the program is missing, failed, or took longer than `seconds`.
    """
    command = _command(argv, seconds, None, reads, ())
    with _started(command) as (process, errors):
        output = cast("IO[bytes]", process.stdout)
        yield output
        at_end = not output.read(1)
        if at_end:
            process.wait()
        said = _said(errors)
    if at_end:
        _check_ending(command, process.returncode, said)


def _command(
    argv: Sequence[Argument],
    seconds: float,
    env: Mapping[str, str] | None,
    reads: Sequence[Path],
    writes: Sequence[Path],
) -> _Command:
    return _Command(tuple(argv), tuple(reads), tuple(writes), seconds, env or {})


@contextmanager
def _started(command: _Command) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """The program of `command`, and what it complains to; it ends with the block."""
    starter = _Starter(command)
    with tempfile.TemporaryFile() as errors, starter.started(errors) as process:
        timer = threading.Timer(command.seconds, process.kill)
        timer.start()
        try:
            yield process, errors
        finally:
            timer.cancel()
            process.kill()


class _Starter:
    """A thread that confines itself, starts a program, and stays until it has ended.

    Filters and rules belong to a thread, and what it starts has them too: so nothing has to run
    between fork and exec, where a program with threads may run hardly anything. And the program is
    killed by the kernel when this thread ends, be it by a SIGKILL for all of us.
    """

    def __init__(self, command: _Command):
        self._command = command
        self._program = find_program(command.words[0])
        self._ended = threading.Event()
        self._answer: queue.SimpleQueue[subprocess.Popen[bytes] | BaseException] = (
            queue.SimpleQueue()
        )

    @contextmanager
    def started(self, errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
        """The program, running while this lasts; its complaints go to `errors`."""
        thread = threading.Thread(target=self._start, args=(errors,), daemon=True)
        thread.start()
        try:
            answer = self._answer.get()
            if isinstance(answer, BaseException):
                raise answer
            with answer as process:
                yield process
        finally:
            self._ended.set()
            thread.join()

    def _start(self, errors: IO[bytes]) -> None:
        try:
            self._answer.put(self._popen(errors))
        except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for
            self._answer.put(error)
        self._ended.wait()

    def _popen(self, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        command = self._command
        environment = {**FIXED_ENVIRONMENT, **command.env}
        own = _home_of(self._program)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        with suppress(OSError):  # a kernel that has no filters, or a container that forbids them
            restrict_thread(
                programs=(*_PROGRAMS, *own),
                reads=(*_SETTINGS, *command.reads),
                writes=(Path(os.devnull), *command.writes),
            )
        if (program := _filter(platform.machine())) is not None:
            with suppress(OSError):
                install_filter(program)
        with spelled(command.argv[1:]) as (arguments, inherited):
            words, descriptors = _with_own_descriptors(arguments)
            argv = _limited([self._program, *words], command.seconds)
            return self._begun(argv, (*inherited, *descriptors), environment, errors)

    @staticmethod
    def _begun(
        argv: Sequence[str],
        inherited: Sequence[int],
        environment: Mapping[str, str],
        errors: IO[bytes],
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            env=environment,
            pass_fds=inherited,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=_directory(),
            start_new_session=True,
        )


def _directory() -> str | None:
    """Where a program begins: where we are, but not in a directory that is gone, which it tells."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return "/"
    return None


@functools.cache
def _filter(machine: str) -> bytes | None:
    """The filter of system calls for readers; None where nobody has written down their numbers."""
    try:
        return build_filter(machine, REFUSED_TO_READERS)
    except SandboxError:
        return None


def _home_of(program: str) -> tuple[Path, ...]:
    """The directories of a program that is installed in a place of its own, like ``/opt/x/bin``."""
    real = Path(os.path.realpath(program))
    if any(real.is_relative_to(place) for place in _PROGRAMS):
        return ()
    return (real.parent, *(real.parent.parent / name for name in ("lib", "lib64", "libexec")))


def _with_own_descriptors(words: Sequence[str]) -> tuple[list[str], list[int]]:
    """`words` with paths of our open files as the program itself has them, and their numbers.

    A confined program is not let look into us, so it cannot take the way through our directory of
    ``/proc``.
    """
    descriptors: list[int] = []

    def own(match: re.Match[str]) -> str:
        if int(match[1]) != os.getpid():
            return match[0]
        descriptors.append(int(match[2]))
        return f"/proc/self/fd/{match[2]}"

    return [_OWN_DESCRIPTOR.sub(own, word) for word in words], descriptors


def _limited(argv: Sequence[str], seconds: float) -> list[str]:
    """The command that runs `argv` under limits, and lets it end when the one who started it does.

    A shell sets them and becomes the program: set from here, they would come when a quick program
    has done its work already. Where the caller has lower ones, these stay.
    """
    limits = (
        f"-v {_FOREIGN_BYTES // 2**10}",
        f"-f {_FOREIGN_BYTES // 512}",
        f"-t {max(1, int(seconds))}",
        "-c 0",
        "-l 0",
    )
    set_all = "".join(f"ulimit {limit} 2>/dev/null;" for limit in limits)
    dying = [] if _setpriv() is None else [str(_setpriv()), "--pdeathsig", "KILL"]
    return [*dying, "/bin/sh", "-c", f'{set_all} exec "$@"', "sh", *argv]


@functools.cache
def _setpriv() -> str | None:
    """The setpriv of util-linux; one of another kind does not know the option."""
    program = program_path("setpriv")
    if program is None:
        return None
    words = [program, "--help"]
    asked = subprocess.run(words, check=False, capture_output=True, env=FIXED_ENVIRONMENT)
    return program if b"--pdeathsig" in asked.stdout else None


def _said(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read(_SAID_BYTES).decode("utf-8", "replace")


def _check_ending(command: _Command, status: int, said: str) -> None:
    if status != 0:
        raise _failed(command, f"{ending(status)}: {last_lines(said)}", "FAILED")


def _failed(command: _Command, what: str, code: str) -> ToolError:
    name = command.words[0]
    hint = f"the command was: {shlex.join(command.words)[:2000]}"
    return ToolError(f"{name} {what}", code=code, where=name, hint=hint)
