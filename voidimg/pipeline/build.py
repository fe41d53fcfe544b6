"""Builds the artifacts of platforms: plan, fetch, verify, make side by side, publish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock as Mutex

from voidimg.artifacts.kind import KindName
from voidimg.artifacts.registry import KINDS, check_kinds, kinds_of, lock_name, stages_of
from voidimg.atomic import require_writable, write_atomically
from voidimg.events import (
    Event,
    Listener,
    Progress,
    StepFinished,
    StepStarted,
    ignore,
    step,
)
from voidimg.fetch import Cache, require_room
from voidimg.identity import ReleaseDate
from voidimg.pipeline.cache_key import artifact_key, rootfs_tree_key
from voidimg.pipeline.job import Job, JobPackage
from voidimg.pipeline.options import BuildOptions
from voidimg.pipeline.run import Bench, run_job
from voidimg.pipeline.store import Artifact, ArtifactStore
from voidimg.pipeline.workdir import remove_abandoned, workplace
from voidimg.sandbox import namespace
from voidimg.spec.compose import ResolvedRecipe
from voidimg.spec.sources import own_files
from voidimg.spec.stages import PackageStage
from voidimg.spec.templates import Templates
from voidimg.supply.consistency import (
    lock_findings,
    now_epoch,
    report_findings,
    state_findings,
)
from voidimg.supply.lock import Lock
from voidimg.supply.remembered import known_lock, remember_lock
from voidimg.supply.state import RepositoryState
from voidimg.supply.supply import (
    LockedSupply,
    PlannedSupply,
    Supply,
    lock_for,
    plan_supply,
    read_lock,
)
from voidimg.xbps.resolve.transaction import Step

_TREE_FACTOR = 1.15
"""A tree on disk against the sizes packages state: block rounding, directories, caches."""


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build made, in the order it is made, and the lock of the packages it used."""

    artifacts: tuple[Artifact, ...]
    lock: Path


def build(
    resolved: ResolvedRecipe,
    date: ReleaseDate,
    options: BuildOptions,
    *,
    listener: Listener = ignore,
) -> BuildResult:
    """Make the artifacts of `resolved` for the image set of `date`.

    The artifacts appear in ``<out>/<date>/`` by rename, each whole or not at all, with the lock
    that names every package. What an earlier build made from the same inputs is not made again.

    Raises:
        UsageError: an artifact is asked for that the platform has not.
        FetchError, VerifyError, PackageError, ResolveError: from the repositories to the packages.
        DiskFullError: there is not enough room, foreseen or met.
        SandboxError, ScriptError, LayoutError, StoreError, ToolError: from the packages on.
    """
    return build_platforms([resolved], date, options, listener=listener)[0]


def build_platforms(
    resolved: Sequence[ResolvedRecipe],
    date: ReleaseDate,
    options: BuildOptions,
    *,
    listener: Listener = ignore,
) -> tuple[BuildResult, ...]:
    """Make the artifacts of several platforms, all from one state of the repositories.

    The packages of all are known before anything is made; see `build` for the rest.
    """
    require_writable(options.out / str(date))
    with Cache(options.cache).in_use():
        state = RepositoryState(options, listener)
        listeners = _listeners(resolved, listener)
        builds = [
            _Build(one, date, options, state, own)
            for one, own in zip(resolved, listeners, strict=True)
        ]
        for one in builds:
            one.prepare()
        lock = Lock.joined(one.lock for one in builds)
        findings = [*state_findings(state, now_epoch()), *lock_findings(lock)]
        report_findings(findings, options, listener)
        _make_all(builds, options, listener)
        return tuple(one.publish() for one in builds)


def _make_all(builds: Sequence[_Build], options: BuildOptions, listener: Listener) -> None:
    """Make what is not there yet: jobs side by side, what several need the same of once."""
    cache = Cache(options.cache)
    unfinished = [one for one in builds if one.missing]
    for one in builds:
        if one not in unfinished:
            listener(StepFinished("build", 0.0, cached=True))
    if not unfinished:
        remove_abandoned(cache, listener)
        return
    for one in unfinished:
        one.fetch()
    needed = Counter(key for one in unfinished for key in one.tree_keys.values())
    wanted = {key for key, times in needed.items() if times > 1}
    side_by_side = min(len(unfinished), options.jobs)
    each = max(1, options.jobs // side_by_side)
    with workplace(cache, listener) as shared, ThreadPoolExecutor(side_by_side) as pool:
        running = [pool.submit(one.make, shared, wanted, each) for one in unfinished]
        for future in running:
            future.result()


class _Build:
    """One build: its inputs, and what has become known of it."""

    def __init__(
        self,
        resolved: ResolvedRecipe,
        date: ReleaseDate,
        options: BuildOptions,
        state: RepositoryState,
        listener: Listener,
    ):
        self._resolved = resolved
        self._recipe = resolved.recipe
        self._date = date
        self._options = options
        self._state = state
        self._listener = listener
        self._cache = Cache(options.cache)
        self._store = ArtifactStore(self._cache)
        self._kinds = kinds_of(self._recipe, options.artifacts)
        self._stages = stages_of(self._kinds)
        self._supply: Supply | None = None
        self._files: dict[str, Path] = {}
        self._keys: dict[KindName, str] = {}
        self.lock = Lock((), ())
        self.missing: tuple[KindName, ...] = ()

    def prepare(self) -> None:
        """Find out which packages there will be, and which artifacts are not there yet."""
        check_kinds(self._kinds, self._recipe, self._date, self._options.compression)
        if self._options.lock is not None:
            lock, file = read_lock(self._options.lock)
            self.lock = lock_for(self._recipe, lock, file, self._stages)
            self._supply = LockedSupply(self._recipe, self.lock, self._state, file)
        else:
            with step(self._listener, "repositories"):
                self._state.files(self._recipe)
            known = known_lock(self._resolved, self._state, self._stages)
            self.lock = known or self._planned().lock
        self._keys = {kind: self._key(kind) for kind in self._kinds}
        self.missing = tuple(
            kind for kind in self._kinds if self._store.find(self._keys[kind]) is None
        )

    @property
    def tree_keys(self) -> Mapping[str, str]:
        """Part -> digest of all that it is made from, for what platforms can share."""
        if not any(KINDS[kind].begins_with("rootfs") for kind in self.missing):
            return {}
        key = rootfs_tree_key(
            self._resolved, self._date, packages=self._packages(), keys=self._key_names()
        )
        return {"rootfs": key}

    def fetch(self) -> None:
        """Bring the packages into the cache and verify them, if there is room for all."""
        supply = self._supply or self._planned()
        if isinstance(supply, PlannedSupply):  # known before anything is fetched
            self._require_room(supply.steps({}))
        self._files = supply.fetch()
        self._require_room(supply.steps(self._files))

    def make(self, shared: Path, wanted: set[str], jobs: int) -> None:
        """Make what is missing; the parts with a digest in `wanted` are shared below `shared`."""
        supply = self._supply or self._planned()
        steps = supply.steps(self._files)
        job = Job(
            recipe=self._recipe,
            date=self._date,
            templates=Templates.read(self._resolved.templates),
            own=own_files(self._recipe, self._resolved.sources, self._cache.keep_bytes),
            keys={key.fingerprint: key.plist() for key in supply.keys},
            packages={
                stage: tuple(
                    JobPackage(one.sha256, planned)
                    for planned, one in zip(steps[stage], supply.lock.of_stage(stage), strict=True)
                )
                for stage in self._stages
            },
            targets={kind: self._keys[kind] for kind in self.missing},
            compression=self._options.compression,
            shared={part: key for part, key in self.tree_keys.items() if key in wanted},
        )
        with workplace(self._cache, self._listener) as work:
            bench = Bench(self._options.cache, work, jobs, shared)
            namespace.call(run_job, job, bench, listener=self._listener)

    def publish(self) -> BuildResult:
        """Give all artifacts their names, and write the lock beside them."""
        if isinstance(self._supply, PlannedSupply):
            remember_lock(self._resolved, self._state, self._stages, self.lock)
        directory = self._options.out / str(self._date)
        artifacts: list[Artifact] = []
        for kind, key in self._keys.items():
            record = self._store.find(key)
            if record is None:
                raise AssertionError(f"{kind} was made but is not in the store")
            suffix = self._options.compression.suffix
            names = KINDS[kind].file_names(self._recipe, str(self._date), suffix)
            targets = {role: directory / name for role, name in names.items()}
            cached = kind not in self.missing
            artifacts += self._store.publish(key, record, kind, targets, cached=cached)
        lock_file = directory / lock_name(self._recipe, self._date, self._kinds)
        write_atomically(lock_file, self.lock.encode())
        return BuildResult(tuple(artifacts), lock_file)

    # --- plan ---

    def _planned(self) -> PlannedSupply:
        if not isinstance(self._supply, PlannedSupply):
            with step(self._listener, "resolve"):
                self._supply = plan_supply(self._recipe, self._state, self._stages)
        return self._supply

    def _key(self, kind: KindName) -> str:
        return artifact_key(
            kind,
            self._resolved,
            self._date,
            compression=str(self._options.compression),
            packages=self._packages(),
            keys=self._key_names(),
        )

    def _packages(self) -> dict[str, list[tuple[str, str]]]:
        """Stage -> pkgver and SHA-256 of its packages, in the order of installation."""
        return {
            stage: [(one.pkgver, one.sha256) for one in self.lock.of_stage(stage)]
            for stage in self._stages
        }

    def _key_names(self) -> list[str]:
        """The fingerprints of the keys that the tree will trust."""
        return sorted({one.key for one in self.lock.repositories if one.key is not None})

    def _require_room(self, steps: Mapping[PackageStage, Sequence[Step]]) -> None:
        """Refuse before work starts what cannot fit: the tree, and the artifacts beside it."""
        sizes = (one.entry.get("installed_size") for stage in steps.values() for one in stage)
        tree = int(sum(size for size in sizes if isinstance(size, int)) * _TREE_FACTOR)
        copies = 1 + sum(KINDS[kind].room(self._options.compression) for kind in self.missing)
        require_room(self._options.cache, int(tree * copies), f"building {self._recipe.platform}")


def _listeners(resolved: Sequence[ResolvedRecipe], listener: Listener) -> list[Listener]:
    """A listener for each build; those of several may be told by several threads at once."""
    if len(resolved) == 1:
        return [listener]
    mutex = Mutex()
    return [_named_after(one.recipe.platform, listener, mutex) for one in resolved]


def _named_after(platform: str, listener: Listener, mutex: Mutex) -> Listener:
    """A listener for one of several jobs side by side: steps are called after their platform."""

    def tell(event: Event) -> None:
        named: Event
        match event:
            case StepStarted(name):
                named = StepStarted(f"{platform}: {name}")
            case Progress(name, done, total, unit):
                named = Progress(f"{platform}: {name}", done, total, unit)
            case StepFinished(name, seconds, cached):
                named = StepFinished(f"{platform}: {name}", seconds, cached)
            case other:
                named = other
        with mutex:
            listener(named)

    return tell
