"""Resolving as xbps-install 0.60.7 does it, oddities included: what a user's own run would do.

This is for comparing with our own resolver, which is strict: it agrees with the
recorded dry runs of the real tool in plan, order, exit code and message. There is no
backtracking: of two versions of a package the higher stays, whatever was asked of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.xbps_install.checks import Planned, check_plan, find_in
from tests.xbps_install.errors import XbpsRefusedError
from tests.xbps_install.options import XbpsInstallOptions
from voidimg.xbps.query import Query, parse_query
from voidimg.xbps.resolve.pool import Package, Pool
from voidimg.xbps.resolve.transaction import Action
from voidimg.xbps.version import compare

_MAX_DEPTH = 512
_XBPS = "xbps"


@dataclass(slots=True)
class _Level:
    """A package whose dependencies are being looked at: the rest of them, and how to store it."""

    package: Package
    dependencies: Iterator[str]
    stored_as: Action | None


class FaithfulRun:
    """One run of xbps-install."""

    def __init__(self, pool: Pool, options: XbpsInstallOptions):
        self._pool = pool
        self._options = options
        self._plan: list[Planned] = []
        self._missing: list[str] = []
        self.notes: list[str] = []

    def run(self, requests: Sequence[str]) -> list[Planned]:
        """The plan for `requests`; with ``update`` and no requests, for everything installed.

        Raises:
            XbpsRefusedError: xbps-install would refuse.
        """
        if not requests and self._options.update:
            self._request_all()
        for text in requests:
            self._refuse_before_xbps(text)
            self._request_dependents(text)
            self._request(text)
        self._collect_dependencies()
        check_plan(self._plan, self._missing, self._pool, self._options.free_bytes)
        return self._plan

    # Requests

    def _request_all(self) -> None:
        for package in [self._newer_xbps()] if self._newer_xbps() else self._pool.installed.all():
            if package is not None:
                self._request(package.name, quiet=True)

    def _newer_xbps(self) -> Package | None:
        query = parse_query(_XBPS)
        installed = self._installed(query)
        available = None if installed is None else self._pool.best(query)
        if installed is None or available is None or not available.is_newer_than(installed):
            return None
        return available

    def _refuse_before_xbps(self, text: str) -> None:
        if parse_query(text).name != _XBPS and self._newer_xbps() is not None:
            message = "The 'xbps' package must be updated, please run `xbps-install -u xbps`"
            raise XbpsRefusedError(16, [f"ERROR: {message}"])

    def _request_dependents(self, text: str) -> None:
        installed = self._pool.installed.get(parse_query(text).name or "")
        if installed is None:
            return
        for package in self._pool.installed.all():
            if any(
                installed.is_meant_by(parse_query(dependency))
                for dependency in package.strings("run_depends")
            ):
                self._request(package.name, quiet=True)

    def _installed(self, query: Query) -> Package | None:
        """The installed package that a request concerns, or an installed provider of its name."""
        named = self._pool.installed.get(query.name or "")
        if named is not None:
            return named
        if next(self._pool.reals(query), None) is not None:
            return None
        return next(self._pool.installed.providers(parse_query(query.name or "")), None)

    def _request(self, text: str, *, quiet: bool = False) -> None:
        """Plan what `text` asks for. `quiet`: it is an attempt whose failure does not matter."""
        query = parse_query(text)
        installed = self._installed(query)
        if installed is not None and installed.name != query.name:
            query = parse_query(installed.name)
        candidate = self._pool.best(query, self._lock_of(installed))
        if candidate is None:
            if not quiet:
                message = f"Package '{text}' not found in repository pool."
                raise XbpsRefusedError(2, [f"ERROR: {message}"])
            return
        # Dependents are only updated along with a request, never forced.
        action = self._action(candidate, installed, force=self._options.force and not quiet)
        if action is not None:
            self._store(candidate, action, installed, automatic=self._options.automatic)
        elif not quiet:
            self.notes.append(
                f"Package '{text}' is up to date."
                if self._options.update
                else f"ERROR: Package `{text}' already installed."
            )

    @staticmethod
    def _action(candidate: Package, installed: Package | None, *, force: bool) -> Action | None:
        if installed is None:
            return "install"
        if candidate.is_newer_than(installed):
            return "hold" if installed.is_held and not force else "update"
        return "reinstall" if force else None

    def _lock_of(self, installed: Package | None) -> str | None:
        """The URL of the only repository that may supply the package, None for any."""
        if installed is None or installed.entry.get("repolock") is not True:
            return None
        return str(installed.entry.get("repository", ""))

    def _store(
        self, package: Package, action: Action, installed: Package | None, *, automatic: bool
    ) -> None:
        for planned in self._plan:
            if planned.package.name == package.name:
                if compare(package.pkgver, planned.package.pkgver) <= 0:
                    return
                self._plan.remove(planned)
                break
        if installed is not None and installed.name == package.name:
            automatic = installed.entry.get("automatic-install") is True
        self._plan.append(Planned(package, action, automatic))

    # Dependencies

    def _collect_dependencies(self) -> None:
        """Append the dependencies of each planned package and the package itself once more.

        The list is indexed while it changes, as in libxbps; first occurrences go at the end.
        """
        processed: list[str] = []
        for index in range(len(self._plan)):
            if index >= len(self._plan):
                break
            planned = self._plan[index]
            if planned.action not in ("remove", "hold"):
                processed.append(planned.package.pkgver)
                self._descend(planned.package)
                self._plan.append(planned)
        for pkgver in processed:
            first = next(one for one in self._plan if one.package.pkgver == pkgver)
            del self._plan[[one is first for one in self._plan].index(True)]

    def _descend(self, package: Package) -> None:
        """Store the dependencies of `package`, those of each before it."""
        stack = [_Level(package, iter(package.strings("run_depends")), None)]
        while stack:
            level = stack[-1]
            dependency = next(level.dependencies, None)
            if dependency is None:
                stack.pop()
                if level.stored_as is not None:
                    installed = self._pool.installed.get(level.package.name)
                    self._store(level.package, level.stored_as, installed, automatic=True)
                continue
            decided = self._decide(dependency, level.package, stack)
            if decided is None:
                continue
            candidate, action = decided
            if len(stack) > _MAX_DEPTH:
                message = "Too many levels of symbolic links (40)"
                raise XbpsRefusedError(40, [f"ERROR: Unexpected error: {message}"])
            stack.append(_Level(candidate, iter(candidate.strings("run_depends")), action))

    def _decide(
        self, dependency: str, needed_by: Package, stack: Sequence[_Level]
    ) -> tuple[Package, Action] | None:
        """The package to add for `dependency` and how, or None if there is nothing to add."""
        query = parse_query(dependency)
        if query.kind == "name" or query.name is None:
            message = "ERROR: Unexpected error: No such device or address (6)"
            guess = f"{needed_by.pkgver}: can't guess pkgname for dependency '{dependency}'"
            raise XbpsRefusedError(6, [message], notes=[guess])
        if query.name in self._options.ignorepkg or any(
            level.package.is_meant_by(query) for level in stack[:-1]
        ):
            return None
        if needed_by.is_meant_by(query) or self._is_planned(query):
            return None
        installed = self._pool.installed.get(query.name) or next(
            self._pool.installed.providers(parse_query(query.name)), None
        )
        if installed is None:
            return self._candidate(query, needed_by, None, "install")
        return self._decide_installed(query, needed_by, installed)

    def _decide_installed(
        self, query: Query, needed_by: Package, installed: Package
    ) -> tuple[Package, Action] | None:
        if query.matches_any_provided(installed.strings("provides")):
            return None
        if query.matches(installed.name, installed.pkgver):
            if installed.entry.get("state") == "unpacked":
                self._store(installed, "configure", installed, automatic=True)
            return None
        if installed.is_held:
            self._miss(query)
            return None
        action: Action = "update" if installed.name == query.name else "install"
        return self._candidate(query, needed_by, installed, action)

    def _candidate(
        self, query: Query, needed_by: Package, installed: Package | None, action: Action
    ) -> tuple[Package, Action] | None:
        candidate = self._pool.best(query, self._lock_of(installed))
        if candidate is None:
            self._miss(query)
        return (
            None if candidate is None or candidate.name == needed_by.name else (candidate, action)
        )

    def _miss(self, query: Query) -> None:
        line = f"MISSING: {query}"
        if line not in self._missing:
            self._missing.append(line)

    def _is_planned(self, query: Query) -> bool:
        planned = find_in(self._plan, query)
        return planned is not None and planned.action not in ("remove", "hold")
