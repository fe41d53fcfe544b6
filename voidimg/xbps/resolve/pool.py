"""The packages a resolver can choose from: repositories in their order, and what is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from voidimg.errors import PackageError
from voidimg.xbps.names import split_pkgver
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.query import Query, parse_query
from voidimg.xbps.resolve.provides import Effort, Offers
from voidimg.xbps.version import compare, sort_key

_ANY_VERSION = "99999_1"
"""The version a ``virtualpkg`` name without one counts as when a pattern asks for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Repository:
    """A repository's index: package name to entry, and the entries staged for a later release.

    Stage entries replace index entries of local repositories always, of remote ones only when
    the resolver is told to look at them.
    """

    url: str
    index: Mapping[str, PlistDict]
    stage: Mapping[str, PlistDict] = field(default_factory=dict)
    remote: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Package:
    """An entry of an index or of a package database. `repository` is a URL; None: installed."""

    pkgver: str
    name: str
    version: str
    entry: PlistDict
    repository: str | None

    def strings(self, key: str) -> tuple[str, ...]:
        """The array of strings under `key`, empty if there is none.

        Raises:
            PackageError: there is something else under the key.
        """
        value = self.entry.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise PackageError(
                f"{self.pkgver}: {key} is not an array of strings",
                code="INDEX",
                where=self.repository,
                hint="the repository index is damaged; fetch it again or leave it out",
            )
        return tuple(str(one) for one in value)

    def is_newer_than(self, installed: Package) -> bool:
        """Whether it may replace `installed`: a higher version, or one that reverts it."""
        if installed.version in self.strings("reverts"):
            return True
        return compare(self.version, installed.version) > 0

    def is_meant_by(self, query: Query) -> bool:
        """Whether `query` means it by its own name or by one it provides."""
        return query.matches(self.name, self.pkgver) or query.matches_any_provided(
            self.strings("provides")
        )

    @property
    def name_count(self) -> int:
        """How many names it has, its own and those it provides."""
        provides = self.entry.get("provides")
        return 1 + (len(provides) if isinstance(provides, list) else 0)

    @property
    def is_held(self) -> bool:
        """Whether its user forbade to change it."""
        return self.entry.get("hold") is True


def byte_order(text: str) -> bytes:
    """A key that sorts names as proplib sorts dictionary keys."""
    return text.encode("utf-8", "surrogateescape")


class Shelf:
    """One dictionary of packages, searched by queries; wraps entries only when asked for them."""

    def __init__(
        self, entries: Mapping[str, PlistDict], repository: str | None, effort: Effort | None = None
    ):
        self._entries = entries
        self._repository = repository
        self._effort = effort or Effort()
        self._packages: dict[str, Package | None] = {}
        self._offers: Offers[Package] | None = None

    def names(self) -> Iterator[str]:
        """The names, as they come."""
        return iter(self._entries)

    def get(self, name: str) -> Package | None:
        """The package under the key `name`; its own name is that of its pkgver."""
        if name not in self._packages:
            entry = self._entries.get(name)
            self._packages[name] = None if entry is None else self._wrap(entry)
        return self._packages[name]

    def _wrap(self, entry: PlistDict) -> Package | None:
        text = entry.get("pkgver")
        pkgver = split_pkgver(text) if isinstance(text, str) else None
        if pkgver is None:
            return None
        return Package(str(pkgver), pkgver.name, pkgver.version, entry, self._repository)

    def all(self) -> Iterator[Package]:
        """Every package, in byte order of the keys."""
        for name in sorted(self._entries, key=byte_order):
            package = self.get(name)
            if package is not None:
                yield package

    def real(self, query: Query) -> Package | None:
        """The package that `query` means by its own name."""
        package = None if query.name is None else self.get(query.name)
        if package is None or query.kind == "name":
            return package
        return package if query.matches(query.name or "", package.pkgver) else None

    def providers(self, query: Query) -> Iterator[Package]:
        """The packages that `query` means by what they provide, in byte order of the keys."""
        if self._offers is None:
            self._offers = self._offered()
        if self._offers.has_name(query.name):
            found = self._offers.fitting(query)
        elif query.kind == "pattern" and not _is_relational(query.text):
            found = self._offers.fitting_any_name(query)
        else:
            return
        # Several keys may hold packages of one name; the first counts.
        seen: set[str] = set()
        for package in found:
            if package.name not in seen:
                seen.add(package.name)
                yield package

    def _offered(self) -> Offers[Package]:
        offers: Offers[Package] = Offers(self._effort)
        names = [name for name, entry in self._entries.items() if entry.get("provides")]
        for name in sorted(names, key=byte_order):
            package = self.get(name)
            if package is not None:
                offers.add(package, package.strings("provides"))
        return offers


def _is_relational(pattern: str) -> bool:
    return "<" in pattern or ">" in pattern


class Pool:
    """All repositories in order and the installed packages.

    `effort` is what may still be spent on looking into them.

    Args:
        repositories: the first that has a fitting package supplies it.
        installed: the package database, name to entry.
        bestmatching: take the highest fitting version of all repositories instead.
        virtualpkg: virtual name (or pkgver) to the package that shall stand for it.
        staging: see staged packages of remote repositories too.
    """

    def __init__(
        self,
        repositories: Sequence[Repository],
        installed: Mapping[str, PlistDict],
        *,
        bestmatching: bool = False,
        virtualpkg: Mapping[str, str],
        staging: bool = False,
    ):
        self.effort = Effort()
        self.shelves = {
            one.url: Shelf(_visible(one, staging=staging), one.url, self.effort)
            for one in repositories
        }
        self.installed = Shelf(installed, None, self.effort)
        self._bestmatching = bestmatching
        self._virtualpkg = virtualpkg

    def reals(self, query: Query, repository: str | None = None) -> Iterator[Package]:
        """Packages that `query` means by name, best choice first.

        A bare name that ``virtualpkg`` redirects means the package it is redirected to.

        Args:
            query: what is asked for.
            repository: search only the one of this URL.
        """
        found = [
            package
            for shelf in self._searched(repository)
            if (package := self._real(shelf, query)) is not None
        ]
        if self._bestmatching:
            found.sort(key=lambda package: sort_key(package.version), reverse=True)
        return iter(found)

    def _real(self, shelf: Shelf, query: Query) -> Package | None:
        if query.kind == "name" and query.text in self._virtualpkg:
            redirected = shelf.real(parse_query(self._virtualpkg[query.text]))
            if redirected is not None:
                return redirected
        return shelf.real(query)

    def virtuals(self, query: Query) -> Iterator[Package]:
        """Packages that `query` means by what they provide, best choice first.

        In each repository: what ``virtualpkg`` says, then providers that are installed, then the
        others in byte order of their names.
        """
        preferred = [parse_query(text) for text in self._configured(query)]
        preferred += [parse_query(package.name) for package in self.installed.providers(query)]
        for shelf in self.shelves.values():
            for wish in preferred:
                package = shelf.real(wish)
                if package is not None:
                    yield package
            yield from shelf.providers(query)

    def _configured(self, query: Query) -> Iterator[str]:
        for virtual, package in self._virtualpkg.items():
            pkgver = split_pkgver(virtual)
            name = virtual if pkgver is None else pkgver.name
            full = f"{virtual}-{_ANY_VERSION}" if pkgver is None else virtual
            if query.matches(name, full):
                yield package

    def best(self, query: Query, repository: str | None = None) -> Package | None:
        """The package that supplies `query`: a real one of any repository, else a provider.

        Of a single `repository` (a package locked to it) only real packages count.
        """
        real = next(self.reals(query, repository), None)
        if real is not None or repository is not None:
            return real
        return next(self.virtuals(query), None)

    def _searched(self, repository: str | None) -> list[Shelf]:
        if repository is None:
            return list(self.shelves.values())
        return [self.shelves[repository]] if repository in self.shelves else []


def _visible(repository: Repository, *, staging: bool) -> Mapping[str, PlistDict]:
    if not repository.stage or (repository.remote and not staging):
        return repository.index
    return {**repository.index, **repository.stage}
