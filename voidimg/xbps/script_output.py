"""What the output of a script says: lines for people, warnings, and signs that it broke down. Pure.

Void's generated scripts end with status 0 when a trigger in them failed, so a status alone does not
say that a script did its work; its words say more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from voidimg.terminal_text import printable

MAX_LINES = 200
"""Of more lines the first and the last half are kept."""

MAX_LINE = 1000
"""Characters of a line that are kept."""

MAX_WARNINGS = 20
"""Of one run of a script."""

_LINE_END = re.compile(r"\r\n|\n|\r")
_WARNING = re.compile(r"\s*(?:error|warning|failed)\b", re.IGNORECASE)
_NO_TRIGGER = re.compile(
    r".*(?:usr/libexec/xbps-|var/db/xbps/)triggers/\S+: "
    r"(?:not found|no such file or directory|permission denied)",
    re.IGNORECASE,
)
_EXHAUSTED = "|".join(
    (
        "resource temporarily unavailable",
        "cannot allocate memory",
        "out of memory",
        "(?:virtual )?memory exhausted",
        "too many open files(?: in system)?",
        "no file descriptors available",
        "no space left on device",
        "disk quota exceeded",
        "quota exceeded",
        "file too large",
        "i/o error",
        "input/output error",
        "(?:cannot|can't) fork",
        "fork failed",
        "fork: retry",
        "pipe call failed",
        "out of space",
        r"cannot allocate \d+ bytes(?: \(.*\))?",
    )
)
"""What the C libraries of Void say when a resource runs out, and what shells say of a fork."""

_BROKE_DOWN = re.compile(
    rf"(?:.*(?:: |\] |\())?(?:{_EXHAUSTED})\)?[.!]?(?:[:,] .*)?", re.IGNORECASE
)
"""As strerror(3) texts stand in messages: behind a colon or a number in brackets, at the end."""

_DEATH = (
    "Killed|Segmentation fault|Bus error|Illegal instruction|Aborted|Bad system call"
    "|File size limit exceeded|CPU time limit exceeded|Floating point exception"
)
_KILLED = re.compile(
    rf"(?:\S+: (?:line )?\d+:\s+(?:\d+ )?)?(?:{_DEATH})(?:\s*\(core dumped\))?(?:\s{{2,}}.*)?"
    r"|qemu: uncaught target signal \d+ .*"
)
"""What shells, and emulators, write when a program that they started was killed."""


@dataclass(frozen=True, slots=True)
class Speech:
    """The output of a script in lines that are safe to show.

    Attributes:
        lines: the first and last ones, cut; no control characters.
        left_out: how many lines in the middle are not among them.
        warnings: what begins with error, warning or failed.
        absent: triggers that are not there; before a first package is unpacked none is.
        breakdowns: what says that a resource ran out or that a program was killed.
    """

    lines: tuple[str, ...]
    left_out: int
    warnings: tuple[str, ...]
    absent: tuple[str, ...]
    breakdowns: tuple[str, ...]

    @property
    def last_words(self) -> str:
        """The last lines, as they stand in the sentence of an error."""
        return " / ".join(line.strip() for line in self.lines[-5:])[-_SENTENCE:]


_SENTENCE = 2000


def hear(output: str) -> Speech:
    """What `output` says; a carriage return ends a line too, as progress bars use it."""
    lines = [line.rstrip() for line in _LINE_END.split(output)]
    spoken = [line for line in lines if line.strip()]
    kept, left_out = spoken, 0
    if len(spoken) > MAX_LINES:
        half = MAX_LINES // 2
        kept, left_out = spoken[:half] + spoken[-half:], len(spoken) - MAX_LINES
    return Speech(
        tuple(_shown(line) for line in kept),
        left_out,
        _matching(spoken, (_WARNING,)),
        _matching(spoken, (_NO_TRIGGER,)),
        _matching(spoken, (_BROKE_DOWN, _KILLED), whole=True),
    )


def _matching(
    lines: list[str], patterns: tuple[re.Pattern[str], ...], *, whole: bool = False
) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for line in lines:
        short = line[:MAX_LINE]
        if any(one.fullmatch(short) if whole else one.match(short) for one in patterns):
            found[_shown(line)] = None
    if len(found) <= MAX_WARNINGS:
        return tuple(found)
    first = list(found)[:MAX_WARNINGS]
    return (*first, f"... and {len(found) - MAX_WARNINGS} more lines like these")


def _shown(line: str) -> str:
    cut = line if len(line) <= MAX_LINE else line[:MAX_LINE] + " ..."
    return printable(cut)
