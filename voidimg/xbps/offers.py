"""Who offers a virtual name: found by version, so that a query costs what it finds.

An index may hold thousands of packages that provide one name, and a package thousands of
dependencies on it; comparing each with each would take minutes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from voidimg.xbps.pattern import Condition, literal_prefix, relation_of
from voidimg.xbps.query import Query
from voidimg.xbps.version import SortKey, sort_key

T = TypeVar("T")

_FEW = 8
"""So many new elements are put among the sorted ones singly."""


class Offers(Generic[T]):
    """What is offered under virtual names, in the order in which it was added."""

    def __init__(self) -> None:
        self._offered: list[T] = []
        self._names: dict[str, _Elements] = {}

    def add(self, offered: T, elements: tuple[str, ...]) -> None:
        """Add what offers all `elements` of a ``provides`` array."""
        number = len(self._offered)
        self._offered.append(offered)
        for element in dict.fromkeys(elements):
            name, _, version = element.rpartition("-")
            if name not in self._names:
                self._names[name] = _Elements(name)
            self._names[name].add(element, version, number)

    def fitting(self, query: Query) -> list[T]:
        """All that offers an element under the name of `query` that it means, each once."""
        elements = self._names.get(query.name or "")
        numbers = () if elements is None else elements.numbers(query)
        return [self._offered[number] for number in sorted(set(numbers))]

    def fitting_any_name(self, query: Query) -> list[T]:
        """All that offers any element that `query` means: a glob may mean elements of any name."""
        found = {number for one in self._names.values() for number in one.numbers(query)}
        return [self._offered[number] for number in sorted(found)]

    def has_name(self, name: str | None) -> bool:
        """Whether anything is offered under `name`."""
        return name in self._names


class _Elements:
    """The elements of one name, with the numbers of those who offer them."""

    def __init__(self, name: str):
        self._name = name
        self._exact: dict[str, list[int]] = defaultdict(list)
        self._new: list[tuple[SortKey, int]] = []
        self._keys: list[SortKey] = []
        self._numbers: list[int] = []

    def add(self, element: str, version: str, number: int) -> None:
        """Add the `element` of this name and `version` that `number` offers."""
        self._exact[element].append(number)
        self._new.append((sort_key(version), number))

    def numbers(self, query: Query) -> Iterator[int]:
        """Those who offer what `query` means; some twice."""
        relation = relation_of(query.text) if query.kind == "pattern" else None
        if query.kind == "pkgver" or relation is not None:
            yield from self._exact.get(query.text, ())
            if relation is not None and relation.name == self._name:
                yield from self._between(relation.conditions)
            return
        prefix = literal_prefix(query.text)
        for element, numbers in self._exact.items():
            if element.startswith(prefix) and query.matches_provided(element):
                yield from numbers

    def _between(self, conditions: Sequence[Condition]) -> list[int]:
        """Those whose versions meet all `conditions`: one stretch of their order."""
        self._sort()
        low, high = 0, len(self._keys)
        for one in conditions:
            # where those begin that are not lower, or those that are higher
            bisect = bisect_left if one.operator in (">=", "<") else bisect_right
            at = bisect(self._keys, sort_key(one.version))
            if one.operator[0] == ">":
                low = max(low, at)
            else:
                high = min(high, at)
        return self._numbers[low:high]

    def _sort(self) -> None:
        if len(self._new) > _FEW:
            pairs = [*zip(self._keys, self._numbers, strict=True), *self._new]
            pairs.sort()
            self._keys = [key for key, _ in pairs]
            self._numbers = [number for _, number in pairs]
        else:
            for key, number in self._new:
                at = bisect_right(self._keys, key)
                self._keys.insert(at, key)
                self._numbers.insert(at, number)
        self._new.clear()
