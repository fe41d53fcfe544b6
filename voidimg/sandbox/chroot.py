"""Runs programs of a tree with the tree as their whole world: no host path, no network.

Used inside `namespace.call`. What such a program sees: the tree as ``/``, a /proc of its own
processes with the host's settings read-only, a /dev of six devices, empty /sys, no network, no
other processes, a fixed environment. What it starts in the background ends with it.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from voidimg.errors import SandboxError, ScriptError
from voidimg.programs import SEARCH_PATH
from voidimg.sandbox import binfmt, jail, limits
from voidimg.sandbox.frames import Channel

_EXECUTION = (
    "is the file system of --cache mounted noexec? choose another --cache, or mount it with exec; "
    "else the package brings the program without a mode that lets it be run"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A program of the tree that ended.

    `status` is its exit status, or -N when signal N killed it. `output` is what it wrote to
    standard output and error; of more than `jail.OUTPUT_BYTES` bytes the middle is left out.
    """

    argv: tuple[str, ...]
    status: int
    output: bytes

    @property
    def text(self) -> str:
        """The output as text; bytes that are not UTF-8 are replaced."""
        return self.output.decode("utf-8", "replace")


class Chroot:
    """A tree whose programs can be run; a context manager that ends its server process.

    With `bootstrap` that other tree is ``/`` and `root` is only the working directory: for the
    scripts that must run before anything of `root` has been unpacked.

    Args:
        root: the tree; /dev and /proc are made in ``/`` if they are missing.
        arch: XBPS architecture of the programs.
        bootstrap: another tree that has a shell.
        epoch: SOURCE_DATE_EPOCH of the programs, seconds since 1970.

    Raises:
        SandboxError: the architecture cannot be emulated, or a mount was refused.
        ToolError: the emulator is not installed.
    """

    def __init__(self, root: Path, arch: str, bootstrap: Path | None = None, *, epoch: int = 0):
        binfmt.register(arch)
        self.root = root
        self.arch = arch
        self.bootstrap = bootstrap
        self.environment = {
            "PATH": SEARCH_PATH,
            "HOME": "/",
            "LC_ALL": "C",
            "TZ": "UTC",
            "TERM": "dumb",
            "SOURCE_DATE_EPOCH": str(epoch),
            # Byte code that pycompile triggers write must not depend on chance.
            "PYTHONHASHSEED": "0",
        }
        ours, theirs = socket.socketpair()
        self._server = jail.start(
            theirs,
            root if bootstrap is None else bootstrap,
            None if bootstrap is None else root,
        )
        theirs.close()
        self._channel = Channel(ours)
        try:
            jail.write_ids(self._server, self._channel, self.root)
            self._answer()
        except SandboxError:
            self.close()
            raise

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        cwd: str | None = None,
        script: bytes | None = None,
        timeout_seconds: float = 3600,
    ) -> Outcome:
        """Run a program of the tree to its end.

        Args:
            argv: program (an absolute path in the tree) and arguments; the argument
                `jail.SCRIPT` stands for a file that holds `script`.
            env: variables added to the fixed environment.
            stdin: what the program reads; nothing by default.
            cwd: working directory; ``/``, or the target of a bootstrap tree.
            script: content of the file `jail.SCRIPT`.
            timeout_seconds: after this time everything is killed.

        Raises:
            SandboxError: the program cannot be started: missing, without its loader, or of a
                machine that nobody emulates.
            ScriptError: the time is over (``TIME``), or something else ran out (``STARVED``): what
                it left would depend on this host.
        """
        wanted = jail.Run(
            argv=tuple(argv),
            env={**self.environment, **(env or {})},
            stdin=stdin,
            cwd=cwd or ("/" if self.bootstrap is None else jail.TARGET),
            script=script,
            timeout_seconds=timeout_seconds,
        )
        before = limits.pressure()
        self._channel.send(jail.RUN, wanted)
        ended = cast("jail.Ended", self._answer())
        if ended.failure is not None:
            raise SandboxError(
                f"cannot run {argv[0]} in the tree: {os.strerror(ended.failure)}",
                code="EXEC",
                where=argv[0],
                hint=_EXECUTION
                if ended.failure in (errno.EACCES, errno.EPERM)
                else "the program, its loader or libraries are missing, or are of another "
                f"architecture than {self.arch}",
            )
        if ended.timed_out:
            raise ScriptError(
                f"{argv[0]} did not end within {timeout_seconds:g} seconds",
                code="TIME",
                where=argv[0],
                output=ended.output.decode("utf-8", "replace"),
            )
        if ended.memory_exceeded:
            raise _starved(argv[0], f"more than {limits.MEMORY_BYTES} bytes of memory", ended)
        after = limits.pressure()
        if after != before:
            refused = sorted(dict(set(after) - set(before)))
            raise _starved(argv[0], f"the control group refused: {', '.join(refused)}", ended)
        return Outcome(tuple(argv), ended.status, ended.output)

    def first_program(self, paths: Sequence[str]) -> str | None:
        """The first of `paths` that can be run in the tree; None when none of them is there.

        Raises:
            SandboxError: some are there, but none can be run.
        """
        self._channel.send(jail.FIND, tuple(paths))
        found, there = cast("tuple[str | None, str | None]", self._answer())
        if found is None and there is not None:
            raise SandboxError(
                f"{there} is in the tree but cannot be run",
                code="NOT-EXECUTABLE",
                where=there,
                hint=_EXECUTION,
            )
        return found

    def close(self) -> None:
        """End the server and whatever still runs in the tree."""
        self._channel.close()
        if self._server:
            os.waitpid(self._server, 0)
            self._server = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self) -> object:
        frame = self._channel.receive()
        if frame is None:
            raise SandboxError(
                f"the sandbox of {self.root} ended unexpectedly",
                code="DIED",
                where=str(self.root),
            )
        kind, value = frame
        if kind == jail.REFUSED:
            raise cast("SandboxError", value)
        return value


def _starved(program: str, what: str, ended: jail.Ended) -> ScriptError:
    return ScriptError(
        f"a resource ran out, or a program was killed, while {program} ran: {what}",
        code="STARVED",
        where=program,
        hint="scripts get the same limits everywhere; give the host or the container more memory"
        " and processes, or leave out the package",
        output=ended.output.decode("utf-8", "replace"),
    )
