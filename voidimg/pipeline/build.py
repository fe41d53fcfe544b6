"""Builds the artifacts of platforms: plan, fetch, verify, make side by side, publish."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock as Mutex

from voidimg.artifacts.kind import KindName
from voidimg.artifacts.registry import (
    KINDS,
    check_kinds,
    kinds_of,
    lock_name,
    stages_of,
)
from voidimg.atomic import require_writable, write_atomically
from voidimg.errors import VoidimgError
from voidimg.events import (
    Event,
    Heard,
    Listener,
    Message,
    Progress,
    StepFinished,
    StepStarted,
    ignore,
    step,
)
from voidimg.fetch import Cache, require_room
from voidimg.identity import ReleaseDate
from voidimg.pipeline.cache_key import artifact_key, rootfs_tree_key
from voidimg.pipeline.existing import (
    lock_to_write,
    require_not_released,
    require_same,
    require_unsigned,
)
from voidimg.pipeline.job import Job, JobPackage
from voidimg.pipeline.options import BuildOptions
from voidimg.pipeline.run import Bench, run_job
from voidimg.pipeline.store import Artifact, ArtifactStore, Record
from voidimg.pipeline.workdir import remove_abandoned, workplace
from voidimg.sandbox import limits, namespace
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
from voidimg.supply.lock import Lock, LockedPackage
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
from voidimg.work_filesystem import PRIVILEGED, require_properties
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
        UsageError: an artifact is asked for that the platform has not; the image set is signed, or
            has a different file already, and it was not asked to change that.
        FetchError, VerifyError, PackageError, ResolveError: from the repositories to the packages.
        DiskFullError: there is not enough room, foreseen or met.
        StoreError: the file system of the cache cannot hold a tree; nothing is fetched.
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
    Cache(options.cache).make_directory()
    require_writable(options.out / str(date))
    require_properties(options.cache)
    require_not_released(options.out / str(date))
    if not options.into_signed:
        require_unsigned(options.out / str(date))
    with Cache(options.cache).in_use():
        state = RepositoryState(options, listener)
        listeners = _listeners(resolved, listener)
        builds = [
            _Build(one, date, options, state, own)
            for one, own in zip(resolved, listeners, strict=True)
        ]
        failing = _Failing(builds, keep_going=False)
        failing.each(_Build.prepare)
        lock = Lock.joined(one.lock for one in builds)
        findings = [*state_findings(state, now_epoch()), *lock_findings(lock)]
        report_findings(findings, options, listener)
        for one in builds:
            one.require_replaceable()
        _make_all(failing, options, listener)
        return tuple(one.publish() for one in builds)


@dataclass(frozen=True, slots=True)
class WantedArtifacts:
    """Artifacts that are wanted of one recipe."""

    resolved: ResolvedRecipe
    kinds: tuple[KindName, ...]
    may_fail: bool = False
    """Whether an error of it keeps no other from being made."""

    @property
    def title(self) -> str:
        """What is built, for people."""
        recipe = self.resolved.recipe
        own = recipe.profile == recipe.own_profile
        return recipe.platform if own else f"{recipe.platform} {recipe.profile}"


@dataclass(frozen=True, slots=True)
class MadeArtifacts:
    """What was made of one recipe; `seconds` is the time it took, 0 when all was there already."""

    artifacts: tuple[Artifact, ...]
    seconds: float


def make_artifacts(
    wanted: Sequence[WantedArtifacts],
    date: ReleaseDate,
    options: BuildOptions,
    place: Path,
    *,
    keep_going: bool = False,
    listener: Listener = ignore,
) -> tuple[MadeArtifacts | VoidimgError, ...]:
    """Make exactly what is `wanted`, and give it names in `place`.

    No lock is written beside the artifacts. See `build` for the rest.

    Args:
        wanted: recipes, each with what is wanted of it.
        date: of the image set.
        options: `artifacts` and `out` are not looked at.
        place: a directory that is there.
        keep_going: no error of one keeps any other from being made.
        listener: is told of the steps, which have the names of their recipes.

    Returns:
        What became of each of `wanted`, in their order: without `keep_going` an error only of
        those that may fail.

    Raises:
        VoidimgError: as `build` does; with `keep_going` only what concerns all of them.
    """
    Cache(options.cache).make_directory()
    require_properties(options.cache)
    with Cache(options.cache).in_use():
        state = RepositoryState(options, listener)
        lock = None if options.lock is None else read_lock(options.lock)
        mutex = Mutex()
        builds = [
            _Build(
                one.resolved,
                date,
                options,
                state,
                _named_after(one.title, listener, mutex),
                kinds=one.kinds,
                place=place,
                lock=lock,
                may_fail=one.may_fail,
            )
            for one in wanted
        ]
        failing = _Failing(builds, keep_going=keep_going)
        failing.each(_Build.prepare)
        _make_all(failing, options, listener)
        made: dict[_Build, MadeArtifacts] = {}

        def publish(one: _Build) -> None:
            made[one] = MadeArtifacts(one.publish_artifacts(), one.seconds)

        failing.each(publish)
        return tuple(failing.errors.get(one) or made[one] for one in builds)


class _Failing:
    """The builds of a run, and the errors of those that failed."""

    def __init__(self, builds: Sequence[_Build], *, keep_going: bool):
        self._builds = builds
        self._keep_going = keep_going
        self.errors: dict[_Build, VoidimgError] = {}

    @property
    def sound(self) -> list[_Build]:
        """Those that have not failed."""
        return [one for one in self._builds if one not in self.errors]

    def each(self, do: Callable[[_Build], None]) -> None:
        """Call `do` with each that has not failed, and note its errors."""
        for one in self.sound:
            with self.noted(one):
                do(one)

    @contextmanager
    def noted(self, build: _Build) -> Iterator[None]:
        """An error in the block is raised, or kept as that of `build`."""
        try:
            yield
        except VoidimgError as error:
            if not self._keep_going and not build.may_fail:
                raise
            self.errors[build] = error


def _make_all(failing: _Failing, options: BuildOptions, listener: Listener) -> None:
    """Make what is not there yet: jobs side by side, what several need the same of once."""
    cache = Cache(options.cache)
    for one in failing.sound:
        if not one.missing:
            listener(StepFinished("build", 0.0, cached=True))
    if not any(one.missing for one in failing.sound):
        remove_abandoned(cache, listener)
        return
    # also that there are namespaces at all: nothing is fetched for a build that cannot be
    namespace.call(require_properties, options.cache, PRIVILEGED)
    for one in failing.sound:
        with failing.noted(one):
            if one.missing:
                one.fetch()
    unfinished = [one for one in failing.sound if one.missing]
    if not unfinished:
        return
    needed = Counter(key for one in unfinished for key in one.tree_keys.values())
    wanted = {key for key, times in needed.items() if times > 1}
    side_by_side = min(len(unfinished), options.jobs)
    each = max(1, options.jobs // side_by_side)
    with workplace(cache, listener) as shared, ThreadPoolExecutor(side_by_side) as pool:
        running = {one: pool.submit(one.make, shared, wanted, each) for one in unfinished}
        try:
            for one, future in running.items():
                with failing.noted(one):
                    future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # those under way come to their end
            raise


class _Build:
    """One build: its inputs, and what has become known of it."""

    def __init__(
        self,
        resolved: ResolvedRecipe,
        date: ReleaseDate,
        options: BuildOptions,
        state: RepositoryState,
        listener: Listener,
        *,
        kinds: tuple[KindName, ...] | None = None,
        place: Path | None = None,
        lock: tuple[Lock, Path] | None = None,
        may_fail: bool = False,
    ):
        self.may_fail = may_fail
        self._resolved = resolved
        self._recipe = resolved.recipe
        self._date = date
        self._options = options
        self._state = state
        self._listener = Heard(listener)
        self._cache = Cache(options.cache)
        self._store = ArtifactStore(self._cache)
        asked = options.artifacts if kinds is None else kinds
        self._kinds = kinds_of(self._recipe, asked, only_live=resolved.only_live)
        self._directory = options.out / str(date) if place is None else place
        self._stages = stages_of(self._kinds)
        self._supply: Supply | None = None
        self._files: dict[str, Path] = {}
        self._keys: dict[KindName, str] = {}
        self._whole_lock = lock
        self.lock = Lock((), ())
        self.missing: tuple[KindName, ...] = ()
        self.seconds = 0.0

    def prepare(self) -> None:
        """Find out which packages there will be, and which artifacts are not there yet.

        Raises:
            SandboxError: ``LIMITS``, under the caller's limits the artifacts could not be what they
                are elsewhere.
        """
        limits.check()
        check_kinds(self._kinds, self._recipe, self._date, self._options.compression)
        self._prepare_packages()
        for name in sorted({*self._recipe.keys} - {key.fingerprint for key in self.lock.keys}):
            text = f"systems made will not trust the platform's key {name}: there is only its"
            self._listener(Message("warning", f"{text} fingerprint; give its file with --repo-key"))
        self._keys = {kind: self._key(kind) for kind in self._kinds}
        self.missing = tuple(
            kind for kind in self._kinds if self._store.find(self._keys[kind]) is None
        )

    def _prepare_packages(self) -> None:
        if self._options.lock is not None:
            self._prepare_locked(*(self._whole_lock or read_lock(self._options.lock)))
            return
        with step(self._listener, "repositories"):
            self._state.files(self._recipe)
        known = known_lock(self._resolved, self._state, self._stages)
        self.lock = known or self._planned().lock

    def _prepare_locked(self, whole: Lock, file: Path) -> None:
        own = lock_for(self._recipe, whole, file, self._stages)
        supply = LockedSupply(self._recipe, own, self._state, file)
        supply.require_trusted()  # also if all artifacts are there already
        for key in supply.brought_keys:
            text = f"{file} brings the key {key.fingerprint} of {key.signed_by!r}, which is trusted"
            self._listener(Message("note", text))
        self.lock = supply.lock
        self._supply = supply

    def require_replaceable(self) -> None:
        """Refuse before anything is made what is known to differ from what the set has already.

        Raises:
            UsageError: a file of the set would become another one.
        """
        if self._options.replace:
            return
        for kind, key in self._keys.items():
            record = self._store.find(key)
            if record is not None:
                self._require_same(kind, record)
        lock_to_write(self._lock_file, self.lock, replace=False)

    def _require_same(self, kind: KindName, record: Record) -> None:
        """Ensure that what has the names of the files of `record` is those files, or nothing."""
        for role, target in self._targets(kind).items():
            content = self._store.content_path(self._keys[kind], role)
            is_link = target.is_symlink()
            if not os.path.lexists(target):
                continue
            if not is_link and target.exists() and target.samefile(content):
                continue
            require_same(target, record[role].sha256)

    @property
    def _lock_file(self) -> Path:
        return self._directory / lock_name(self._recipe, self._date, self._kinds)

    def _targets(self, kind: KindName) -> dict[str, Path]:
        """Role -> where the file of it goes."""
        suffix = self._options.compression.suffix
        names = KINDS[kind].file_names(self._recipe, str(self._date), suffix)
        return {role: self._directory / name for role, name in names.items()}

    @property
    def tree_keys(self) -> Mapping[str, str]:
        """Part -> digest of all that it is made from, for what platforms can share."""
        if not any(KINDS[kind].begins_with("rootfs") for kind in self.missing):
            return {}
        key = rootfs_tree_key(
            self._resolved, self._date, packages=self._packages(), keys=_key_words(self.lock)
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
        begun = time.monotonic()
        supply = self._supply or self._planned()
        steps = supply.steps(self._files)
        job = Job(
            recipe=self._recipe,
            date=self._date,
            templates=Templates.read(self._resolved.templates),
            own=own_files(self._recipe, self._resolved.sources, self._cache.keep_bytes),
            keys={key.fingerprint: key.plist() for key in (*supply.keys, *supply.lock.keys)},
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
        self.seconds = time.monotonic() - begun

    def publish(self) -> BuildResult:
        """Give all artifacts their names, and write the lock beside them."""
        if isinstance(self._supply, PlannedSupply):
            remember_lock(self._resolved, self._state, self._stages, self.lock)
        if not self._options.replace:
            for kind, key in self._keys.items():
                self._require_same(kind, self._record(kind, key))
        written = lock_to_write(self._lock_file, self.lock, replace=self._options.replace)
        artifacts = self.publish_artifacts()
        if written is not None:
            write_atomically(self._lock_file, written.encode())
        return BuildResult(artifacts, self._lock_file)

    def publish_artifacts(self) -> tuple[Artifact, ...]:
        """Give all artifacts their names, and tell what was warned of when they were made."""
        for key in self._keys.values():
            self._listener.retell(self._store.warnings(key))
        return tuple(
            artifact
            for kind, key in self._keys.items()
            for artifact in self._store.publish(
                key,
                self._record(kind, key),
                kind,
                self._targets(kind),
                cached=kind not in self.missing,
            )
        )

    def _record(self, kind: KindName, key: str) -> Record:
        record = self._store.find(key)
        if record is None:
            raise AssertionError(f"{kind} was made but is not in the store")
        return record

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
            keys=_key_words(self.lock),
        )

    def _packages(self) -> dict[str, list[tuple[str, ...]]]:
        """Stage -> what the lock says of its packages, in the order of installation."""
        return {
            stage: [_package_words(one) for one in self.lock.of_stage(stage)]
            for stage in self._stages
        }

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


def _package_words(one: LockedPackage) -> tuple[str, ...]:
    """All that a lock says of a package: what is wrong in it must not be hidden by the store."""
    reason = "automatic" if one.automatic else "asked for"
    return one.pkgver, one.arch, str(one.size), one.sha256, reason


def _key_words(lock: Lock) -> list[str]:
    """What the key files of a tree follow from: the keys, or the fingerprint of one not at hand."""
    known = {key.fingerprint: hashlib.sha256(key.plist()).hexdigest() for key in lock.keys}
    used = (one.key for one in lock.repositories if one.key is not None)
    return [f"{name} {known.get(name, '')}" for name in sorted({*known, *used})]
