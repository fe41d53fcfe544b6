"""Searches with the regular expression of a stranger, which may never end: elsewhere, with a limit.

Python's engine tries all ways to match, of which there may be more than atoms, and nothing can stop
it from within. So a process of its own searches, confined as readers of foreign bytes are; what is
plainly quick is searched here.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from voidimg.atomic import path_of
from voidimg.errors import SpecError, ToolError
from voidimg.sandbox.confined import run_bounded

_SECONDS = 10.0
_QUICK_CHARACTERS = 10_000
_UNBOUNDED = re.compile(r"[*+{]")
_SEARCH = """
import json, re, sys
with open(sys.argv[1], encoding="ascii") as file:
    pattern, flags, texts = json.load(file)
wanted = re.compile(pattern, flags)
print(next((number for number, text in enumerate(texts) if wanted.search(text)), -1))
"""


def first_match(
    pattern: str, texts: Sequence[str], *, multiline: bool = False, where: str
) -> int | None:
    """The number of the first of `texts` in which `pattern` is found.

    Args:
        pattern: a regular expression of Python, known to be one.
        texts: what is searched, one after the other.
        multiline: whether ``^`` and ``$`` match at every line of a text.
        where: what the pattern is part of, for the error.

    Raises:
        SpecError: it takes too long.
    """
    flags = re.MULTILINE if multiline else re.NOFLAG
    if _is_quick(pattern, texts):
        wanted = re.compile(pattern, flags)
        return next((number for number, text in enumerate(texts) if wanted.search(text)), None)
    with open(os.memfd_create("patterns"), "w", encoding="ascii") as file:
        json.dump([pattern, int(flags), list(texts)], file)
        file.flush()
        path = path_of(file.fileno())
        program = os.path.realpath(sys.executable)
        words: list[str | Path] = [program, "-I", "-S", "-c", _SEARCH, path]
        try:
            found = int(run_bounded(words, max_bytes=99, seconds=_SECONDS, reads=[path]).stdout)
        except ToolError as error:
            raise SpecError(
                f"the expression {pattern!r} takes more than {_SECONDS:.0f} s to search",
                code="REGEX-TIME",
                where=where,
                hint="repeat nothing that repeats itself, as (a+)+ does",
            ) from error
    return None if found < 0 else found


def _is_quick(pattern: str, texts: Sequence[str]) -> bool:
    """Whether so few ways to match are there that a short text is searched at once."""
    few = len(_UNBOUNDED.findall(pattern)) <= 1 and pattern.count("?") <= 2 and "(" not in pattern
    return few and all(len(text) <= _QUICK_CHARACTERS for text in texts)
