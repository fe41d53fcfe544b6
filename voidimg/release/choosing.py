"""The one lock of an image set: given, chosen by an interrupted run, or resolved now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voidimg.artifacts.registry import KINDS, stages_of
from voidimg.catalog.sets import ResolvedSet
from voidimg.errors import ResolveError, VoidimgError, every_error
from voidimg.events import Listener, Message, ignore
from voidimg.fetch import Cache
from voidimg.identity import ReleaseDate
from voidimg.release.options import ReleaseOptions
from voidimg.release.remembered import forget, recall, remember
from voidimg.release.rows import PlannedArtifact, grouped
from voidimg.supply.lock import Lock
from voidimg.supply.pin import Wanted, lock_stages
from voidimg.supply.sources import Sources
from voidimg.supply.supply import read_lock


@dataclass(frozen=True, slots=True)
class ChosenLock:
    """The lock, and what could not be resolved and may be missing.

    Attributes:
        lock: which packages.
        left_out: name of an optional artifact -> why there is nothing to make it of.
        given: the file or bundle that the caller named; None: the caller did not.
        recalled: an interrupted run has chosen it.
        key: under which it is remembered until the image set is there.
    """

    lock: Lock
    left_out: Mapping[str, str]
    given: Path | None
    recalled: bool
    key: object

    def forget(self, cache: Cache) -> None:
        """Let the next run choose anew."""
        if self.given is None:
            forget(cache, self.key)


def choose_lock(
    whole: ResolvedSet,
    date: ReleaseDate,
    planned: Sequence[PlannedArtifact],
    options: ReleaseOptions,
    *,
    keep: bool = True,
    listener: Listener = ignore,
) -> ChosenLock:
    """The lock that all `planned` artifacts are made from.

    With `keep` a run that follows an interrupted one goes on with it.

    Raises:
        FetchError, VerifyError, PackageError, ResolveError, SpecError: as `lock_stages` does.
    """
    build = options.build
    places = [repr(one) for one in (*build.repositories, *build.added, *build.mirrors)]
    names = [one.name for one in planned]
    key = ["lock", whole.as_json(), str(date), names, places]
    if build.lock is not None:
        lock, _file = read_lock(build.lock)
        return ChosenLock(lock, not_in(lock, planned), build.lock, recalled=False, key=key)
    cache = Cache(build.cache)
    found = recall(cache, key)
    if isinstance(found, dict):
        try:
            lock = Lock.decode(found["lock"].encode(), "the lock of the interrupted run")
        except VoidimgError:
            forget(cache, key)
        else:
            text = "going on with the packages that an interrupted run of this release has chosen"
            listener(Message("note", text))
            return ChosenLock(lock, found["left_out"], None, recalled=True, key=key)
    lock, left_out = resolve_planned(planned, build, listener=listener)
    if keep:
        remember(cache, key, {"lock": lock.encode().decode("ascii"), "left_out": left_out})
    return ChosenLock(lock, left_out, None, recalled=False, key=key)


def resolve_planned(
    planned: Sequence[PlannedArtifact],
    sources: Sources,
    *,
    bundle: Path | None = None,
    listener: Listener = ignore,
) -> tuple[Lock, dict[str, str]]:
    """One lock for all `planned`, and the optional ones that nothing can be found for, with why.

    Raises:
        FetchError, VerifyError, PackageError, ResolveError: as `lock_stages` does.
    """
    groups = list(grouped(planned).values())
    left_out: dict[str, str] = {}
    for group in groups:
        if all(one.optional is not None for one in group):
            left_out |= _unresolved(group, sources, listener)
    kept: dict[tuple[str, str], list[PlannedArtifact]] = {}
    for one in planned:
        recipe = one.resolved.recipe
        if one.name not in left_out:
            kept.setdefault((recipe.platform, recipe.profile), []).append(one)
    wanted = [_wanted(group) for group in kept.values()]
    return lock_stages(wanted, sources, bundle=bundle, listener=listener), left_out


def _unresolved(
    group: Sequence[PlannedArtifact], sources: Sources, listener: Listener
) -> dict[str, str]:
    try:
        lock_stages([_wanted(group)], sources, listener=listener)
    except VoidimgError as error:
        if not all(isinstance(one, ResolveError) for one in every_error(error)):
            raise
        text = f"{group[0].name} is left out, {group[0].optional}: {error.sentence}"
        listener(Message("warning", text))
        return {one.name: error.sentence for one in group}
    return {}


def not_in(lock: Lock, planned: Sequence[PlannedArtifact]) -> dict[str, str]:
    """The optional artifacts whose platforms a lock that was given does not have."""
    known = {(one.platform, one.profile) for one in lock.platforms}
    return {
        one.name: "the lock has no packages for it"
        for one in planned
        if one.optional is not None
        and (one.resolved.recipe.platform, one.resolved.recipe.profile) not in known
    }


def _wanted(group: Sequence[PlannedArtifact]) -> Wanted:
    kinds = [kind for kind in KINDS if kind in {one.kind for one in group}]
    return (group[0].resolved, stages_of(kinds))
