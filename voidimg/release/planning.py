"""The plan of a release, and its lock, before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voidimg.catalog.sets import ResolvedSet
from voidimg.disk.compress import parse_compression
from voidimg.events import Listener, ignore
from voidimg.identity import ReleaseDate
from voidimg.release.choosing import choose_lock, resolve_planned
from voidimg.release.options import ReleaseOptions
from voidimg.release.room import PlannedRow, needed_bytes, planned_rows
from voidimg.release.rows import PlannedArtifact, planned_artifacts
from voidimg.release.sharing import of_shard
from voidimg.supply.lock import Lock
from voidimg.supply.sources import Sources


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """The artifacts of a release in their order, and what making all of them takes.

    `needed_bytes` is an estimate of the room in the cache: packages, finished artifacts, and the
    trees of the jobs that run side by side.
    """

    rows: tuple[PlannedRow, ...]
    needed_bytes: int

    def as_json(self) -> dict[str, object]:
        """The plan as a JSON-ready mapping."""
        return {
            "rows": [row.as_json() for row in self.rows],
            "needed_bytes": self.needed_bytes,
        }


def plan_release(
    whole: ResolvedSet,
    date: ReleaseDate,
    options: ReleaseOptions,
    *,
    listener: Listener = ignore,
) -> ReleasePlan:
    """What a release of `whole` would make, and what each artifact takes.

    Packages are resolved if no lock is given; none is fetched.

    Raises:
        SpecError, UsageError, FetchError, VerifyError, ResolveError: as a release would.
    """
    planned = share_of(planned_artifacts(whole, date, options.build.compression), options)
    chosen = choose_lock(whole, date, planned, options, keep=False, listener=listener)
    there = [one for one in planned if one.name not in chosen.left_out]
    return ReleasePlan(
        planned_rows(there, chosen.lock, options),
        needed_bytes(there, chosen.lock, options.build.compression, options.build.jobs),
    )


def share_of(
    planned: tuple[PlannedArtifact, ...], options: ReleaseOptions
) -> tuple[PlannedArtifact, ...]:
    """Those of `planned` that the options ask for: all, or a share."""
    return planned if options.shard is None else of_shard(planned, options.shard)


def lock_set(
    whole: ResolvedSet, sources: Sources, *, bundle: Path | None = None, listener: Listener = ignore
) -> Lock:
    """The one lock that all artifacts of `whole` are made from; optional ones may be missing in it.

    Args:
        whole: the set.
        sources: where packages come from.
        bundle: keep the packages themselves in this directory.
        listener: is told of steps, and of what is left out.

    Raises:
        FetchError, VerifyError, PackageError, ResolveError: as `lock_platforms` does.
    """
    planned = planned_artifacts(whole, ReleaseDate.today(), parse_compression("xz"))
    return resolve_planned(planned, sources, bundle=bundle, listener=listener)[0]
