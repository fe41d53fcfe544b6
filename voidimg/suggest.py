"""Names the known words nearest to one that was not found."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_CLOSE = 0.6
VERY_CLOSE = 0.75
"""For long lists of words, where something is always near (difflib's ratio)."""


def nearest(word: str, known: Iterable[str], *, most: int = 1, ratio: float = _CLOSE) -> list[str]:
    """Up to `most` of the `known` words that are like `word`, the nearest first."""
    return difflib.get_close_matches(word, sorted(known), n=most, cutoff=ratio)


def did_you_mean(
    word: str, known: Iterable[str], *, most: int = 1, ratio: float = _CLOSE
) -> str | None:
    """A hint that names the known words nearest to `word`, if any is near.

    >>> did_you_mean("sshdd", ["sshd", "dhcpcd"])
    "did you mean 'sshd'?"
    """
    near = nearest(word, known, most=most, ratio=ratio)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else None
