"""Resolving for images: a consistent, explained choice, the same for any order of requests.

Preferences are those of XBPS: the first repository with a fitting package supplies it, and a real
package comes before providers. But every demand on a package is kept to: when a later one excludes
the version chosen earlier, the demand is remembered and the choice made anew with it. Each round
learns at least one demand or exclusion and forgets none, so the rounds come to an end. Where this
differs from xbps-install is listed in `differences`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

from voidimg.errors import raise_all
from voidimg.xbps.names import NOARCH
from voidimg.xbps.query import Query, parse_query
from voidimg.xbps.resolve.errors import (
    Candidate,
    UnresolvedError,
    suggestion,
)
from voidimg.xbps.resolve.order import in_order
from voidimg.xbps.resolve.pool import Package, Pool, byte_order
from voidimg.xbps.resolve.selection import Choice, Selection
from voidimg.xbps.resolve.selection_checks import (
    Exclusions,
    check_selection,
    conflicts,
    replacements,
)
from voidimg.xbps.resolve.transaction import Options, Step

_MOST_PROBLEMS = 100
"""No more are looked for: who reads that many reads no further."""
_MOST_CANDIDATES = 50
"""Of one package that is missing, so many that could have been it are told with the reason."""
_MOST_WANTS = 3_000_000
"""So often a dependency is looked at, over all rounds: for all of Void 50 rounds, a minute.

For an image it is a thousand rounds, and one needs a handful. Only a hostile index has more.
"""


class _LearnedError(Exception):
    """This round found out something that the choice has to be made anew with."""


@dataclass(frozen=True, slots=True)
class _Demand:
    """A query that the package of a name must fit. `pkgver` has it as dependency, None: asked."""

    text: str
    pkgver: str | None

    def __str__(self) -> str:
        return f"{self.text}, which " + (f"{self.pkgver} needs" if self.pkgver else "was asked for")


class StrictRun:
    """One resolution."""

    def __init__(self, pool: Pool, options: Options):
        self._pool = pool
        self._options = options
        self._demands: dict[str, dict[str, _Demand]] = defaultdict(dict)
        self._dropped: set[tuple[str, str]] = set()
        self._excluded = Exclusions(pool.effort)
        self._wants_left = _MOST_WANTS
        self._selection = Selection(pool.installed, self._is_leaving, pool.effort)
        self._queue: deque[tuple[str, Choice | None]] = deque()
        self._undecided: deque[tuple[str, Choice | None]] = deque()
        self._problems: dict[str, Callable[[], UnresolvedError]] = {}

    def run(self, requests: Sequence[str]) -> tuple[Step, ...]:
        """The steps for `requests`, in the strict order.

        Raises:
            UnresolvedError: one problem; several come in a CollectedError.
        """
        wishes = sorted(set(requests), key=byte_order)
        while True:
            try:
                self._round(wishes)
                break
            except _LearnedError:
                continue
        found = chain((tell() for tell in self._problems.values()), conflicts(self._selection))
        problems = list(islice(found, _MOST_PROBLEMS))
        if not problems:
            shelves = self._pool.shelves.values()
            lacking = check_selection(self._selection, self._options.ignorepkg, shelves)
            problems = list(islice(lacking, _MOST_PROBLEMS))
        _raise(problems)
        return self._steps()

    # Choosing

    def _round(self, wishes: Sequence[str]) -> None:
        self._selection = Selection(self._pool.installed, self._is_leaving, self._pool.effort)
        self._problems.clear()
        self._undecided.clear()
        self._queue = deque((wish, None) for wish in wishes)
        while (self._queue or self._undecided) and len(self._problems) < _MOST_PROBLEMS:
            if self._queue:
                self._want(*self._queue.popleft())
            else:
                self._want_provider(*self._undecided.popleft())
        if self._problems:
            self._drop_stale_demands()
        for replacement in replacements(self._selection):
            if isinstance(replacement, UnresolvedError):
                self._problems[replacement.what] = partial(_itself, replacement)
            else:
                if self._excluded.add(replacement):
                    raise _LearnedError

    def _want(self, text: str, needed_by: Choice | None) -> None:
        self._wants_left -= 1
        if self._wants_left < 0:
            raise UnresolvedError(
                "the packages exclude one another too often to find a set of them in time",
                code="TOO-HARD",
                hint="the repository index is damaged, or made to do this; try another mirror",
            )
        query = parse_query(text)
        if needed_by is not None:
            if query.kind == "name" or query.name is None:
                self._refuse_dependency(text, needed_by)
                return
            if query.name in self._options.ignorepkg or self._is_meant(needed_by.package, query):
                return
        if self._is_met(query, needed_by):
            return
        self._demand(query, needed_by)
        candidate = next(filter(self._fits, self._reals(query)), None)
        if candidate is not None:
            self._choose(candidate, text, needed_by)
        else:
            # Another dependency may bring a provider anyway: choose one only in the end.
            self._undecided.append((text, needed_by))

    def _want_provider(self, text: str, needed_by: Choice | None) -> None:
        query = parse_query(text)
        if self._is_met(query, needed_by, by_provider=True):
            return
        virtuals = (one for one in self._pool.virtuals(query) if self._is_meant(one, query))
        chosen = []
        for one in virtuals:
            if self._fits(one):
                self._choose(one, text, needed_by)
                return
            if one.name in self._selection.chosen:
                chosen.append(one.name)
        # A package that is chosen may provide it in the version of another repository.
        for name in chosen:
            self._remember(name, query, needed_by)
        self._miss(query, needed_by)

    def _is_met(self, query: Query, needed_by: Choice | None, *, by_provider: bool = False) -> bool:
        """Whether what is chosen or installed meets the query; requests become requested.

        A request of a real package is not met by another that provides its name.
        """
        choices = self._selection.choices(query)
        if needed_by is not None:
            return bool(choices or self._selection.staying(query))
        if not by_provider:
            choices = [one for one in choices if one.package.name == query.name]
        if choices:
            choices[0].requested = True
        return bool(choices) or any(
            by_provider or package.name == query.name for package in self._selection.staying(query)
        )

    def _demand(self, query: Query, needed_by: Choice | None) -> None:
        """Remember a demand that excludes the version that is already chosen, if one meets it."""
        choice = self._selection.chosen.get(query.name or "")
        if choice is None or not self._reals(query):
            return
        self._remember(choice.package.name, query, needed_by)

    def _remember(self, name: str, query: Query, needed_by: Choice | None) -> None:
        """Choose anew with the demand that the package `name` meets `query`, if that is new."""
        demands = self._demands[name]
        if query.text not in demands:
            by = None if needed_by is None else needed_by.package.pkgver
            demands[query.text] = _Demand(query.text, by)
            raise _LearnedError

    def _drop_stale_demands(self) -> None:
        """Forget demands of packages that are not chosen after all, each of them once."""
        chosen = {choice.package.pkgver for choice in self._selection.chosen.values()}
        stale = [
            (name, demand.text)
            for name, demands in self._demands.items()
            for demand in demands.values()
            if demand.pkgver is not None
            and demand.pkgver not in chosen
            and (name, demand.text) not in self._dropped
        ]
        for name, text in stale:
            del self._demands[name][text]
        self._dropped.update(stale)
        if stale:
            raise _LearnedError

    def _choose(self, package: Package, text: str, needed_by: Choice | None) -> None:
        if package.name in self._selection.chosen:
            # A request that virtualpkg sends to a package that is asked for anyway.
            self._selection.chosen[package.name].requested = True
            return
        choice = Choice(package, text, needed_by, requested=needed_by is None)
        self._selection.add(choice)
        self._queue.extend((one, choice) for one in package.strings("run_depends"))

    def _reals(self, query: Query) -> list[Package]:
        installed = self._pool.installed.get(query.name or "")
        only = None
        if installed is not None and installed.entry.get("repolock") is True:
            url = installed.entry.get("repository")
            only = url if isinstance(url, str) else ""
        return list(self._pool.reals(query, only))

    # Refusing

    def _fits(self, package: Package) -> bool:
        return self._objection(package) is None

    def _objection(self, package: Package) -> str | None:
        """Why `package` cannot be chosen, or None if it can."""
        arch = package.entry.get("architecture")
        if self._options.arch is not None and arch not in (self._options.arch, NOARCH):
            return f"is built for {arch if isinstance(arch, str) else 'no architecture'}"
        replaced_by = self._excluded.of(package)
        if replaced_by is not None:
            return f"is replaced by {replaced_by.pkgver}"
        for demand in self._demands[package.name].values():
            if not self._is_meant(package, parse_query(demand.text)):
                return f"does not fit {demand}"
        choice = self._selection.chosen.get(package.name)
        if choice is not None and choice.package is not package:
            return f"is not {choice.package.pkgver}, which is chosen already"
        installed = self._pool.installed.get(package.name)
        if installed is not None and installed.is_held:
            return f"cannot take the place of {installed.pkgver}, which is held"
        if installed is not None and not package.is_newer_than(installed):
            return f"is not newer than {installed.pkgver}, which is installed"
        return None

    def _is_meant(self, package: Package, query: Query) -> bool:
        """Whether `query` means `package`, which may have thousands of names."""
        self._pool.effort.spend(4 * package.name_count)
        return package.is_meant_by(query)

    def _is_leaving(self, package: Package) -> bool:
        return not package.is_held and self._excluded.of(package) is not None

    def _refuse_dependency(self, text: str, needed_by: Choice) -> None:
        error = UnresolvedError(
            f"{needed_by.package.pkgver} has the dependency {text!r}, which names no version",
            code="BAD-DEPENDENCY",
            chain=needed_by.chain,
            hint="the package is at fault; leave it out or mend its repository",
        )
        self._problems[f"{needed_by.package.name} {text}"] = partial(_itself, error)

    def _miss(self, query: Query, needed_by: Choice | None) -> None:
        """Note that nothing fits; told in the end, since another round may do without it."""
        contradicted = any(self._demands[one.name] for one in self._reals(query))
        subject = (
            f"{query} is asked for"
            if needed_by is None
            else f"{needed_by.package.pkgver} needs {query}"
        )
        verdict = f"no version of {query.name} meets every demand" if contradicted else None
        # One contradiction shows at each of the demands; the first says it all.
        self._problems.setdefault(
            verdict or subject, partial(self._missed, query, needed_by, subject, verdict)
        )

    def _missed(
        self, query: Query, needed_by: Choice | None, subject: str, verdict: str | None
    ) -> UnresolvedError:
        candidates, omitted = self._looked_at(query)
        code, hint = "MISSING" if verdict is None else "CONTRADICTION", None
        if verdict is None and not candidates:
            verdict = "no repository has it"
            hint = suggestion(query.name or query.text, self._names())
        return UnresolvedError(
            f"{subject}, but {verdict or 'no package fits'}",
            code=code,
            chain=() if needed_by is None else needed_by.chain,
            candidates=candidates,
            omitted=omitted,
            hint=hint,
        )

    def _looked_at(self, query: Query) -> tuple[list[Candidate], int]:
        """Packages of the name or providing it, with the reasons why they were not taken.

        With the number of those that are left out.
        """
        bare = parse_query(query.name or query.text)
        found: dict[tuple[str, str | None], Package] = {}
        for shelf in self._pool.shelves.values():
            named = shelf.get(bare.text)
            packages = ([] if named is None else [named]) + list(shelf.providers(bare))
            found |= {(one.pkgver, one.repository): one for one in packages}
        told = list(found.items())[:_MOST_CANDIDATES]
        return [Candidate(*key, self._refusal(package, query)) for key, package in told], len(
            found
        ) - len(told)

    def _refusal(self, package: Package, query: Query) -> str:
        if not self._is_meant(package, query):
            return f"does not fit {query}"
        return self._objection(package) or "was not considered"

    def _names(self) -> list[str]:
        return [name for shelf in self._pool.shelves.values() for name in shelf.names()]

    # The result

    def _steps(self) -> tuple[Step, ...]:
        removed = [
            _removal(package)
            for package in self._pool.installed.all()
            if self._is_leaving(package) and package.name not in self._selection.chosen
        ]
        chosen = [self._step(choice) for choice in self._selection.chosen.values()]
        return (*removed, *in_order(chosen, self._options.first))

    def _step(self, choice: Choice) -> Step:
        package = choice.package
        installed = self._pool.installed.get(package.name)
        automatic = not choice.requested or self._options.automatic
        if installed is not None:
            automatic = installed.entry.get("automatic-install") is True
        return Step(
            pkgver=package.pkgver,
            pkgname=package.name,
            action="install" if installed is None else "update",
            repository=package.repository,
            entry=package.entry,
            automatic=automatic,
        )


def _removal(package: Package) -> Step:
    automatic = package.entry.get("automatic-install") is True
    return Step(
        package.pkgver, package.name, "remove", None, package.entry, automatic, replaced=True
    )


def _itself(error: UnresolvedError) -> UnresolvedError:
    return error


def _raise(problems: list[UnresolvedError]) -> None:
    raise_all(problems, f"{len(problems)} problems with the packages")
