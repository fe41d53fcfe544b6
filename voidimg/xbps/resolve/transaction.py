"""What the resolver decides: steps in their order, and why each package is among them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from voidimg.errors import ResolveError
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.query import Query, parse_query
from voidimg.xbps.resolve.errors import Link, suggestion
from voidimg.xbps.resolve.provides import Offers

Action = Literal["install", "update", "reinstall", "configure", "remove", "hold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to resolve.

    Attributes:
        arch: packages for another architecture are refused; None: any fits.
        ignorepkg: names; dependencies on them count as met.
        virtualpkg: virtual name or pkgver to the package that shall stand for it.
        bestmatching: the highest version of all repositories instead of the first repository.
        staging: also see packages that remote repositories stage for later.
        automatic: mark requested packages as dependencies too.
        first: names whose packages, with their dependencies, come first.
    """

    arch: str | None = None
    ignorepkg: frozenset[str] = frozenset()
    virtualpkg: Mapping[str, str] = field(default_factory=dict)
    bestmatching: bool = False
    staging: bool = False
    automatic: bool = False
    first: tuple[str, ...] = ("base-files",)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a transaction.

    Attributes:
        pkgver: of the package, such as ``libfoo-1.2_1``.
        pkgname: its name.
        action: what to do with it.
        repository: the URL of the repository it comes from; None: it is installed.
        entry: its index entry, for removals and configurations its database entry.
        automatic: it is there as a dependency only.
        replaced: it is removed because another package of the transaction replaces it.
    """

    pkgver: str
    pkgname: str
    action: Action
    repository: str | None
    entry: PlistDict
    automatic: bool
    replaced: bool = False

    def strings(self, key: str) -> tuple[str, ...]:
        """The strings of the array `key` of the entry, empty if there is none."""
        value = self.entry.get(key)
        return tuple(str(one) for one in value) if isinstance(value, list) else ()

    def is_meant_by(self, query: Query) -> bool:
        """Whether `query` means it by its own name or by one it provides."""
        return query.matches(self.pkgname, self.pkgver) or query.matches_any_provided(
            self.strings("provides")
        )


@dataclass(frozen=True, slots=True)
class Transaction:
    """Steps in the order in which they are done, and the requests they follow from."""

    steps: tuple[Step, ...]
    requests: tuple[str, ...] = ()

    def step(self, pkgname: str) -> Step | None:
        """The step of the package `pkgname`."""
        return next((step for step in self.steps if step.pkgname == pkgname), None)


def installs(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Those of `steps` that bring a package."""
    return tuple(step for step in steps if step.action != "remove")


def after(installed: Mapping[str, PlistDict], steps: Iterable[Step]) -> dict[str, PlistDict]:
    """The database entries, by pkgname, when `steps` are done where `installed` is."""
    found = dict(installed)
    for step in steps:
        if step.action == "remove":
            found.pop(step.pkgname, None)
        else:
            found[step.pkgname] = {**step.entry, "state": "installed"}
    return found


def replaced(installed: Mapping[str, PlistDict], new: Mapping[str, PlistDict]) -> tuple[Step, ...]:
    """The steps that take away what packages with the entries `new` replace of those `installed`.

    Both are entries by pkgname. It follows from the packages alone, so that a lock need not say it.
    """
    queries = [
        parse_query(text)
        for name, entry in new.items()
        for text in _step(name, entry, "install").strings("replaces")
    ]
    leaving = (_step(name, entry, "remove") for name, entry in installed.items())
    return tuple(
        step
        for step in leaving
        if step.pkgname not in new
        and step.entry.get("hold") is not True
        and any(map(step.is_meant_by, queries))
    )


def _step(pkgname: str, entry: PlistDict, action: Action) -> Step:
    return Step(
        pkgver=str(entry.get("pkgver")),
        pkgname=pkgname,
        action=action,
        repository=None,
        entry=entry,
        automatic=entry.get("automatic-install") is True,
        replaced=action == "remove",
    )


class Suppliers:
    """Which steps meet a query, in the order of the steps; removals meet none."""

    def __init__(self, steps: Iterable[Step]):
        self._named: dict[str, Step] = {}
        self._offers: Offers[Step] = Offers()
        for step in steps:
            if step.action != "remove":
                self._named[step.pkgname] = step
                self._offers.add(step, step.strings("provides"))

    def of(self, query: Query) -> list[Step]:
        """The package of that name if it fits, else every provider."""
        named = self._named.get(query.name or "")
        if named is not None and query.matches(named.pkgname, named.pkgver):
            return [named]
        return self._offers.fitting(query)


def why(transaction: Transaction, pkgname: str) -> tuple[Link, ...]:
    """The shortest chain of needs from a request to the package `pkgname`.

    The first link is the request. Of equally short chains it is the one whose packages come
    first in the transaction.

    Raises:
        ResolveError: the package is not in the transaction, or nothing in it needs the package.
    """
    if transaction.step(pkgname) is None:
        names = [step.pkgname for step in transaction.steps]
        raise ResolveError(
            f"{pkgname} is not among the packages",
            code="NOT-AMONG",
            hint=suggestion(pkgname, names) or "give the name of a package, without version",
        )
    suppliers = Suppliers(transaction.steps)
    chains: dict[str, tuple[Link, ...]] = {}
    waiting: deque[Step] = deque()
    for text in transaction.requests:
        query = parse_query(text)
        for step in suppliers.of(query):
            if step.pkgname not in chains:
                chains[step.pkgname] = (Link(None, text, step.pkgver),)
                waiting.append(step)
    while waiting and pkgname not in chains:
        needing = waiting.popleft()
        for text in needing.strings("run_depends"):
            for step in suppliers.of(parse_query(text)):
                if step.pkgname not in chains:
                    link = Link(needing.pkgver, text, step.pkgver)
                    chains[step.pkgname] = (*chains[needing.pkgname], link)
                    waiting.append(step)
    if pkgname not in chains:
        raise ResolveError(f"nothing asked for needs {pkgname}", code="NOT-NEEDED")
    return chains[pkgname]
