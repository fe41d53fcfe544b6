"""Starts a build, kills it at a chosen event, and finds what outlives it."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.command import arguments, environment

_SET_CHILD_SUBREAPER = 36
"""prctl(2)."""

_SECONDS = 10.0


def run_until(words: list[str | Path], kind: str, step: str, count: int, number: int) -> int:
    """Run `voidimg` and send it signal `number` at the `count`th event `kind` of `step`.

    Returns its exit status (as `subprocess` has it) once all its descendants are gone.
    """
    reading, writing = os.pipe()
    with _adopting() as orphans:
        process = subprocess.Popen(
            arguments("--events", f"/dev/fd/{writing}", *words),
            env=environment(),
            pass_fds=(writing,),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        os.close(writing)
        seen = 0
        with os.fdopen(reading) as events:
            for line in events:
                event = json.loads(line)
                seen += (event["event"], event.get("step")) == (kind, step)
                if seen == count:
                    process.send_signal(number)
                    break
            status = process.wait(_SECONDS)
        assert seen == count, f"{kind} {step!r} came {seen} times"
        _wait_for_end(orphans)
    return status


def kill_after(words: list[str | Path], seconds: float, env: Mapping[str, str]) -> int:
    """Run `voidimg` and send it SIGKILL after `seconds`; its status once all descendants are gone.

    It may have ended by itself before.
    """
    with _adopting() as orphans:
        process = subprocess.Popen(
            arguments(*words),
            env=environment(env),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
        status = process.wait(_SECONDS)
        _wait_for_end(orphans)
    return status


def _children() -> set[int]:
    return {
        int(word)
        for task in Path("/proc/self/task").iterdir()
        for word in (task / "children").read_text().split()
    }


@contextmanager
def _adopting() -> Iterator[set[int]]:
    """Become the parent of every orphaned descendant, so that none can escape being seen."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = _children()
    assert libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield before
    finally:
        libc.prctl(_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _wait_for_end(before: set[int]) -> None:
    """Every descendant ends by itself, soon: nobody here kills what is left."""
    deadline = time.monotonic() + _SECONDS
    while left := _children() - before:
        for pid in left:
            os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            commands = [Path(f"/proc/{pid}/cmdline").read_bytes()[:200] for pid in left]
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"still running: {commands}")
        time.sleep(0.01)


def mounts() -> list[str]:
    """The mounts of this process's namespace."""
    return sorted(Path("/proc/self/mountinfo").read_text().splitlines())


def users_of(directory: Path) -> list[str]:
    """Processes and loop devices that use something below `directory`, by mount or as a file."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "mountinfo").read_text().split()
            links = [os.readlink(link) for link in (process / "fd").iterdir()]
            links += [os.readlink(process / name) for name in ("cwd", "root")]
        except OSError:  # it has ended
            continue
        if any(text.startswith(str(directory)) for text in [*words, *links]):
            found.append(process.name)
    loops = Path("/sys/block").glob("loop*/loop/backing_file")
    return found + [str(loop) for loop in loops if loop.read_text().startswith(str(directory))]
