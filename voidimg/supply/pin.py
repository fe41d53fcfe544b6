"""Pins packages: resolves platforms from one state of the repositories, without making anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from voidimg.events import Listener, StepFinished, ignore, step
from voidimg.fetch import Cache, Location
from voidimg.spec.compose import ResolvedRecipe
from voidimg.spec.stages import PackageStage
from voidimg.supply.bundle import BundledRepository, require_bundle_place, write_bundle
from voidimg.supply.consistency import (
    lock_findings,
    now_epoch,
    report_findings,
    state_findings,
)
from voidimg.supply.lock import Lock
from voidimg.supply.remembered import known_lock, remember_lock
from voidimg.supply.resolve import signed_package
from voidimg.supply.sources import Sources
from voidimg.supply.state import RepositoryState
from voidimg.supply.supply import LockedSupply, PlannedSupply, lock_for, plan_supply
from voidimg.work_filesystem import CACHE_NEEDS, require_properties
from voidimg.xbps.query import parse_query
from voidimg.xbps.resolve.errors import Link, Problems
from voidimg.xbps.resolve.transaction import Step, Suppliers, Transaction, why

Wanted = tuple[ResolvedRecipe, tuple[PackageStage, ...]]
"""A recipe, and the stages whose packages are to be locked."""


def lock_stages(
    wanted: Sequence[Wanted],
    sources: Sources,
    *,
    bundle: Path | None = None,
    listener: Listener = ignore,
) -> Lock:
    """One lock for the packages of all `wanted`, from one state of the repositories.

    Args:
        wanted: the recipes with their stages; their order is that of the lock.
        sources: where packages come from.
        bundle: keep the packages themselves, with all that a build needs, in this directory.
        listener: is told of steps, and of signs of inconsistency.

    Raises:
        FetchError, VerifyError, PackageError: a repository or package cannot be used.
        ResolveError: no consistent set of packages exists; all problems of all stages and
            platforms come together in a `CollectedError`.
        UsageError: the bundle would replace something else.
    """
    if bundle is not None:
        require_bundle_place(bundle)
    require_properties(sources.cache, CACHE_NEEDS)
    with Cache(sources.cache).in_use():
        state = RepositoryState(sources, listener)
        lock = None if bundle is not None else _known(wanted, state, listener)
        supplies = [] if lock is not None else _planned(wanted, state, listener)
        lock = lock or Lock.joined(one.lock for one in supplies)
        findings = state_findings(state, now_epoch())
        report_findings([*findings, *lock_findings(lock)], sources, listener)
        for (one, stages), supply in zip(wanted, supplies, strict=False):
            remember_lock(one, state, stages, supply.lock)
        if bundle is not None:
            _keep(bundle, lock, supplies, state)
        return lock


def repositories_to_update(old: Lock, resolved: Sequence[ResolvedRecipe]) -> tuple[str, ...]:
    """Where an update of `old` looks when nobody says: where it was made from.

    Empty when those are the recipes' own repositories, which may have moved or got mirrors.
    """
    own = {Location.parse(text).name: text for one in resolved for text in one.recipe.repositories}
    used = tuple(dict.fromkeys(one.url for one in old.repositories))
    return () if own.keys() >= set(used) else tuple(own.get(url, url) for url in used)


def sources_to_update(old: Lock, resolved: Sequence[ResolvedRecipe], sources: Sources) -> Sources:
    """`sources` for an update of `old`: its repositories unless others are chosen, and its keys.

    The keys that were given when the lock was made stay trusted, as they are in a build from it. To
    be rid of one, make the lock anew. Mirrors are of the platforms' own repositories, so whoever
    names some gets those.
    """
    used = () if sources.mirrors else repositories_to_update(old, resolved)
    chosen = sources.repositories or tuple(Location.parse(text) for text in used)
    stated = {fingerprint for one in resolved for fingerprint in one.recipe.keys}
    given = tuple(key for key in old.keys if key.fingerprint not in stated)
    return replace(sources, repositories=chosen, lock_keys=given)


def _known(wanted: Sequence[Wanted], state: RepositoryState, listener: Listener) -> Lock | None:
    """The lock of all, if each of them is known from an earlier run."""
    with step(listener, "repositories"):
        for one, _ in wanted:
            state.files(one.recipe)
        found = [known_lock(one, state, stages) for one, stages in wanted]
    known = [lock for lock in found if lock is not None]
    if not known or len(known) < len(found):
        return None
    listener(StepFinished("resolve", 0.0, cached=True))
    return Lock.joined(known)


def _planned(
    wanted: Sequence[Wanted], state: RepositoryState, listener: Listener
) -> list[PlannedSupply]:
    with step(listener, "repositories"):
        for one, _ in wanted:
            state.files(one.recipe)
    with step(listener, "resolve"):
        problems, supplies = Problems(), []
        for one, stages in wanted:
            with problems.noted():
                supplies.append(plan_supply(one.recipe, state, stages))
        problems.raise_all()
        return supplies


def _keep(
    bundle: Path, lock: Lock, supplies: Sequence[PlannedSupply], state: RepositoryState
) -> None:
    files: dict[str, Path] = {}
    for supply in supplies:
        files |= supply.fetch()
    wanted = {
        package.sha256: signed_package(package, supply.repositories)
        for supply in supplies
        for package in supply.lock.packages
    }
    signatures = state.fetcher.signatures([one.wanted for one in wanted.values()])
    repositories = [BundledRepository(one.locked, one.key, one.content) for one in state.opened]
    write_bundle(bundle, lock, repositories, files, signatures)


def bundle_lock(
    lock: Lock,
    lock_file: Path,
    resolved: Sequence[ResolvedRecipe],
    sources: Sources,
    bundle: Path,
    *,
    listener: Listener = ignore,
) -> Lock:
    """Keep exactly the packages that `lock` names for `resolved`; nothing is resolved anew.

    Args:
        lock: what to keep; `read_lock` gives it with its file.
        lock_file: where it is; in a bundle, that bundle's packages are used.
        resolved: the recipes of those of its platforms that are kept.
        sources: where packages come from, and which keys are trusted.
        bundle: the directory to make.
        listener: is told of steps.

    Returns:
        The lock in the bundle.

    Raises:
        FetchError: a package cannot be had any more.
        VerifyError: a key is not trusted, or a package is not what the lock says.
        ResolveError: the lock is not for these recipes, or its packages do not fit together.
        UsageError: the bundle would replace something else.
    """
    require_bundle_place(bundle)
    require_properties(sources.cache, CACHE_NEEDS)
    with Cache(sources.cache).in_use():
        state = RepositoryState(sources, listener)
        parts = [_locked_part(lock, lock_file, one, state) for one in resolved]
        whole = Lock.joined(one.lock for one in parts)
        repositories = {
            locked: BundledRepository(locked, key, supply.index(locked))
            for supply in parts
            for locked, key in zip(supply.lock.repositories, supply.keys, strict=True)
        }
        files: dict[str, Path] = {}
        signatures: dict[str, bytes] = {}
        for supply in parts:
            fetched = supply.fetch()
            supply.steps(fetched)  # they are what the lock says, and fit together
            files |= fetched
            signatures |= supply.signatures()
        write_bundle(bundle, whole, list(repositories.values()), files, signatures)
        return whole


def _locked_part(
    lock: Lock, lock_file: Path, one: ResolvedRecipe, state: RepositoryState
) -> LockedSupply:
    """The packages that `lock` has for all stages of a recipe."""
    known = lock.of_platform(one.recipe.platform, one.recipe.profile).platforms[0]
    own = lock_for(one.recipe, lock, lock_file, tuple(known.stages))
    return LockedSupply(one.recipe, own, state, lock_file)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a package is there.

    Attributes:
        stage: where it comes in.
        step: the package.
        chain: from a request to the package, each link a need; see `Link`.
        needed_by: the pkgvers of all packages of the stage that need it directly.
    """

    stage: PackageStage
    step: Step
    chain: tuple[Link, ...]
    needed_by: tuple[str, ...]


def explain_in_stages(
    wanted: Wanted, pkgname: str, sources: Sources, *, listener: Listener = ignore
) -> Explanation:
    """Why the stages of `wanted` install the package `pkgname`.

    Raises:
        ResolveError: it does not; or no consistent set of packages exists.
        FetchError, VerifyError, PackageError: a repository cannot be used.
    """
    with Cache(sources.cache).in_use():
        state = RepositoryState(sources, listener)
        supply = _planned([wanted], state, listener)[0]
    for stage in supply.stages:
        found = stage.transaction.step(pkgname)
        if found is not None:
            chain = why(stage.transaction, pkgname)
            needed_by = _needed_by(stage.transaction, found)
            return Explanation(stage.stage, found, chain, needed_by)
    everything = tuple(one for stage in supply.stages for one in stage.transaction.steps)
    why(Transaction(everything), pkgname)  # says that it is not there, and what was meant
    raise AssertionError(pkgname)


def _needed_by(transaction: Transaction, step: Step) -> tuple[str, ...]:
    suppliers = Suppliers(transaction.steps)
    return tuple(
        one.pkgver
        for one in transaction.steps
        if any(step in suppliers.of(parse_query(text)) for text in one.strings("run_depends"))
    )
