"""Which of the indexes that mirrors serve is taken: the one on which most of them agree.

Nothing that a server says of its own index is proven: not when it was changed, how large it is or
how it is tagged. So only the bytes count, and between mirrors that serve different bytes their
number, then the order in which the user named them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ballot:
    """One index: the SHA-256 of its bytes and the mirrors that serve it, in the user's order."""

    sha256: str
    urls: tuple[str, ...]


def ballots(urls: Sequence[str], served: Mapping[str, str]) -> list[Ballot]:
    """The indexes that are served, best first.

    Args:
        urls: all mirrors in the user's order.
        served: mirror -> SHA-256 of its index, of those that answered.

    >>> [one.urls for one in ballots("abc", {"a": "1", "b": "2", "c": "2"})]
    [('b', 'c'), ('a',)]
    >>> [one.urls for one in ballots("abc", {"a": "1", "b": "2"})]
    [('a',), ('b',)]
    """
    by_content: dict[str, list[str]] = {}
    for url in urls:
        if url in served:
            by_content.setdefault(served[url], []).append(url)
    found = [Ballot(sha256, tuple(voters)) for sha256, voters in by_content.items()]
    return sorted(found, key=lambda one: -len(one.urls))  # stable: the user's order decides


def is_decided(served: Mapping[str, str], asked: int) -> bool:
    """Whether more than half of the `asked` mirrors agree, so that the others change nothing."""
    digests = list(served.values())
    return any(2 * digests.count(one) > asked for one in set(digests))
