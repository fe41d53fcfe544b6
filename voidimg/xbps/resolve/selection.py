"""A choice of packages in the making: what is chosen, on whose behalf, and what it offers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from voidimg.xbps.query import Query
from voidimg.xbps.resolve.errors import Link
from voidimg.xbps.resolve.pool import Package, Shelf
from voidimg.xbps.resolve.provides import Effort, Offers


@dataclass(slots=True, eq=False)
class Choice:
    """A chosen package. `needs` is the request or dependency that first asked for it."""

    package: Package
    needs: str
    needed_by: Choice | None
    requested: bool = False

    @property
    def chain(self) -> tuple[Link, ...]:
        """The links from the request to this package."""
        links: list[Link] = []
        choice: Choice | None = self
        while choice is not None:
            parent = choice.needed_by
            by = None if parent is None else parent.package.pkgver
            links.append(Link(by, choice.needs, choice.package.pkgver))
            choice = parent
        return tuple(reversed(links))


class Selection:
    """The chosen packages and, beside them, the installed ones that stay as they are."""

    def __init__(
        self, installed: Shelf, is_leaving: Callable[[Package], bool], effort: Effort | None = None
    ):
        self.chosen: dict[str, Choice] = {}
        self._offers: Offers[Choice] = Offers(effort)
        self._installed = installed
        self._is_leaving = is_leaving

    def add(self, choice: Choice) -> None:
        """Choose a package; none of its name is chosen yet."""
        self.chosen[choice.package.name] = choice
        self._offers.add(choice, choice.package.strings("provides"))

    def choices(self, query: Query) -> list[Choice]:
        """The chosen packages that `query` means, the one of that name first."""
        named = self.chosen.get(query.name or "")
        fits = named is not None and query.matches(named.package.name, named.package.pkgver)
        providers = self._offers.fitting(query)
        if named is None or not fits:
            return providers
        return [named, *(choice for choice in providers if choice is not named)]

    def stays(self, package: Package) -> bool:
        """Whether an installed package is neither replaced nor changed."""
        return package.name not in self.chosen and not self._is_leaving(package)

    def staying(self, query: Query) -> list[Package]:
        """The installed packages that `query` means and that stay."""
        named = self._installed.real(query)
        found = [named] if named is not None else []
        found += [one for one in self._installed.providers(query) if one is not named]
        return [package for package in found if self.stays(package)]

    def all_staying(self) -> Iterator[Package]:
        """Every installed package that stays."""
        return (package for package in self._installed.all() if self.stays(package))

    def all_lost(self) -> Iterator[Package]:
        """Every installed package that does not stay."""
        return (package for package in self._installed.all() if not self.stays(package))

    def lost(self, query: Query) -> Package | None:
        """An installed package that `query` means and that does not stay."""
        return next((package for package in self.all_lost() if package.is_meant_by(query)), None)

    def meant(self, query: Query) -> list[Package]:
        """Every package, chosen or staying, that `query` means."""
        return [choice.package for choice in self.choices(query)] + self.staying(query)

    def chain_of(self, package: Package) -> tuple[Link, ...]:
        """The chain of a chosen package; empty for an installed one."""
        choice = self.chosen.get(package.name)
        return () if choice is None else choice.chain
