"""Builds the artifacts of one platform: plan, fetch, verify, make, publish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voidimg.disk.compress import Compression
from voidimg.events import Listener, StepFinished, ignore, step
from voidimg.fetch import Cache, require_room
from voidimg.identity import ReleaseDate
from voidimg.pipeline.artifacts import (
    LIVE_KINDS,
    Artifact,
    ArtifactStore,
    Kind,
    artifact_name,
    kinds_of,
    lock_name,
    require_compression,
    write_atomically,
)
from voidimg.pipeline.cache_key import artifact_key
from voidimg.pipeline.job import WorkOrder
from voidimg.pipeline.live import probe_live
from voidimg.pipeline.options import BuildOptions
from voidimg.pipeline.outputs import require_writable
from voidimg.pipeline.work import make_artifacts
from voidimg.pipeline.workdir import remove_abandoned, workplace
from voidimg.sandbox import namespace
from voidimg.spec.compose import ResolvedRecipe
from voidimg.spec.stages import PackageStage
from voidimg.supply.consistency import (
    lock_findings,
    now_epoch,
    report_findings,
    state_findings,
)
from voidimg.supply.lock import Lock
from voidimg.supply.remembered import known_lock, remember_lock
from voidimg.supply.resolve import stages_of
from voidimg.supply.state import RepositoryState
from voidimg.supply.supply import (
    LockedSupply,
    PlannedSupply,
    Supply,
    lock_for,
    plan_supply,
    read_lock,
)
from voidimg.xbps.install.install import VerifiedPackage
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
        builds = [_Build(one, date, options, state, listener) for one in resolved]
        for one in builds:
            one.prepare()
        lock = Lock.joined(one.lock for one in builds)
        findings = [*state_findings(state, now_epoch()), *lock_findings(lock)]
        report_findings(findings, options, listener)
        return tuple(one.run() for one in builds)


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
        self.lock = Lock((), ())

    def prepare(self) -> None:
        """Find out which packages there will be."""
        require_compression(self._kinds, self._options.compression)
        if not LIVE_KINDS.isdisjoint(self._kinds):
            probe_live(self._recipe, self._date, self._kinds)
        if self._options.lock is not None:
            lock, file = read_lock(self._options.lock)
            self.lock = lock_for(self._recipe, lock, file, self._stages)
            self._supply = LockedSupply(self._recipe, self.lock, self._state, file)
            return
        with step(self._listener, "repositories"):
            self._state.files(self._recipe)
        known = known_lock(self._resolved, self._state, self._stages)
        self.lock = known or self._planned().lock

    def run(self) -> BuildResult:
        """Make what is not there yet, and publish all."""
        keys = {kind: self._key(kind, self.lock) for kind in self._kinds}
        missing = [kind for kind in self._kinds if self._store.find(keys[kind]) is None]
        if missing:
            supply = self._supply or self._planned()
            self._make(supply, {kind: keys[kind] for kind in missing})
        else:
            remove_abandoned(self._cache, self._listener)
            self._listener(StepFinished("build", 0.0, cached=True))
        if isinstance(self._supply, PlannedSupply):
            remember_lock(self._resolved, self._state, self._stages, self.lock)
        return self._publish(self.lock, keys, set(missing))

    # --- plan and make ---

    def _planned(self) -> PlannedSupply:
        if not isinstance(self._supply, PlannedSupply):
            with step(self._listener, "resolve"):
                self._supply = plan_supply(self._recipe, self._state, self._stages)
        return self._supply

    def _key(self, kind: Kind, lock: Lock) -> str:
        return artifact_key(
            kind,
            self._resolved,
            self._date,
            compression=str(self._options.compression),
            packages={
                stage: [(one.pkgver, one.sha256) for one in lock.of_stage(stage)]
                for stage in self._stages
            },
            keys=sorted({one.key for one in lock.repositories if one.key is not None}),
        )

    def _make(self, supply: Supply, targets: Mapping[Kind, str]) -> None:
        if isinstance(supply, PlannedSupply):  # known before anything is fetched
            self._require_room(supply.steps({}), targets)
        files = supply.fetch()
        steps = supply.steps(files)
        self._require_room(steps, targets)
        with workplace(self._cache, self._listener) as work:
            order = WorkOrder(
                recipe=self._recipe,
                date=self._date,
                templates=self._resolved.templates,
                sources=self._resolved.sources,
                keys={key.fingerprint: key.plist() for key in supply.keys},
                packages={
                    stage: tuple(
                        VerifiedPackage(files[one.sha256], planned)
                        for planned, one in zip(
                            steps[stage], supply.lock.of_stage(stage), strict=True
                        )
                    )
                    for stage in self._stages
                },
                targets=targets,
                compression=self._options.compression,
                cache=self._options.cache,
                work=work,
                jobs=self._options.jobs,
            )
            namespace.call(make_artifacts, order, listener=self._listener)

    def _require_room(
        self, steps: Mapping[PackageStage, Sequence[Step]], targets: Mapping[Kind, str]
    ) -> None:
        """Refuse before work starts what cannot fit: the tree, and the artifacts beside it."""
        sizes = (one.entry.get("installed_size") for stage in steps.values() for one in stage)
        tree = int(sum(size for size in sizes if isinstance(size, int)) * _TREE_FACTOR)
        copies = 1 + sum(_share(kind, self._options.compression) for kind in targets)
        require_room(self._options.cache, int(tree * copies), f"building {self._recipe.platform}")

    def _publish(self, lock: Lock, keys: Mapping[Kind, str], made: set[Kind]) -> BuildResult:
        directory = self._options.out / str(self._date)
        lock_file = directory / lock_name(self._recipe, self._date, self._kinds)
        artifacts = []
        for kind, key in keys.items():
            record = self._store.find(key)
            if record is None:
                raise AssertionError(f"{kind} was made but is not in the store")
            name = artifact_name(kind, self._recipe, self._date, self._options.compression.suffix)
            artifacts.append(
                self._store.publish(key, record, kind, directory / name, cached=kind not in made)
            )
        write_atomically(lock_file, lock.encode())
        return BuildResult(tuple(artifacts), lock_file)


def _share(kind: Kind, compression: Compression) -> float:
    """Room for an artifact, as a share of the tree; an image is there raw and compressed."""
    if kind in LIVE_KINDS:
        return 1.0  # the squashfs, and the ISO or tarball that holds it
    packed = 1.0 if compression.kind == "none" else 0.4
    return packed + 1.0 if kind == "image" else packed
