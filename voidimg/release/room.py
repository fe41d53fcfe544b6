"""What a release takes: to fetch, on disk, of time; known from the lock, before work starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voidimg.artifacts.registry import KINDS, stages_of
from voidimg.disk.compress import Compression
from voidimg.fetch import Cache, require_room
from voidimg.release.last_run import LastRun, last_run
from voidimg.release.options import ReleaseOptions
from voidimg.release.rows import PlannedArtifact, grouped
from voidimg.supply.lock import Lock

_UNPACKED = 3.0
"""A tree on disk against its packages, which are zstd: Void's have 3 to 4."""


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """An artifact and what it takes; sizes in bytes.

    `fetch_bytes` are its packages, all of them; `disk_bytes` what its job needs beside them while
    it runs, an estimate; `last` is the run before.
    """

    planned: PlannedArtifact
    fetch_bytes: int
    disk_bytes: int
    last: LastRun | None

    def as_json(self) -> dict[str, object]:
        """The row as a JSON-ready mapping."""
        return {
            **self.planned.as_json(),
            "fetch_bytes": self.fetch_bytes,
            "disk_bytes": self.disk_bytes,
            "last_seconds": None if self.last is None else self.last.seconds,
            "last_bytes": None if self.last is None else self.last.size,
        }


def planned_rows(
    planned: Sequence[PlannedArtifact], lock: Lock, options: ReleaseOptions
) -> tuple[PlannedRow, ...]:
    """What each of `planned` takes when it is made from `lock`."""
    cache = Cache(options.build.cache)
    rows = []
    for group in grouped(planned).values():
        recipe = group[0].resolved.recipe
        own = lock.of_platform(recipe.platform, recipe.profile)
        for one in group:
            stages = stages_of([one.kind])
            fetch = sum(package.size for package in own.packages if package.stage in stages)
            disk = _disk_bytes([one], fetch, options.build.compression)
            rows.append(PlannedRow(one, fetch, disk, last_run(cache, one)))
    order = {one.name: number for number, one in enumerate(planned)}
    return tuple(sorted(rows, key=lambda row: order[row.planned.name]))


def _disk_bytes(group: Sequence[PlannedArtifact], fetch: int, compression: Compression) -> int:
    """The tree, and the artifacts beside it."""
    return int(fetch * _UNPACKED * (1 + kept_share(group, compression)))


def kept_share(group: Sequence[PlannedArtifact], compression: Compression) -> float:
    """The room that the finished artifacts of a job take, as a share of that of its tree."""
    return sum(KINDS[one.kind].room(compression) for one in group)


def needed_bytes(
    planned: Sequence[PlannedArtifact], lock: Lock, compression: Compression, jobs: int
) -> int:
    """What making `planned` takes in the cache at most, `jobs` side by side; an estimate.

    All packages, all finished artifacts, and the trees of the largest jobs.
    """
    kept, trees = 0.0, []
    fetched: dict[str, int] = {}
    for group in grouped(planned).values():
        recipe = group[0].resolved.recipe
        own = lock.of_platform(recipe.platform, recipe.profile)
        stages = stages_of([kind for kind in KINDS if kind in {one.kind for one in group}])
        packages = [one for one in own.packages if one.stage in stages]
        fetched |= {one.sha256: one.size for one in packages}
        tree = sum(one.size for one in packages) * _UNPACKED
        trees.append(tree)
        kept += tree * kept_share(group, compression)
    largest = sorted(trees, reverse=True)[: max(1, jobs)]
    return int(sum(fetched.values()) + kept + sum(largest))


def require_room_for(
    planned: Sequence[PlannedArtifact], lock: Lock, options: ReleaseOptions
) -> None:
    """Refuse before work starts what cannot fit.

    What the cache has already counts as not there, so the estimate errs by what a run before left.

    Raises:
        DiskFullError: there is not enough room.
    """
    build = options.build
    needed = needed_bytes(planned, lock, build.compression, build.jobs)
    there = sum(_kept_bytes(Cache(build.cache), one) for one in planned)
    require_room(build.cache, max(0, needed - there), f"releasing {len(planned)} artifacts")


def _kept_bytes(cache: Cache, planned: PlannedArtifact) -> int:
    """What a run before has left of an artifact, which need not be made again."""
    last = last_run(cache, planned)
    return 0 if last is None else last.size
