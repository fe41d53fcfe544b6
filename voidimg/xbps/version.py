"""The order of versions, as libxbps 0.60.7 defines it (its dewey comparison).

A version is cut into integers from the left: a run of digits is its value; the words ``alpha``,
``beta``, ``pre``, ``rc`` and ``pl`` (any case) and the dot are -3, -2, -1, -1, 0 and 0; any other
ASCII letter is two integers, 0 and its place in the alphabet; ``_`` starts the revision and adds
nothing; every other character is skipped. Missing integers count as 0; the first difference
decides, then the revision. So ``1.0`` equals ``1``, ``1a`` equals ``1.1`` and
``1.0rc1`` < ``1.0`` < ``1.0_1``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import zip_longest
from typing import Literal, TypeAlias

Order = Literal[-1, 0, 1]

# re.ASCII also keeps IGNORECASE from matching the Kelvin sign and its like.
_TOKEN = re.compile(
    r"(?P<number>[0-9]+)|(?P<word>alpha|beta|pre|rc|pl|\.)|_(?P<revision>[0-9]*)|(?P<letter>[a-z])",
    re.ASCII | re.IGNORECASE,
)
_WORDS = {"alpha": -3, "beta": -2, "pre": -1, "rc": -1, "pl": 0, ".": 0}

# Numbers are a C int in libxbps and wrap at 32 bits. 10**32 is a multiple of 2**32, so the last
# 32 digits give the same remainder, however long a hostile version is.
_WRAP = 0xFFFF_FFFF
_DIGITS_THAT_COUNT = 32


def _number(digits: str) -> int:
    return int(digits[-_DIGITS_THAT_COUNT:] or "0") & _WRAP


@lru_cache(maxsize=1 << 16)
def components(version: str) -> tuple[tuple[int, ...], int]:
    """`version` as the integers that are compared, without zeros at the end, and its revision."""
    values: list[int] = []
    revision = 0
    for token in _TOKEN.finditer(version):
        match token.lastgroup:
            case "number":
                values.append(_number(token[0]))
            case "word":
                values.append(_WORDS[token[0].lower()])
            case "revision":
                revision = _number(token["revision"])
            case _:
                values += (0, ord(token[0].lower()) - ord("a") + 1)
    while values and values[-1] == 0:
        values.pop()
    return tuple(values), revision


def compare(a: str, b: str) -> Order:
    """-1, 0 or 1 as `a` is lower than, equal to or higher than `b`.

    Both are versions, or both are pkgvers of one name. Equal does not mean the same text.

    >>> compare("1.0_9", "1.0_10"), compare("1.0", "1"), compare("1.0rc1", "1.0")
    (-1, 0, -1)
    """
    if a == b:
        return 0
    left, left_revision = components(a)
    right, right_revision = components(b)
    for x, y in zip_longest(left, right, fillvalue=0):
        if x != y:
            return -1 if x < y else 1
    if left_revision == right_revision:
        return 0
    return -1 if left_revision < right_revision else 1


SortKey: TypeAlias = tuple[int, ...]
"""What `sort_key` gives; only its order means anything."""


@lru_cache(maxsize=1 << 16)
def sort_key(version: str) -> SortKey:
    """A key that puts versions in the order of `compare`; equal versions have equal keys.

    Zeros are left out, and what is left says where it stands: of two positive numbers the one
    that stands earlier makes the higher version, of two negative ones the lower.
    """
    values, revision = components(version)
    key: list[int] = []
    for place, value in enumerate(values):
        if value > 0:
            key += (1, -place, value)
        elif value < 0:
            key += (-1, place, value)
    return (*key, 0, revision)
