"""What a request, dependency, conflict or replacement asks for: a name, a pkgver or a pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from voidimg.xbps.names import split_pkgver
from voidimg.xbps.pattern import is_pattern, matches, name_of


@dataclass(frozen=True, slots=True)
class Query:
    """A query string understood as libxbps does.

    `name` is the package name it is looked up under; None if none can be told (``*``).
    """

    text: str
    kind: Literal["name", "pkgver", "pattern"]
    name: str | None

    def matches(self, name: str, pkgver: str) -> bool:
        """Whether the package `name`, whose pkgver is `pkgver`, is meant."""
        if self.name != name:
            return False
        if self.kind == "pattern":
            return matches(pkgver, self.text)
        return self.kind == "name" or pkgver == self.text

    def matches_provided(self, element: str) -> bool:
        """Whether `element` of a ``provides`` array is meant.

        A pattern is tried on the whole element, whatever name it is looked up under.
        """
        if self.kind == "pattern":
            return matches(element, self.text)
        if self.kind == "pkgver":
            return element == self.text
        pkgver = split_pkgver(element)
        return pkgver is not None and pkgver.name == self.name

    def matches_any_provided(self, provides: Sequence[str]) -> bool:
        """Whether any element of the array `provides` is meant."""
        return any(map(self.matches_provided, provides))

    def __str__(self) -> str:
        """The query as written."""
        return self.text


@lru_cache(maxsize=1 << 15)
def parse_query(text: str) -> Query:
    """`text` as a query: a pattern if it has one of ``> < * ? [ ]``, else a pkgver, else a name.

    >>> parse_query("foo>=1.0").kind, parse_query("foo-1.0_1").name, parse_query("foo").kind
    ('pattern', 'foo', 'name')
    """
    if is_pattern(text):
        return Query(text, "pattern", name_of(text))
    pkgver = split_pkgver(text)
    if pkgver is not None:
        return Query(text, "pkgver", pkgver.name)
    return Query(text, "name", text)
