"""Whether repositories answer, who signs them, how old they are, and whether they can be used.

For a platform that is named everything up to the first file of a tree is done: its packages are
resolved, fetched, their signatures checked, and what the index said of them held against what they
say of themselves.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from voidimg.artifacts.registry import kinds_of, stages_of
from voidimg.diagnosis.machine import Condition, State
from voidimg.errors import VoidimgError, every_error
from voidimg.events import Listener, ignore
from voidimg.fetch import Cache, Location
from voidimg.spec.compose import ResolvedRecipe
from voidimg.supply.consistency import index_findings, now_epoch, spoken_age, time_findings
from voidimg.supply.opened import fetch_repodata, read_times, require_arch
from voidimg.supply.sources import Sources
from voidimg.supply.state import RepositoryState
from voidimg.supply.supply import PlannedSupply, plan_supply
from voidimg.supply.trust import Trust
from voidimg.supply.void_mirrors import old_name_warnings
from voidimg.units import format_size
from voidimg.xbps.package.agreement import require_agreement
from voidimg.xbps.package.reader import BinaryPackage
from voidimg.xbps.repository.repodata import Repodata

_OLD_SECONDS = 14 * 24 * 3600
"""Void's repositories change every day; one that did not for two weeks is not kept up to date."""

_GROUP = "repository"
_ELSEWHERE = "try another mirror with -r; see the handbook of Void Linux for their list"


def diagnose_repositories(
    resolved: Sequence[ResolvedRecipe],
    sources: Sources,
    *,
    fetching: bool,
    listener: Listener = ignore,
) -> tuple[Condition, ...]:
    """The condition of every repository of the recipes, and with `fetching` of their packages.

    Repositories are named by their URL, directories only as such.

    Args:
        resolved: what would be built.
        sources: where packages come from, and which keys are trusted.
        fetching: resolve, fetch and verify the packages of each recipe, if their repositories can
            be used; nothing is built.
        listener: is told of the steps.

    Raises:
        VerifyError, StoreError: a key file is none; the cache cannot be used.
    """
    with Cache(sources.cache).in_use():
        state = RepositoryState(sources, listener)
        asked: dict[tuple[str, str], tuple[Location, Trust]] = {}
        for one in resolved:
            for location in state.locations(one.recipe):
                key = (location.name, one.recipe.arch)
                asked.setdefault(key, (location, state.trust(one.recipe)))
        with ThreadPoolExecutor(8) as pool:
            found = pool.map(
                lambda item: _index(state, item[1][0], item[0][1], item[1][1]), asked.items()
            )
            conditions = [one for several in found for one in several]
        places = {location for location, _ in asked.values()}
        for location in sorted(places, key=lambda one: one.name):
            conditions += _place(state, location)
        if fetching and not any(one.state == "bad" for one in conditions):
            conditions += [_packages(one, state) for one in resolved]
    return tuple(conditions)


def _title(location: Location) -> str:
    return location.name if location.remote else "a directory"


def _told(error: VoidimgError, location: Location | None = None) -> str:
    """The error in words that name no path of this machine."""
    errors = every_error(error)
    text = "; ".join(f"{one.what} [{one.code}]" for one in errors[:3])
    if location is not None and not location.remote:
        text = text.replace(location.name, "it")
    return text


def _index(state: RepositoryState, location: Location, arch: str, trust: Trust) -> list[Condition]:
    name = f"{_title(location)} ({arch})"
    try:
        (file,) = fetch_repodata(state.fetcher, [location], arch)
        repodata = Repodata.decode(file.content, _title(location))
        require_arch(repodata, arch, _title(location))
    except VoidimgError as error:
        hint = error.hint or _ELSEWHERE
        return [Condition(_GROUP, name, "bad", _told(error, location), mend=hint)]
    now = now_epoch()
    age = "of unknown age"
    if file.modified_epoch is not None:
        age = f"{spoken_age(max(0, now - file.modified_epoch))} old"
    size = f"{len(repodata.index)} packages, {age}"
    meta = repodata.meta
    try:
        key = trust.require(None if meta is None else meta.key, _title(location))
    except VoidimgError as error:
        found = f"{size}; {_told(error, location)}"
        return [Condition(_GROUP, name, "bad", found, mend=error.hint)]
    signed = f"signed with the trusted key {key.fingerprint} ({key.signed_by})"
    limit = state.sources.max_age_seconds or _OLD_SECONDS
    findings = index_findings(name, len(repodata.stage), file.modified_epoch, limit, now)
    said = "; ".join([size, signed, *(one.what for one in findings)])
    condition: State = "warning" if findings else "good"
    mend = _ELSEWHERE if any(one.code == "AGE" for one in findings) else None
    return [Condition(_GROUP, name, condition, said, mend=mend)]


def _place(state: RepositoryState, location: Location) -> list[Condition]:
    """What is to be said of a repository whatever the architecture."""
    name = _title(location)
    found = [
        Condition(_GROUP, name, "warning", text, mend="change it where the repository is named")
        for text in old_name_warnings(location)
    ]
    if state.sources.offline or not location.remote:
        return found
    try:
        times = read_times(state.fetcher, location)
    except VoidimgError:
        return found  # that it does not answer was said of its indexes
    limit = state.sources.max_age_seconds or _OLD_SECONDS
    findings = time_findings(name, times, limit, now_epoch())
    return found + [
        Condition(_GROUP, name, "warning", one.what, mend=_ELSEWHERE) for one in findings
    ]


def _packages(resolved: ResolvedRecipe, state: RepositoryState) -> Condition:
    recipe = resolved.recipe
    name = f"{recipe.platform} ({recipe.profile})"
    began = time.monotonic()
    try:
        supply = plan_supply(recipe, state, stages_of(kinds_of(recipe)))
        files = supply.fetch()
        _require_agreement(supply, files, state.sources.jobs)
    except VoidimgError as error:
        return Condition("packages", name, "bad", _told(error), mend=error.hint or _ELSEWHERE)
    packages = {one.sha256: one.size for one in supply.lock.packages}
    seconds = round(time.monotonic() - began)
    found = (
        f"{len(packages)} packages ({format_size(sum(packages.values()))}) resolved, fetched and"
        f" verified in {seconds} s"
    )
    return Condition("packages", name, "good", found)


def _require_agreement(supply: PlannedSupply, files: dict[str, Path], jobs: int) -> None:
    entries = {
        str(step.entry.get("filename-sha256")): step.entry
        for stage in supply.stages
        for step in stage.transaction.steps
    }

    def compare(sha256: str) -> None:
        entry = entries[sha256]
        where = str(entry.get("pkgver"))
        with BinaryPackage.open(files[sha256], where=where) as package:
            require_agreement(entry, package.props, where=where)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(compare, entries))
