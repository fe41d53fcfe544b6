"""Runs QEMU so that nothing of it is left behind, whatever happens to us.

Console and QMP are socket pairs: no port, no name in the file system. Files made for a boot
have no name either; QEMU opens them through our ``/proc/<pid>/fd``. QEMU itself is killed by the
kernel when the thread that started it ends.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from voidimg.atomic import path_of
from voidimg.errors import storing
from voidimg.run import find_program, run
from voidimg.sandbox.confined import run_bounded
from voidimg.spec.smoke_model import DtbEdit

_DIE_WITH_PARENT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL; kept across exec
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""
_TERMINATE_SECONDS = 5.0
_COMPLAINT_BYTES = 2**16
_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
"""QEMU's own filter of system calls: a guest that breaks out of the machine starts nothing."""


class NamelessFile:
    """A temporary file without a name; its `path` is valid in other programs until it is closed."""

    def __init__(self, directory: Path, content: bytes = b""):
        with storing(directory, "write into"):
            directory.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115
            self._file.write(content)
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def path(self) -> Path:
        """How QEMU and other tools can open it."""
        return path_of(self._file.fileno())


def make_overlay(base: Path, size_bytes: int, overlay: Path) -> None:
    """Make `overlay` a qcow2 of `size_bytes` over the raw image `base`, which is never written.

    Raises:
        ToolError: qemu-img is missing or failed.
    """
    # -u: the base is not even opened, so nothing foreign is read here. Its path is a text: the
    # overlay keeps it, and QEMU opens it later.
    words = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", str(base)]
    run([*words, overlay, str(size_bytes)])


def medium_bytes(image_bytes: int) -> int:
    """The size of the medium for an image: the next power of two above it and a quarter of it.

    The controllers of SD cards want a power of two, and a root filesystem that grows is only seen
    to grow on a medium that is clearly larger than the image.
    """
    return int(1 << (image_bytes + image_bytes // 4).bit_length())


def edit_dtb(dtb: Path, edits: Sequence[DtbEdit]) -> None:
    """Set the properties (strings) of `edits` in the device tree `dtb`.

    Raises:
        ToolError: fdtput is missing, or there is no such node.
    """
    for edit in edits:
        words: list[str | Path] = [
            "fdtput",
            "-t",
            "s",
            "--",
            dtb,
            edit.node,
            edit.property,
            edit.value,
        ]
        run_bounded(words, max_bytes=_COMPLAINT_BYTES, seconds=10.0, writes=[dtb])


class Emulator:
    """A running QEMU.

    `console` is the descriptor of the guest's first serial port, `control` the socket of QMP.
    """

    def __init__(
        self,
        program: subprocess.Popen[bytes],
        console: int,
        control: socket.socket,
        errors: IO[bytes],
    ):
        self._program = program
        self._errors = errors
        self.console = console
        self.control = control

    @property
    def pid(self) -> int:
        """QEMU's process."""
        return self._program.pid

    def wait(self, seconds: float) -> int | None:
        """QEMU's exit status, or None when it still runs after `seconds`."""
        try:
            return self._program.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return None

    def complaints(self) -> str:
        """What QEMU wrote to its standard error."""
        self._errors.seek(0)
        return self._errors.read(_COMPLAINT_BYTES).decode("utf-8", "replace").strip()

    def stop(self) -> None:
        """End QEMU, at once if it does not by itself."""
        if self._program.poll() is None:
            self._program.terminate()
        try:
            self._program.wait(_TERMINATE_SECONDS)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()


@contextmanager
def started(program: str, arguments: Sequence[str]) -> Iterator[Emulator]:
    """QEMU `program` with `arguments`, running while this lasts.

    Raises:
        ToolError: it is not installed.
    """
    path = find_program(program)
    with ExitStack() as ours, tempfile.TemporaryFile() as errors:
        with ExitStack() as theirs:
            words: list[str | Path] = [path, *arguments]
            channels = []
            for name in ("console", "control"):
                near, far = socket.socketpair()
                channels.append((ours.enter_context(near), theirs.enter_context(far)))
                words += ["-chardev", f"socket,id={name},fd={far.fileno()},server=off"]
            words += ["-serial", "chardev:console", "-mon", "chardev=control,mode=control"]
            words += ["-sandbox", _SANDBOX]
            launcher = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid())]
            child = subprocess.Popen(
                [*launcher, *words],
                pass_fds=[far.fileno() for _, far in channels],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                start_new_session=True,
            )
        console, control = (near for near, _ in channels)
        emulator = Emulator(child, console.fileno(), control, errors)
        try:
            yield emulator
        finally:
            emulator.stop()
