"""Whether chosen packages go together: what they replace, conflict with, break and need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from voidimg.xbps.pattern import relation_of
from voidimg.xbps.query import Query, parse_query
from voidimg.xbps.resolve.errors import UnresolvedError, spoken
from voidimg.xbps.resolve.pool import Package, Shelf
from voidimg.xbps.resolve.provides import Effort
from voidimg.xbps.resolve.selection import Choice, Selection

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Replacement:
    """Packages that `query` means may not be there, because `by` replaces them."""

    by: Package
    query: Query


class Exclusions:
    """The replacements that a choice has to respect."""

    def __init__(self, effort: Effort) -> None:
        self._effort = effort
        self._known: set[tuple[str, str]] = set()
        self._named: dict[str, list[Replacement]] = defaultdict(list)
        self._of_any_name: list[Replacement] = []

    def add(self, one: Replacement) -> bool:
        """Respect `one` from now on; False if it was respected before."""
        key = (one.by.name, one.query.text)
        if key in self._known:
            return False
        self._known.add(key)
        # a glob may mean what is provided under any name
        relation = relation_of(one.query.text)
        is_named = one.query.kind != "pattern" or (relation and relation.name == one.query.name)
        (self._named[one.query.name or ""] if is_named else self._of_any_name).append(one)
        return True

    def of(self, package: Package) -> Package | None:
        """The package that replaces `package`, None if none does."""
        if not self._known:
            return None
        self._effort.spend(package.name_count * (1 + len(self._of_any_name)))
        names = [package.name, *(text.rpartition("-")[0] for text in package.strings("provides"))]
        named = (one for name in dict.fromkeys(names) for one in self._named.get(name, ()))
        for one in chain(named, self._of_any_name):
            if one.by.name != package.name and package.is_meant_by(one.query):
                return one.by
        return None


def replacements(selection: Selection) -> Iterator[Replacement | UnresolvedError]:
    """What the chosen packages replace: exclusions to respect, or packages that exclude each other.

    A package that was asked for is never dropped in silence: it wins over a dependency that it
    replaces in turn, and is otherwise an error, as are two requested packages.
    """
    settled: set[frozenset[str]] = set()
    for choice in list(selection.chosen.values()):
        for text in choice.package.strings("replaces"):
            query = parse_query(text)
            for other in selection.choices(query):
                pair = frozenset((choice.package.name, other.package.name))
                if len(pair) == 2 and pair not in settled:
                    settled.add(pair)
                    yield _settle(choice, other, query)
            if any(
                one.name != choice.package.name and not one.is_held
                for one in selection.staying(query)
            ):
                yield Replacement(choice.package, query)


def _settle(choice: Choice, other: Choice, query: Query) -> Replacement | UnresolvedError:
    if not other.requested:
        return Replacement(choice.package, query)
    if not choice.requested:
        for text in other.package.strings("replaces"):
            if choice.package.is_meant_by(parse_query(text)):
                return Replacement(other.package, parse_query(text))
    names = sorted((choice.package.pkgver, other.package.pkgver))
    ways = [_asked(one) for one in sorted((choice, other), key=lambda one: one.package.pkgver)]
    return UnresolvedError(
        f"{names[0]} and {names[1]} exclude one another"
        f" ({choice.package.pkgver} replaces {query}): {'; '.join(ways)}",
        code="EXCLUSIVE",
        hint="leave out one of them, or what asks for it",
    )


def _asked(choice: Choice) -> str:
    if choice.requested:
        return f"{choice.needs} was asked for"
    return f"{choice.package.pkgver} comes from {spoken(choice.chain)}"


def check_selection(
    selection: Selection, ignored: Collection[str], shelves: Iterable[Shelf]
) -> Iterator[UnresolvedError]:
    """What a complete selection lacks; `ignored` names count as met dependencies."""
    yield from _broken(selection, ignored)
    yield from _missing_shlibs(selection, shelves)


def conflicts(selection: Selection) -> Iterator[UnresolvedError]:
    """Every two packages of which one says that it conflicts with the other."""
    chosen = [choice.package for choice in selection.chosen.values()]
    seen: set[frozenset[str]] = set()
    for package in [*chosen, *selection.all_staying()]:
        for text in package.strings("conflicts"):
            for other in selection.meant(parse_query(text)):
                pair = frozenset((package.name, other.name))
                if len(pair) == 1 or pair in seen or pair.isdisjoint(selection.chosen):
                    continue
                seen.add(pair)
                ways = [f"{one.pkgver}: {_way(selection, one)}" for one in (package, other)]
                yield UnresolvedError(
                    f"{package.pkgver} conflicts with {other.pkgver}"
                    f" (its conflicts say {text}); {'; '.join(ways)}",
                    code="CONFLICT",
                    hint="leave out one of them, or what asks for it",
                )


def _way(selection: Selection, package: Package) -> str:
    chain = selection.chain_of(package)
    return spoken(chain) if chain else "installed"


def _broken(selection: Selection, ignored: Collection[str]) -> Iterator[UnresolvedError]:
    """Installed packages whose dependency was met and is not any more."""
    for package in selection.all_staying():
        for text in package.strings("run_depends"):
            query = parse_query(text)
            met = package.is_meant_by(query) or selection.meant(query)
            if met or query.name in ignored:
                continue
            lost = selection.lost(query)
            if lost is not None:
                new = selection.chosen.get(lost.name)
                change = f"becomes {new.package.pkgver}" if new else "is replaced"
                yield UnresolvedError(
                    f"the installed {package.pkgver} needs {text}, but {lost.pkgver} {change}",
                    code="BREAKS-INSTALLED",
                    chain=() if new is None else new.chain,
                )


class _Owners:
    """Which packages of the repositories bring a library; looked up all at once, if ever."""

    def __init__(self, shelves: Iterable[Shelf]):
        self._shelves = shelves
        self._known: dict[str, list[str]] | None = None

    def hint(self, shlib: str) -> str:
        """What to do about the library that nobody brings."""
        if self._known is None:
            self._known = defaultdict(list)
            for one in chain.from_iterable(shelf.all() for shelf in self._shelves):
                for name in one.strings("shlib-provides"):
                    self._known[name].append(one.pkgver)
        found = self._known.get(shlib)
        if not found:
            return (
                "no repository has it: the index is between two states; try another mirror or later"
            )
        named = ", ".join(found[:_SHOWN])
        return f"it is in {named}, which nothing depends on; ask for it as well"


def _missing_shlibs(selection: Selection, shelves: Iterable[Shelf]) -> Iterator[UnresolvedError]:
    chosen = [choice.package for choice in selection.chosen.values()]
    staying = list(selection.all_staying())
    provided = {shlib for one in [*chosen, *staying] for shlib in one.strings("shlib-provides")}
    lost = {
        shlib
        for one in selection.all_lost()
        for shlib in one.strings("shlib-provides")
        if shlib not in provided
    }
    wanted = [(one, shlib) for one in chosen for shlib in one.strings("shlib-requires")]
    wanted += [
        (one, shlib) for one in staying for shlib in one.strings("shlib-requires") if shlib in lost
    ]
    owners = _Owners(shelves)
    for package, shlib in wanted:
        if shlib not in provided:
            yield UnresolvedError(
                f"{package.pkgver} needs the library {shlib}, which no chosen package provides",
                code="SHLIB",
                chain=selection.chain_of(package),
                hint=owners.hint(shlib),
            )
