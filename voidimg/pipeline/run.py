"""Runs a job inside the namespace: takes the planned steps in their order.

Nothing here needs the network, the clock or the host's files but the cache.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from voidimg.artifacts.kind import KindName
from voidimg.artifacts.making import Keep, Making
from voidimg.artifacts.plan import PlannedPart, plan_parts
from voidimg.errors import full_disk_told, storing
from voidimg.events import Heard, Listener, ignore, step
from voidimg.fetch import Cache
from voidimg.file_locks import directory_held
from voidimg.pipeline.job import Job
from voidimg.pipeline.store import ArtifactStore
from voidimg.tree.copy import copy_tree
from voidimg.tree.remove import empty_directory
from voidimg.xbps.install.install import VerifiedPackage

BLOCK_CACHE = "blocks"
"""Directory of compressed blocks below the cache."""
_WARNINGS = "warnings.json"


@dataclass(frozen=True, slots=True)
class Bench:
    """What a job is run with on this machine.

    Attributes:
        cache: the cache directory.
        work: an empty directory on the file system of the cache; emptied again at the end.
        jobs: how many things to do at once.
        shared: a directory of parts that the jobs of a run share; None: nothing is shared.
    """

    cache: Path
    work: Path
    jobs: int
    shared: Path | None = None


def run_job(job: Job, bench: Bench, listener: Listener = ignore) -> None:
    """Make every target of `job` and keep it in the store; each as soon as it is finished.

    Raises:
        VoidimgError: what went wrong, by its class; nothing unfinished is kept.
    """
    cache = Cache(bench.cache, entered=True)
    heard = Heard(listener)
    making = Making(
        recipe=job.recipe,
        date=job.date,
        packages={
            stage: [VerifiedPackage(cache.object_path(one.sha256), one.step) for one in packages]
            for stage, packages in job.packages.items()
        },
        keys=job.keys,
        templates=job.templates,
        own=job.own,
        read_object=lambda sha256: cache.object_path(sha256).read_bytes(),
        compression=job.compression,
        block_cache=bench.cache / BLOCK_CACHE,
        work=bench.work,
        jobs=bench.jobs,
        keep=_keeping(job, ArtifactStore(cache), heard),
        listener=heard,
    )
    try:
        with storing(bench.work, "build in"), full_disk_told(bench.work):
            for planned in plan_parts(job.recipe, job.targets):
                _make_part(planned, job, bench, making, heard)
                for one in planned.kinds:
                    one.take(making)
    finally:
        with step(listener, "clean up"):
            empty_directory(bench.work)


def _keeping(job: Job, store: ArtifactStore, heard: Heard) -> Keep:
    """What gives the finished files of a kind to the store, under the key that the job says."""

    def keep(kind: KindName, files: Mapping[str, Path]) -> None:
        store.keep(job.targets[kind], files, heard.warnings)

    return keep


def _make_part(planned: PlannedPart, job: Job, bench: Bench, making: Making, heard: Heard) -> None:
    """Take the steps of a part, or what another job of the run has made of the very same."""
    digest = job.shared.get(planned.part.name)
    if digest is None or bench.shared is None:
        for one in planned.making:
            one.take(making)
        return
    with _shared_place(bench.shared / digest) as place:
        made = place / "tree"
        if made.is_dir():
            making.clear()
            with step(making.listener, f"{planned.part.name}: take the shared tree"):
                copy_tree(made, making.work / planned.part.tree)
            heard.retell(json.loads((place / _WARNINGS).read_text()))
            return
        before = len(heard.warnings)
        for one in planned.making:
            one.take(making)
        copy_tree(making.work / planned.part.tree, place / "new")
        (place / _WARNINGS).write_text(json.dumps(heard.warnings[before:]))
        (place / "new").rename(made)


@contextmanager
def _shared_place(place: Path) -> Iterator[Path]:
    """The directory of a shared part, locked: one job makes the part, the others wait for it."""
    place.mkdir(exist_ok=True)
    with directory_held(place):
        yield place
