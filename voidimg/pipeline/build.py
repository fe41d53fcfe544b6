"""Builds the artifacts of one platform: plan, fetch, verify, make, publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from voidimg.disk.compress import Compression
from voidimg.errors import UsageError
from voidimg.events import Listener, StepFinished, ignore, step
from voidimg.fetch import Cache, Fetcher, Location, RepodataFile, require_room
from voidimg.identity import ReleaseDate
from voidimg.pipeline.artifacts import (
    KINDS,
    Artifact,
    ArtifactStore,
    Kind,
    artifact_name,
    lock_name,
    write_atomically,
)
from voidimg.pipeline.fingerprint import artifact_key, digest, recipe_digest
from voidimg.pipeline.options import BuildOptions
from voidimg.pipeline.planning import (
    INSTALL_STAGES,
    StagePlan,
    make_lock,
    plan_stages,
    signed_package,
)
from voidimg.pipeline.repositories import (
    OpenRepository,
    fetch_repodata,
    open_repositories,
    state_digest,
)
from voidimg.pipeline.trust import Trust, fetch_verified
from voidimg.pipeline.work import WorkOrder, make_artifacts
from voidimg.pipeline.workplace import remove_abandoned, workplace
from voidimg.sandbox import namespace
from voidimg.spec.compose import ResolvedRecipe
from voidimg.spec.model import Recipe
from voidimg.xbps.installer import VerifiedPackage
from voidimg.xbps.lock import Lock

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
    return _Build(resolved, date, options, listener).run()


class _Build:
    """One build: its inputs, and what has become known of it."""

    def __init__(
        self,
        resolved: ResolvedRecipe,
        date: ReleaseDate,
        options: BuildOptions,
        listener: Listener,
    ):
        self._resolved = resolved
        self._recipe = resolved.recipe
        self._date = date
        self._options = options
        self._listener = listener
        self._cache = Cache(options.cache)
        self._store = ArtifactStore(self._cache)
        self._fetcher = Fetcher(self._cache, jobs=max(4, options.jobs), listener=listener)
        self._kinds = _kinds(self._recipe, options)

    def run(self) -> BuildResult:
        with step(self._listener, "repositories"):
            trust = Trust.of(self._options.repo_keys, self._recipe.keys)
            files = fetch_repodata(self._fetcher, self._locations(), self._recipe.arch)
        plan, lock = None, self._known_lock(files, trust)
        if lock is None:
            plan = self._plan(files, trust)
            lock = plan.lock
        keys = {kind: self._key(kind, lock) for kind in self._kinds}
        missing = [kind for kind in self._kinds if self._store.find(keys[kind]) is None]
        if missing:
            self._make(plan or self._plan(files, trust), {kind: keys[kind] for kind in missing})
        else:
            remove_abandoned(self._cache, self._listener)
            self._listener(StepFinished("build", 0.0, cached=True))
        self._remember(files, trust, lock)
        return self._publish(lock, keys, set(missing))

    def _locations(self) -> tuple[Location, ...]:
        own = tuple(Location.parse(text) for text in self._recipe.repositories)
        return self._options.repositories or own

    # --- what is known from an earlier build ---

    def _memory(self, files: tuple[RepodataFile, ...], trust: Trust) -> tuple[str, ...]:
        inputs = [state_digest(files), recipe_digest(self._resolved), sorted(trust.fingerprints)]
        return ("plans", digest(inputs))

    def _known_lock(self, files: tuple[RepodataFile, ...], trust: Trust) -> Lock | None:
        path = self._cache.part(*self._memory(files, trust))
        return Lock.decode(path.read_bytes(), where=str(path)) if path.exists() else None

    def _remember(self, files: tuple[RepodataFile, ...], trust: Trust, lock: Lock) -> None:
        self._cache.write_small(lock.encode(), *self._memory(files, trust))

    # --- plan and make ---

    def _plan(self, files: tuple[RepodataFile, ...], trust: Trust) -> _Plan:
        with step(self._listener, "resolve"):
            repositories = open_repositories(files, self._recipe.arch, trust)
            stages = plan_stages(self._recipe, repositories)
            return _Plan(repositories, stages, make_lock(repositories, stages))

    def _key(self, kind: Kind, lock: Lock) -> str:
        return artifact_key(
            kind,
            self._resolved,
            self._date,
            compression=str(self._options.compression),
            packages={
                stage: [(one.pkgver, one.sha256) for one in lock.of_stage(stage)]
                for stage in INSTALL_STAGES
            },
            keys=sorted({one.key for one in lock.repositories if one.key is not None}),
        )

    def _make(self, plan: _Plan, targets: Mapping[Kind, str]) -> None:
        self._require_room(plan, targets)
        signed = [signed_package(one, plan.repositories) for one in plan.lock.packages]
        files = fetch_verified(self._fetcher, signed, self._options.jobs)
        with workplace(self._cache, self._listener) as work:
            order = WorkOrder(
                recipe=self._recipe,
                date=self._date,
                templates=self._resolved.templates,
                keys={one.key.fingerprint: one.key.plist() for one in plan.repositories},
                packages={
                    stage.stage: tuple(
                        VerifiedPackage(files[one.sha256], planned)
                        for planned, one in zip(
                            stage.transaction.steps,
                            plan.lock.of_stage(stage.stage),
                            strict=True,
                        )
                    )
                    for stage in plan.stages
                },
                targets=targets,
                compression=self._options.compression,
                cache=self._options.cache,
                work=work,
                jobs=self._options.jobs,
            )
            namespace.call(make_artifacts, order, listener=self._listener)

    def _require_room(self, plan: _Plan, targets: Mapping[Kind, str]) -> None:
        """Refuse before work starts what cannot fit: the tree, and the artifacts beside it."""
        tree = int(sum(stage.installed_bytes for stage in plan.stages) * _TREE_FACTOR)
        copies = 1 + sum(_share(kind, self._options.compression) for kind in targets)
        require_room(self._options.cache, int(tree * copies), f"building {self._recipe.platform}")

    def _publish(self, lock: Lock, keys: Mapping[Kind, str], made: set[Kind]) -> BuildResult:
        directory = self._options.out / str(self._date)
        lock_file = directory / lock_name(self._recipe, self._date)
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


@dataclass(frozen=True, slots=True)
class _Plan:
    repositories: tuple[OpenRepository, ...]
    stages: tuple[StagePlan, ...]
    lock: Lock


def _kinds(recipe: Recipe, options: BuildOptions) -> tuple[Kind, ...]:
    has_image = recipe.disk is not None
    if options.artifacts:
        if "image" in options.artifacts and not has_image:
            raise UsageError(
                f"{recipe.platform} has no disk image",
                code="ARTIFACT",
                where="--artifact image",
                hint="its platform file has no [disk]",
            )
        return options.artifacts
    return tuple(kind for kind in KINDS if kind != "image" or has_image)


def _share(kind: Kind, compression: Compression) -> float:
    """Room for an artifact, as a share of the tree; an image is there raw and compressed."""
    packed = 1.0 if compression.kind == "none" else 0.4
    return packed + 1.0 if kind == "image" else packed
