"""Runs programs in fresh processes: how long they take, and the most memory any process has."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.command import environment

Program: TypeAlias = tuple[Path, Sequence[str | Path]]
"""What a program makes, and its words."""

_LAUNCHER = """
import os, sys, time
started = time.monotonic()
child = os.fork()
if not child:
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
print(time.monotonic() - started, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""
# A process counts the memory of the one that forked it as its own, so a small one does that.


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took: wall seconds, and the peak resident bytes of the largest process."""

    seconds: float
    peak_bytes: int

    @property
    def mebibytes(self) -> str:
        """The peak for people."""
        return f"{self.peak_bytes / 2**20:.0f} MiB"


def cost(*words: str | Path) -> Cost:
    """What running the program `words` takes; what it says is thrown away.

    Raises:
        RuntimeError: it failed.
    """
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *map(str, words)]
    done = subprocess.run(
        launcher, env=environment(), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    *_, last = done.stdout.splitlines()
    seconds, peak_kib, status = last.split()
    if status != "0":
        raise RuntimeError(f"{words[0]} failed: {done.stderr[-2000:]}")
    return Cost(float(seconds), int(peak_kib) * 1024)


def in_turn(programs: Sequence[Program], rounds: int = 3) -> list[Cost]:
    """The median seconds and the highest peak of each of `programs`, each with what it makes.

    They run in turn, so that a busy moment of the machine hits all alike. Each begins without its
    result of the round before, and with what others wrote on the disk.
    """
    runs: list[list[Cost]] = [[] for _ in programs]
    for _ in range(rounds):
        for costs, (made, words) in zip(runs, programs, strict=True):
            made.unlink(missing_ok=True)
            os.sync()
            costs.append(cost(*words))
    return [
        Cost(statistics.median(one.seconds for one in costs), max(one.peak_bytes for one in costs))
        for costs in runs
    ]
