"""The checks xbps-install 0.60.7 makes of a finished plan, in its order and words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.xbps_install.errors import XbpsRefusedError
from voidimg.xbps.query import Query, parse_query
from voidimg.xbps.resolve.pool import Package, Pool
from voidimg.xbps.resolve.transaction import Action

_UNPACKED = ("install", "update", "reinstall")


@dataclass(slots=True, eq=False)
class Planned:
    """A step being planned. `replaced`: it is a removal because another package replaces it."""

    package: Package
    action: Action
    automatic: bool
    replaced: bool = False


def find_in(plan: Sequence[Planned], query: Query) -> Planned | None:
    """The first step that `query` means by name, else the first that it means by provides."""
    for planned in plan:
        if query.matches(planned.package.name, planned.package.pkgver):
            return planned
    for planned in plan:
        if query.matches_any_provided(planned.package.strings("provides")):
            return planned
    return None


def check_plan(plan: list[Planned], missing: list[str], pool: Pool, free_bytes: int | None) -> None:
    """Turn replaced packages into removals, then check `plan`; `missing` was found before.

    Raises:
        XbpsRefusedError: with the exit code and lines of the first check that fails.
    """
    _replace(plan, pool)
    _refuse(19, [*missing, *_broken(plan, pool)], "unresolved dependencies.")
    _refuse(11, list(dict.fromkeys(_conflicts(plan, pool))), "conflicting packages.")
    _refuse(8, list(_unresolved_shlibs(plan, pool)), "unresolved shlibs.")
    needed = _needed_bytes(plan, pool)
    if free_bytes is not None and needed > free_bytes:
        sizes = f"need {_humanised(needed)}, got {_humanised(free_bytes)} free"
        message = f"ERROR: Transaction aborted due to insufficient disk space ({sizes})."
        shown = [planned.package.pkgver for planned in plan]
        raise XbpsRefusedError(28, [message], plan=shown)


def _refuse(status: int, problems: list[str], reason: str) -> None:
    if problems:
        lines = [*problems, f"ERROR: Transaction aborted due to {reason}"]
        raise XbpsRefusedError(status, lines)


def _is_changed(plan: Sequence[Planned], package: Package) -> bool:
    return any(planned.package.name == package.name for planned in plan)


def _installed(pool: Pool, query: Query) -> Package | None:
    return pool.installed.real(query) or next(pool.installed.providers(query), None)


def _replace(plan: list[Planned], pool: Pool) -> None:
    for planned in list(plan):
        for text in planned.package.strings("replaces"):
            query = parse_query(text)
            in_plan = find_in([one for one in plan if one is not planned], query)
            if in_plan is not None and in_plan.action in _UNPACKED:
                in_plan.action, in_plan.replaced = "remove", True
            installed = _installed(pool, query)
            if installed is None or installed.is_held or installed.name == planned.package.name:
                continue
            if not _is_changed(plan, installed):
                automatic = installed.entry.get("automatic-install") is True
                plan.insert(0, Planned(installed, "remove", automatic, replaced=True))


def _broken(plan: Sequence[Planned], pool: Pool) -> Iterator[str]:
    """Installed packages whose dependency the new version of a package no longer meets."""
    for planned in plan:
        if planned.replaced or planned.action not in ("update", "reinstall", "remove"):
            continue
        package = planned.package
        for dependent in pool.installed.all():
            if _is_changed(plan, dependent):
                continue
            for text in dependent.strings("run_depends"):
                query = parse_query(text)
                if query.name == package.name and not package.is_meant_by(query):
                    breaks = f"in transaction breaks installed pkg `{dependent.pkgver}'"
                    yield f"{package.pkgver} {breaks}"


def _conflicts(plan: Sequence[Planned], pool: Pool) -> Iterator[str]:
    staying = [one for one in plan if one.action not in ("remove", "hold")]
    for planned in staying:
        for text in planned.package.strings("conflicts"):
            query = parse_query(text)
            installed = _installed(pool, query)
            if installed is not None:
                fits = installed.name != planned.package.name and not installed.is_held
                if fits and not _is_changed(plan, installed):
                    other = f"installed pkg {installed.pkgver}"
                    yield f"CONFLICT: {planned.package.pkgver} with {other} (matched by {text})"
                continue
            yield from _conflict_in_plan(staying, planned.package, text)
    for package in pool.installed.all():
        if not _is_changed(plan, package):
            for text in package.strings("conflicts"):
                yield from _conflict_in_plan(staying, package, text)


def _conflict_in_plan(staying: Sequence[Planned], package: Package, text: str) -> Iterator[str]:
    # Only the first match is looked at, as in libxbps: a package that provides what it conflicts
    # with finds itself and no other.
    other = find_in(staying, parse_query(text))
    if other is not None and other.package.name != package.name:
        with_other = f"with {other.package.pkgver} in transaction"
        yield f"CONFLICT: {package.pkgver} {with_other} (matched by {text})"


def _unresolved_shlibs(plan: Sequence[Planned], pool: Pool) -> Iterator[str]:
    present = [one.package for one in plan if one.action not in ("remove", "hold")]
    held = {one.package.name for one in plan if one.action == "hold"}
    present += [
        package
        for package in pool.installed.all()
        if package.name in held or not _is_changed(plan, package)
    ]
    provided = {shlib for package in present for shlib in package.strings("shlib-provides")}
    for package in present:
        for shlib in package.strings("shlib-requires"):
            if shlib not in provided:
                yield f"{package.pkgver}: broken, unresolvable shlib `{shlib}'"


def _needed_bytes(plan: Sequence[Planned], pool: Pool) -> int:
    needed = 0
    for planned in plan:
        if planned.action in _UNPACKED:
            needed += _size(planned.package)
        old = pool.installed.get(planned.package.name)
        if old is not None and planned.action in ("remove", "update"):
            needed -= _size(old)
    return needed


def _size(package: Package) -> int:
    size = package.entry.get("installed_size", 0)
    return size if isinstance(size, int) else 0


def _humanised(size_bytes: int) -> str:
    """As humanize_number(3) writes it: at most three digits and the unit, rounded."""
    value = float(size_bytes)
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.1f}{unit}" if value < 10 and unit != "B" else f"{value:.0f}{unit}"
        value /= 1024
    raise AssertionError
