"""The one door to programs of the host: fixed environment, closed input, errors that explain.

None of them can ask anybody: input is what we give or nothing, and a session of their own has no
terminal that they could open as ``/dev/tty``.

Target code is never started here, nor what reads foreign bytes: that is `voidimg.sandbox`.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voidimg.arguments import Argument, spelled
from voidimg.errors import ToolError
from voidimg.host_packages import this_host
from voidimg.programs import SEARCH_PATH, program_path

FIXED_ENVIRONMENT = {"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
"""What every program of the host has in its environment, and of ours nothing."""


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
    argv: Sequence[Argument],
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
    with spelled(argv[1:], cwd) as (arguments, inherited):
        ended = subprocess.run(
            [program, *arguments],
            env={**FIXED_ENVIRONMENT, **(env or {})},
            input=stdin,
            cwd=cwd,
            capture_output=True,
            check=False,
            start_new_session=True,
            pass_fds=inherited,
        )
    stderr = ended.stderr.decode("utf-8", "replace")
    if ended.returncode not in good:
        raise ToolError(
            f"{words[0]} {ending(ended.returncode)}: {last_lines(stderr or _text(ended.stdout))}",
            code="FAILED",
            where=words[0],
            hint=f"the command was: {shlex.join(words)[:2000]}",
        )
    return Completed(tuple(words), ended.returncode, ended.stdout, stderr)


def ending(status: int) -> str:
    """How a program ended, in words that follow its name."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"failed with status {status}"


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace")


def last_lines(text: str, count: int = 5) -> str:
    """The last `count` lines of what a program said, as one."""
    return " / ".join(text.strip().splitlines()[-count:]) or "it gave no reason"
