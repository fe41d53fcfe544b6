"""The one door to programs of the host: fixed environment, closed input, errors that explain.

None of them can ask anybody: input is what we give or nothing, and a session of their own has no
terminal that they could open as ``/dev/tty``.

Target code is never started here (that is `voidimg.sandbox`).
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from voidimg.errors import ToolError
from voidimg.host_packages import this_host
from voidimg.programs import SEARCH_PATH, program_path
from voidimg.units import format_size

_FOREIGN_BYTES = 4 * 2**30
"""Memory of a program that reads foreign bytes, and its largest file: no FAT has one above it."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ended: its exit status and what it wrote."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: str


def find_program(name: str) -> str:
    """The absolute path of `name`, looking into the sbin directories too.

    Raises:
        ToolError: it is not installed; the hint is the command of this host that installs it.
    """
    path = program_path(name)
    if path is None:
        raise ToolError(
            f"the program {name} is not installed",
            code="MISSING",
            where=name,
            hint=f"install it: {this_host().installing([name])}",
        )
    return path


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    cwd: Path | None = None,
    good: Sequence[int] = (0,),
) -> Completed:
    """Run `argv` to its end with a small fixed environment (C.UTF-8, UTC) plus `env`.

    Args:
        argv: program and arguments; the program is looked up by `find_program`.
        env: variables added to the fixed environment.
        stdin: what the program reads; nothing by default.
        cwd: working directory.
        good: exit statuses that count as success.

    Raises:
        ToolError: the program is missing, was killed, or ended with another status.
    """
    words = [str(word) for word in argv]
    program = find_program(words[0])
    environment = {"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC", **(env or {})}
    ended = subprocess.run(
        [program, *words[1:]],
        env=environment,
        input=stdin,
        cwd=cwd,
        capture_output=True,
        check=False,
        start_new_session=True,
    )
    stderr = ended.stderr.decode("utf-8", "replace")
    if ended.returncode not in good:
        raise ToolError(
            f"{words[0]} {_ending(ended.returncode)}: {_last_lines(stderr or _text(ended.stdout))}",
            code="FAILED",
            where=words[0],
            hint=f"the command was: {shlex.join(words)[:2000]}",
        )
    return Completed(tuple(words), ended.returncode, ended.stdout, stderr)


def run_bounded(
    argv: Sequence[str | Path],
    *,
    max_bytes: int,
    seconds: float = 300.0,
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run a program that reads foreign bytes, as `run` does, but with an end to what it takes.

    Beside its output and time its memory, its processor time and the files that it writes are
    limited: the readers of filesystems were made for disks that are one's own.

    Args:
        argv: program and arguments.
        max_bytes: most that it may write to its output.
        seconds: most that it may take.
        env: variables added to the fixed environment.

    Raises:
        ToolError: the program is missing, failed, wrote more (``E-TOOL-TOO-MUCH``), or took longer.
    """
    words = [str(word) for word in argv]
    program = find_program(words[0])
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            _limited([program, *words[1:]], seconds),
            env={"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        ) as process,
    ):
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        try:
            output = cast("IO[bytes]", process.stdout).read(max_bytes + 1)
            if len(output) > max_bytes:
                process.kill()
            process.wait()
        finally:
            timer.cancel()
            process.kill()
        errors.seek(0)
        said = errors.read(2**16).decode("utf-8", "replace")
    # A program may have ended well before it was stopped: what it wrote counts all the same.
    if process.returncode != 0 or len(output) > max_bytes:
        ending, code = f"{_ending(process.returncode)}: {_last_lines(said)}", "FAILED"
        if len(output) > max_bytes:
            ending, code = f"wrote more than {format_size(max_bytes)}", "TOO-MUCH"
        raise ToolError(
            f"{words[0]} {ending}",
            code=code,
            where=words[0],
            hint=f"the command was: {shlex.join(words)[:2000]}",
        )
    return Completed(tuple(words), process.returncode, output, said)


def _limited(argv: Sequence[str], seconds: float) -> list[str]:
    """The command that runs `argv` under the limits of programs that read foreign bytes.

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
    return ["/bin/sh", "-c", f'{set_all} exec "$@"', "sh", *argv]


@contextmanager
def streamed(argv: Sequence[str | Path], *, seconds: float = 3600.0) -> Iterator[IO[bytes]]:
    """What a program that reads foreign bytes writes, as a stream while this lasts.

    A stream that is left before its end stops the program, which is no failure of it.

    Raises:
        ToolError: the program is missing, failed, or took longer than `seconds`.
    """
    words = [str(word) for word in argv]
    program = find_program(words[0])
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            _limited([program, *words[1:]], seconds),
            env={"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as process,
    ):
        output = cast("IO[bytes]", process.stdout)
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        try:
            yield output
            at_end = not output.read(1)
            if at_end:
                process.wait()
        finally:
            timer.cancel()
            process.kill()
        errors.seek(0)
        said = errors.read(2**16).decode("utf-8", "replace")
    if at_end and process.returncode != 0:
        raise ToolError(
            f"{words[0]} {_ending(process.returncode)}: {_last_lines(said)}",
            code="FAILED",
            where=words[0],
            hint=f"the command was: {shlex.join(words)[:2000]}",
        )


def _ending(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"failed with status {status}"


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace")


def _last_lines(text: str, count: int = 5) -> str:
    return " / ".join(text.strip().splitlines()[-count:]) or "it gave no reason"
