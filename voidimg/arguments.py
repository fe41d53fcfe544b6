r"""Spells paths so that no program of the host takes a letter of them for something else.

mtools replaces ``$NAME`` by variables and ``\`` by nothing and reads an offset behind ``@@``;
e2fsprogs reads options behind the first ``?``; some copy a name into a field of fixed length.
There is no way to quote in them. So a path with anything but plain letters is opened here, and the
program, which inherits the descriptor, gets ``/proc/self/fd/N`` for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_PLAIN = re.compile(r"[A-Za-z0-9_./+][A-Za-z0-9_./+:-]*", re.ASCII)
_MAX_PLAIN, _SHORT = 255, 64
_OPEN = os.O_PATH | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Inside:
    """A file with what a program is told of a place in it: ``IMAGE?offset=N``, ``IMAGE@@N``."""

    path: Path
    place: str

    def __str__(self) -> str:
        """The two as one word."""
        return f"{self.path}{self.place}"


Argument = str | Path | Inside
"""A word of a command line. A path whose name the program keeps is given as text."""


@contextmanager
def spelled(
    words: Sequence[Argument], cwd: Path | None = None
) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """The words of a command line, and the descriptors that its program must inherit meanwhile.

    A path that is not there yet is spelled by its directory. One whose directory is not there
    either stays as it is: the program will say so.

    Args:
        words: program and arguments.
        cwd: what relative paths are relative to; by default the working directory.
    """
    with ExitStack() as open_files:
        held: list[int] = []
        spelling = [_spelled(word, cwd, held, open_files) for word in words]
        yield spelling, tuple(held)


def is_plain(path: str) -> bool:
    """Whether every program takes `path` as it is."""
    return len(path) <= _MAX_PLAIN and _PLAIN.fullmatch(path) is not None


def _spelled(word: Argument, cwd: Path | None, held: list[int], open_files: ExitStack) -> str:
    if isinstance(word, str):
        return word
    path, place = (word.path, word.place) if isinstance(word, Inside) else (word, "")
    text = str(path)
    if is_plain(text):
        return text + place
    found = _open(path if cwd is None else cwd / path)
    if found is None:
        return text + place
    descriptor, rest = found
    open_files.callback(os.close, descriptor)
    held.append(descriptor)
    return f"/proc/self/fd/{descriptor}{rest}{place}"


def _open(path: Path) -> tuple[int, str] | None:
    """A descriptor, and what follows it: nothing for the file itself, or the last name."""
    named = is_plain(path.name) and len(path.name) <= _SHORT
    if named or not os.path.lexists(path):
        try:
            return os.open(path.parent, _OPEN | os.O_DIRECTORY), f"/{path.name}"
        except OSError:
            return None
    try:
        descriptor = os.open(path, _OPEN)
    except OSError:
        return None
    # Programs that look whether it is a directory would see the link that /proc has instead.
    return descriptor, "/." if path.is_dir() else ""
