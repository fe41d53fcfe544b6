"""Runs what makes the artifacts of a release: in this process, or by any executor.

An executor is asked for ``submit`` and ``shutdown`` only. A task is a module-level function of
plain data: recipes, a date, options, the path of the lock and of the directory that its files go
to. Its workers see both under the same paths, as on one machine or a shared file system. Each uses
the cache that the variable ``VOIDIMG_CACHE`` of its own environment names, else that of the run. A
task may run twice: what it writes appears by rename, and has the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path

from voidimg.errors import ReleaseError, VoidimgError
from voidimg.events import Listener, StepFinished, StepStarted
from voidimg.identity import ReleaseDate
from voidimg.pipeline.build import MadeArtifacts, WantedArtifacts, make_artifacts
from voidimg.pipeline.options import BuildOptions

CACHE_VARIABLE = "VOIDIMG_CACHE"
"""Names the cache of a worker, as it does that of the command."""

Outcome = MadeArtifacts | VoidimgError


@dataclass(frozen=True, slots=True)
class MakingTask:
    """Artifacts that one worker makes: those of recipes that share a tree."""

    wanted: tuple[WantedArtifacts, ...]
    date: ReleaseDate
    options: BuildOptions
    place: Path


def run_task(task: MakingTask) -> tuple[Outcome, ...]:
    """Make the artifacts of `task`; what became of each of its recipes, in their order."""
    options = task.options
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        options = replace(options, cache=Path(own).absolute())
    try:
        return make_artifacts(task.wanted, task.date, options, task.place, keep_going=True)
    except VoidimgError as error:
        return tuple(error for _ in task.wanted)


def make_groups(
    clusters: Sequence[Sequence[WantedArtifacts]],
    date: ReleaseDate,
    options: BuildOptions,
    place: Path,
    *,
    keep_going: bool,
    executor: Executor | None,
    listener: Listener,
) -> list[Outcome]:
    """Make what `clusters` want in the directory `place`; what became of each, in their order.

    Raises:
        VoidimgError: as `make_artifacts` does.
    """
    if executor is None:
        wanted = [one for cluster in clusters for one in cluster]
        made = make_artifacts(
            wanted, date, options, place, keep_going=keep_going, listener=listener
        )
        return list(made)
    tasks = [MakingTask(tuple(cluster), date, options, place) for cluster in clusters]
    futures = []
    for task in tasks:
        listener(StepStarted(_title(task)))
        futures.append(executor.submit(run_task, task))
    found: list[Outcome] = []
    for task, future in zip(tasks, futures, strict=True):
        outcomes = _result(future, task)
        seconds = sum(one.seconds for one in outcomes if isinstance(one, MadeArtifacts))
        listener(StepFinished(_title(task), seconds))
        failed = [one for one in outcomes if isinstance(one, VoidimgError)]
        if failed and not keep_going and not all(one.may_fail for one in task.wanted):
            for other in futures:
                other.cancel()
            raise failed[0]
        found += outcomes
    return found


def _result(future: Future[tuple[Outcome, ...]], task: MakingTask) -> tuple[Outcome, ...]:
    """What came of a task; a worker that was lost is an error of all its recipes."""
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001 - each executor has exceptions of its own
        lost = ReleaseError(
            f"the executor has lost the worker that made {_title(task)}: "
            f"{type(error).__name__}: {error}",
            code="EXECUTOR",
            hint="see what its workers say, and start the release again: it goes on",
        )
        return tuple(lost for _ in task.wanted)


def _title(task: MakingTask) -> str:
    return ", ".join(one.title for one in task.wanted)
