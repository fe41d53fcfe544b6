"""What programs of a tree may use of the host, and what a build needs of its caller's limits.

Scripts get the same limits everywhere, whatever the caller's are: what runs out in one place and
not in another would decide what is built. A caller that is allowed less is told before work starts.
"""

from __future__ import annotations

import functools
import os
import re
import resource
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import SandboxError

_INFINITY = resource.RLIM_INFINITY
_GIB = 2**30
_DAY = 86400

PROCESSES = 1024
"""Processes and threads of a tree at once, all its users together."""
MEMORY_BYTES = 4 * _GIB
"""Memory of all programs of a tree together, without what they read from files."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of setrlimit(2): `scripts` is what programs of a tree get, soft and hard.

    `needed` is the least that the caller's hard limit must be; `letter` is ulimit's.
    """

    words: str
    letter: str
    scripts: int
    needed: int


LIMITS: Mapping[int, Limit] = {
    resource.RLIMIT_NPROC: Limit("processes", "u", PROCESSES, PROCESSES),
    resource.RLIMIT_NOFILE: Limit("open files", "n", 1024, 1024),
    resource.RLIMIT_FSIZE: Limit("bytes in a file", "f", 16 * _GIB, 64 * _GIB),
    resource.RLIMIT_AS: Limit("bytes of address space", "v", _INFINITY, 32 * _GIB),
    resource.RLIMIT_DATA: Limit("bytes of data", "d", MEMORY_BYTES, 16 * _GIB),
    resource.RLIMIT_RSS: Limit("bytes in memory", "m", _INFINITY, 0),
    resource.RLIMIT_STACK: Limit("bytes of stack", "s", 8 * 2**20, 8 * 2**20),
    resource.RLIMIT_CPU: Limit("seconds of processor time", "t", _DAY // 6, _DAY),
    resource.RLIMIT_CORE: Limit("bytes of a core dump", "c", 0, 0),
    resource.RLIMIT_MEMLOCK: Limit("bytes of locked memory", "l", 64 * 2**10, 0),
    resource.RLIMIT_SIGPENDING: Limit("pending signals", "i", 1024, 1024),
    resource.RLIMIT_MSGQUEUE: Limit("bytes in message queues", "q", 819200, 0),
    resource.RLIMIT_NICE: Limit("priority", "e", 0, 0),
    resource.RLIMIT_RTPRIO: Limit("real-time priority", "r", 0, 0),
}
"""`needed` is for the build itself too: an image, its compression, an emulator's address space."""

_FEW_PROCESSES = 64 * PROCESSES
"""A hard limit below this may be used up by what the user runs beside: it is looked at."""
_CGROUP_PROCESSES = 128
"""What must be left of a control group's processes: a build has some dozens at once."""
_CGROUP_BYTES = 512 * 2**20


def check(limits: Mapping[int, tuple[int, int]] | None = None) -> None:
    """Raise for limits of this process under which a build could not be what it is elsewhere.

    Args:
        limits: soft and hard limit by number, this process's by default.

    Raises:
        SandboxError: ``LIMITS``, a hard limit or the control group allows too little.
    """
    for number, limit in LIMITS.items():
        hard = (limits or {}).get(number, resource.getrlimit(number))[1]
        if hard == _INFINITY:
            continue
        if hard < limit.needed:
            raise _too_low(limit, hard)
        if number == resource.RLIMIT_NPROC and hard < _FEW_PROCESSES and os.getuid() != 0:
            used = _own_tasks()
            if hard - used < limit.needed:
                raise _too_low(limit, hard, f", of which {used} are used")
    if limits is None:
        _check_control_groups()


def _too_low(limit: Limit, hard: int, more: str = "") -> SandboxError:
    return SandboxError(
        f"the caller's limit is {hard} {limit.words}{more}, and a build needs {limit.needed}",
        code="LIMITS",
        where=f"ulimit -H{limit.letter}",
        hint="raise the hard limit where it was set: in the shell that starts voidimg, in"
        " /etc/security/limits.conf, in the service, or by --ulimit of the container",
    )


def raise_soft() -> None:
    """Raise every soft limit of this process to the hard one; ours alone, not a script's."""
    for number in LIMITS:
        soft, hard = resource.getrlimit(number)
        # A stack without a limit changes where the kernel puts everything else.
        if soft != hard and number not in (resource.RLIMIT_STACK, resource.RLIMIT_CORE):
            with suppress(OSError, ValueError):
                resource.setrlimit(number, (hard, hard))


def confine_tree() -> None:
    """Limit the processes of the user namespace that is made next, whoever they belong to.

    Before Linux 5.14 all processes of the user count, also those outside: there is no such limit.
    """
    if _kernel_version() >= (5, 14):
        _set(resource.RLIMIT_NPROC, PROCESSES)


def confine_program() -> None:
    """Give this process, just before it becomes a program of a tree, the known limits."""
    for number, limit in LIMITS.items():
        if number != resource.RLIMIT_NPROC:
            _set(number, limit.scripts)


def _set(number: int, value: int) -> None:
    hard = resource.getrlimit(number)[1]
    # `check` has seen to it that this is only less where nobody notices.
    chosen = value if hard == _INFINITY else hard if value == _INFINITY else min(value, hard)
    resource.setrlimit(number, (chosen, chosen))


def _kernel_version() -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _own_tasks() -> int:
    count = 0
    for directory in Path("/proc").iterdir():
        if not directory.name.isdecimal():
            continue
        with suppress(OSError):  # it has just ended
            if directory.stat().st_uid == os.getuid():
                count += len(list((directory / "task").iterdir()))
    return count


# --- control groups: read, never written ---

_CGROUPS = Path("/sys/fs/cgroup")


def _groups() -> Iterator[Path]:
    """The directories of this process's control groups that may bound processes and memory."""
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "pids", "memory"):
            base = _CGROUPS / controllers if controllers else _CGROUPS
            directory = base / path.lstrip("/")
            while True:
                if directory.is_dir():
                    yield directory
                if directory == base or base not in directory.parents:
                    break
                directory = directory.parent


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):  # "max", or not there
        return None


def _check_control_groups() -> None:
    for directory in _groups():
        most, now = _number(directory / "pids.max"), _number(directory / "pids.current")
        if most is not None and now is not None and most - now < _CGROUP_PROCESSES:
            raise SandboxError(
                f"the control group allows {most} processes, of which {now} are used, and a build"
                f" needs {_CGROUP_PROCESSES} more",
                code="LIMITS",
                where=str(directory / "pids.max"),
                hint="raise it: TasksMax= of the service, or --pids-limit of the container",
            )
        memory = _number(directory / "memory.max")
        if memory is not None and memory < _CGROUP_BYTES:
            raise SandboxError(
                f"the control group allows {memory} bytes of memory, and a build needs"
                f" {_CGROUP_BYTES}",
                code="LIMITS",
                where=str(directory / "memory.max"),
                hint="raise it: MemoryMax= of the service, or --memory of the container",
            )


def pressure() -> tuple[tuple[str, int], ...]:
    """How often the control groups have refused a process, or killed one for want of memory."""
    found = []
    for path, wanted in _event_files():
        with suppress(OSError, ValueError):
            for line in path.read_text("ascii").splitlines():
                word, _, count = line.partition(" ")
                if word == wanted:
                    found.append((f"{path}: {word}", int(count)))
    return tuple(found)


@functools.cache
def _event_files() -> tuple[tuple[Path, str], ...]:
    events = (("pids.events", "max"), ("memory.events", "oom_kill"))
    return tuple(
        (directory / name, word)
        for directory in _groups()
        for name, word in events
        if (directory / name).exists()
    )
