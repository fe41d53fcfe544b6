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
from voidimg.xbps.resolve.errors import UnresolvedError
from voidimg.xbps.version import SortKey, sort_key

T = TypeVar("T")

_FEW = 8
"""So many new elements are put among the sorted ones singly."""


_MOST_STEPS = 10_000_000
"""An index of 15,000 packages, all of them asked for, takes 200,000; so many take 20 seconds."""


class Effort:
    """How much looking and comparing is left; shared by all that do it for one resolution.

    A step is about a microsecond. Whoever can write an index can make work that grows with the
    square of its size, and with its third power, so what cannot be found at once is counted.
    """

    def __init__(self) -> None:
        self._left = _MOST_STEPS

    def spend(self, steps: int) -> None:
        """Count work that is about to be done, or was.

        Raises:
            UnresolvedError: too much was done.
        """
        self._left -= steps
        if self._left < 0:
            raise UnresolvedError(
                "the dependencies and provided names are too entangled to be resolved in time",
                code="TOO-HARD",
                hint="the repository index is damaged, or made to do this; try another mirror",
            )


class Offers(Generic[T]):
    """What is offered under virtual names, in the order in which it was added.

    Its methods raise `UnresolvedError` when there is no `effort` left.
    """

    def __init__(self, effort: Effort | None = None) -> None:
        self._effort = effort or Effort()
        self._offered: list[T] = []
        self._names: dict[str, _Elements] = {}

    def add(self, offered: T, elements: tuple[str, ...]) -> None:
        """Add what offers all `elements` of a ``provides`` array."""
        number = len(self._offered)
        self._offered.append(offered)
        for element in dict.fromkeys(elements):
            name, _, version = element.rpartition("-")
            if name not in self._names:
                self._names[name] = _Elements(name, self._effort)
            self._names[name].add(element, version, number)

    def fitting(self, query: Query) -> list[T]:
        """All that offers an element under the name of `query` that it means, each once."""
        elements = self._names.get(query.name or "")
        numbers = set() if elements is None else set(elements.numbers(query))
        self._effort.spend(3 * len(numbers))
        return [self._offered[number] for number in sorted(numbers)]

    def fitting_any_name(self, query: Query) -> list[T]:
        """All that offers any element that `query` means: a glob may mean elements of any name."""
        self._effort.spend(len(self._names))
        found = {number for one in self._names.values() for number in one.numbers(query)}
        return [self._offered[number] for number in sorted(found)]

    def has_name(self, name: str | None) -> bool:
        """Whether anything is offered under `name`."""
        return name in self._names


class _Elements:
    """The elements of one name, with the numbers of those who offer them."""

    def __init__(self, name: str, effort: Effort):
        self._name = name
        self._effort = effort
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
        fitting = [element for element in self._exact if element.startswith(prefix)]
        self._effort.spend(len(self._exact) // 8 + len(fitting))
        for element in fitting:
            if query.matches_provided(element):
                yield from self._exact[element]

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
