"""Releases a set: one lock, all artifacts, judged; the image set appears complete or not at all.

What is under way lies in a private directory beside the image set and gets its name by one rename.
An interrupted run leaves nothing under that name; what it made is in the cache, with what it found
out, and the next run goes on from there with the packages that it had chosen.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from voidimg.artifact_names import MANIFEST_NAME
from voidimg.artifacts.kind import MAIN
from voidimg.artifacts.registry import KINDS
from voidimg.atomic import remove_abandoned, replacing_directory
from voidimg.catalog.sets import ResolvedSet
from voidimg.errors import (
    FetchError,
    LayoutError,
    PackageError,
    ReleaseError,
    ResolveError,
    ScriptError,
    SpecError,
    StoreError,
    VoidimgError,
    every_error,
    raise_all,
    storing,
)
from voidimg.events import Listener, Message, ignore, step
from voidimg.fetch import Cache
from voidimg.identity import ReleaseDate
from voidimg.pipeline.build import MadeArtifacts, WantedArtifacts
from voidimg.pipeline.store import Artifact
from voidimg.release.choosing import ChosenLock, choose_lock
from voidimg.release.judging import (
    Finished,
    Judged,
    check_of,
    judge_all,
    require_programs,
    ways_to_boot,
)
from voidimg.release.last_run import note_run
from voidimg.release.making import make_groups
from voidimg.release.manifest import (
    LeftOut,
    Manifest,
    SetArtifact,
    SetFile,
    SideFile,
    Waiver,
)
from voidimg.release.options import ReleaseOptions
from voidimg.release.place import PART_NAME, is_there, require_place, require_replaceable
from voidimg.release.room import require_room_for
from voidimg.release.rows import PlannedArtifact, grouped, planned_artifacts
from voidimg.release.sharing import clusters, of_shard
from voidimg.signing.sums import (
    SUMS_NAME,
    Digested,
    digest_files,
    encode_sums,
    require_unchanged,
)
from voidimg.version import VERSION

_OF_RECIPE = (ResolveError, PackageError, ScriptError, LayoutError, SpecError)
"""What keeps an artifact from being made whoever tries; all else is the trouble of this run."""


@dataclass(frozen=True, slots=True)
class ReleasedSet:
    """An image set, or a share of one, that is complete.

    `unchanged` says that the very same was there already, and was left as it is.
    """

    directory: Path
    manifest: Manifest
    unchanged: bool


def lock_file_name(date: ReleaseDate) -> str:
    """The name of the one lock of an image set."""
    return f"void-{date}.lock.json"


def set_directory(date: ReleaseDate, options: ReleaseOptions) -> Path:
    """Where the image set goes, or the share of one."""
    name = str(date)
    if options.shard is not None:
        name += f".part-{options.shard.number}-of-{options.shard.count}"
    return options.build.out / name


def release_set(
    whole: ResolvedSet,
    date: ReleaseDate,
    options: ReleaseOptions,
    *,
    executor: Executor | None = None,
    listener: Listener = ignore,
) -> ReleasedSet:
    """Make, lint and boot all artifacts of `whole`; the image set is there when all is well.

    It lies in ``<out>/<date>/``: the artifacts with their side files, the one lock, the manifest
    and ``sha256sum.txt``. No key is needed: `sign_set` signs it, elsewhere and by somebody else.
    With a shard it is ``<out>/<date>.part-N-of-M/``, without a checksum file, for `merge_parts`.

    Args:
        whole: the set.
        date: fixes every time stamp and identifier.
        options: where packages come from, what is booted, what may fail.
        executor: runs what artifacts are made by; None: threads of this process. Its workers see
            the output directory under the same path; see `voidimg.release.making`.
        listener: is told of the steps, which have the names of their artifacts.

    Raises:
        UsageError: there is another image set under that name, or one that is signed.
        ReleaseError: an artifact failed its lint or its boot test.
        VoidimgError: as `build` does; with ``keep_going`` all failures in a CollectedError. There
            is nothing under the name of the image set then.
    """
    compression = options.build.compression
    everything = planned_artifacts(whole, date, compression)
    options.require_waived_there(everything)
    planned = everything if options.shard is None else of_shard(everything, options.shard)
    target = set_directory(date, options)
    with storing(options.build.out, "make the directory"):
        options.build.out.mkdir(parents=True, exist_ok=True)
    require_place(target)
    require_programs(planned, options.smoke)
    course = _Course(whole, date, options, planned, target, executor, listener)
    try:
        return course.run()
    except FetchError as error:
        if not course.chosen_is_gone(error):
            raise
        listener(Message("note", f"{error}; packages are chosen anew"))
        return course.run()


class UnchangedError(Exception):
    """The image set is there already as it would become; it keeps its place, and its signature."""

    def __init__(self, manifest: Manifest):
        super().__init__(manifest.date)
        self.manifest = manifest


class _Course:
    """One release, from the lock to the finished directory."""

    def __init__(
        self,
        whole: ResolvedSet,
        date: ReleaseDate,
        options: ReleaseOptions,
        planned: Sequence[PlannedArtifact],
        target: Path,
        executor: Executor | None,
        listener: Listener,
    ):
        self._whole = whole
        self._date = date
        self._options = options
        self._planned = planned
        self._target = target
        self._executor = executor
        self._listener = listener
        self._cache = Cache(options.build.cache)
        self._chosen: ChosenLock | None = None

    def chosen_is_gone(self, error: FetchError) -> bool:
        """Whether packages that an interrupted run chose cannot be had any more.

        Then they are forgotten.
        """
        if self._chosen is None or not self._chosen.recalled:
            return False
        if error.code not in ("E-FETCH-LOCK-DROPPED", "E-FETCH-LOCK-CHANGED"):
            return False
        self._chosen.forget(self._cache)
        return True

    def run(self) -> ReleasedSet:
        """Do it."""
        chosen = choose_lock(
            self._whole, self._date, self._planned, self._options, listener=self._listener
        )
        self._chosen = chosen
        planned = [one for one in self._planned if one.name not in chosen.left_out]
        require_room_for(planned, chosen.lock, self._options)

        def require_ours(place: Path) -> None:
            require_replaceable(place, self._target, replace=self._options.build.replace)

        try:
            with replacing_directory(self._target, require_ours) as new:
                manifest = self._fill(new, planned, chosen)
                if is_there(new, self._target):
                    raise UnchangedError(manifest)
        except UnchangedError as same:
            manifest, unchanged = same.manifest, True
        else:
            unchanged = False
        chosen.forget(self._cache)
        return ReleasedSet(self._target, manifest, unchanged)

    def _fill(self, new: Path, planned: Sequence[PlannedArtifact], chosen: ChosenLock) -> Manifest:
        """Make everything in the directory `new`; what it says in the end."""
        if not planned:
            raise _nothing_left(self._target)
        lock_path = new / lock_file_name(self._date)
        content = chosen.lock.encode()
        lock_path.write_bytes(content)
        lock_path.chmod(0o644)
        made = self._make(new, planned, chosen, lock_path)
        left_out = {**chosen.left_out, **made.left_out}
        if not made.artifacts:
            raise _nothing_left(self._target)
        finished_paths = [new / name for name in made.artifacts]
        side = [new / one.name for files in made.artifacts.values() for one in files]
        paths = [lock_path, *dict.fromkeys((*finished_paths, *side))]
        with step(self._listener, "checksums"):
            digests = digest_files(paths, jobs=self._options.build.jobs, listener=self._listener)
        sums = {path.name: one.sha256 for path, one in zip(paths, digests, strict=True)}
        self._require_stored(made.artifacts, sums)
        finished = [
            Finished(one, new / one.name, sums[one.name])
            for one in planned
            if one.name in made.artifacts
        ]
        logs = self._options.build.out / "smoke"
        judged = judge_all(finished, self._options, logs, self._listener)
        _require_same_bytes(paths, digests, self._options.build.jobs)
        manifest = Manifest(
            set=self._whole.name,
            date=str(self._date),
            voidimg=VERSION,
            lock=SetFile(name=lock_path.name, size=len(content), sha256=sums[lock_path.name]),
            artifacts=tuple(
                self._entry(one, made.artifacts[one.planned.name], judged[one.planned.name])
                for one in sorted(finished, key=lambda one: one.planned.name)
            ),
            left_out=tuple(
                left_out_entry(one, left_out[one.name])
                for one in self._planned
                if one.name in left_out
            ),
        )
        write_documents(new, manifest, whole=self._options.shard is None)
        require_complete(new, manifest, whole=self._options.shard is None)
        for one in finished:
            note_run(self._cache, one.planned, *made.seconds[one.planned.name])
        return manifest

    def _make(
        self,
        new: Path,
        planned: Sequence[PlannedArtifact],
        chosen: ChosenLock,
        lock_path: Path,
    ) -> _Made:
        groups = [list(grouped(cluster).values()) for cluster in clusters(planned)]
        outcomes = make_groups(
            [[_wanted(group) for group in cluster] for cluster in groups],
            self._date,
            replace(self._options.build, lock=chosen.given or lock_path),
            new,
            keep_going=self._options.keep_going,
            executor=self._executor,
            listener=self._listener,
        )
        made = _Made({}, {}, {})
        errors: list[VoidimgError] = []
        flat = [group for cluster in groups for group in cluster]
        for group, outcome in zip(flat, outcomes, strict=True):
            self._note(group, outcome, made, errors)
        if errors:
            raise_all(errors, f"{len(errors)} of {len(flat)} builds of the set failed")
        return made

    def _note(
        self,
        group: Sequence[PlannedArtifact],
        outcome: MadeArtifacts | VoidimgError,
        made: _Made,
        errors: list[VoidimgError],
    ) -> None:
        if isinstance(outcome, MadeArtifacts):
            for one in group:
                files = [file for file in outcome.artifacts if file.kind == one.kind]
                if {file.role: file.name for file in files} != dict(one.names):
                    raise AssertionError(f"{one.name}: other files than planned were made")
                made.artifacts[one.name] = files
                size = next(file.size for file in files if file.role == MAIN)
                made.seconds[one.name] = (outcome.seconds, size)
            return
        found = every_error(outcome)
        if group[0].optional is None or not all(isinstance(one, _OF_RECIPE) for one in found):
            errors.extend(found)
            return
        for one in group:
            made.left_out[one.name] = outcome.sentence
            text = f"{one.name} is left out, {one.optional}: {outcome.sentence}"
            self._listener(Message("warning", text))

    def _require_stored(
        self, artifacts: Mapping[str, Sequence[Artifact]], sums: Mapping[str, str]
    ) -> None:
        """Ensure that what lies there is what was made: the cache states each SHA-256 by itself."""
        wrong = [
            ReleaseError(
                f"{file.name} is not what was made: its SHA-256 is another one",
                code="CHANGED",
                where=file.name,
                hint="something writes into the cache or the output directory, or a disk fails",
            )
            for files in artifacts.values()
            for file in files
            if sums[file.name] != file.sha256
        ]
        raise_all(wrong, "files changed behind our back")

    def _waivers(self, name: str) -> tuple[Waiver, ...]:
        """What the caller waived of the artifact called `name`."""
        return tuple(
            Waiver(check=waived.check, who=waived.who, reason=waived.reason)
            for waived in self._options.waivers
            if waived.name == name
        )

    def _accepted(self, planned: PlannedArtifact, judged: Judged) -> tuple[Waiver, ...]:
        """What the set accepts of the errors that the lint has found."""
        found = dict.fromkeys(check_of(text) for text in judged.lint_failures)
        return tuple(
            Waiver(
                check="lint",
                who=f"the set {self._whole.name}",
                reason=f"{check}: {planned.accepted[check]}",
            )
            for check in found
            if check in planned.accepted
        )

    def _entry(self, one: Finished, files: Sequence[Artifact], judged: Judged) -> SetArtifact:
        recipe = one.planned.resolved.recipe
        main = next(file for file in files if file.role == MAIN)
        return SetArtifact(
            name=main.name,
            size=main.size,
            sha256=main.sha256,
            kind=one.planned.kind,
            platform=recipe.platform,
            architecture=recipe.arch,
            libc=recipe.libc,
            profile=recipe.profile,
            optional=one.planned.optional,
            side_files=tuple(
                SideFile(role=file.role, name=file.name, size=file.size, sha256=file.sha256)
                for file in files
                if file.role != MAIN
            ),
            lint=judged.lint,
            boots=ways_to_boot(one.planned),
            smoke=judged.smoke,
            waivers=(*self._accepted(one.planned, judged), *self._waivers(main.name)),
        )


@dataclass(slots=True)
class _Made:
    """What was made so far: files by the name of their artifact, reasons, times and sizes."""

    artifacts: dict[str, list[Artifact]]
    left_out: dict[str, str]
    seconds: dict[str, tuple[float, int]]


def _nothing_left(target: Path) -> ReleaseError:
    return ReleaseError(
        "every artifact is optional, and none can be made",
        code="NOTHING",
        where=str(target),
        hint="the warnings say why each is left out",
    )


def _require_same_bytes(paths: Sequence[Path], digests: Sequence[Digested], jobs: int) -> None:
    """Ensure that what was judged is what was read before.

    Another run that publishes the same files makes links to them, which changes their times alone.
    """
    try:
        require_unchanged(paths, digests)
    except StoreError:
        again = digest_files(paths, jobs=jobs)
        if [one.sha256 for one in again] != [one.sha256 for one in digests]:
            raise


def _wanted(group: Sequence[PlannedArtifact]) -> WantedArtifacts:
    kinds = tuple(kind for kind in KINDS if kind in {one.kind for one in group})
    return WantedArtifacts(group[0].resolved, kinds, may_fail=group[0].optional is not None)


def left_out_entry(one: PlannedArtifact, reason: str) -> LeftOut:
    """What the manifest says of an artifact that the image set is without."""
    recipe = one.resolved.recipe
    said = "".join(letter if letter.isprintable() else " " for letter in reason)[:1000]
    return LeftOut(kind=one.kind, platform=recipe.platform, profile=recipe.profile, reason=said)


def write_documents(directory: Path, manifest: Manifest, *, whole: bool) -> None:
    """Write the manifest into `directory`, and the checksums when it is a whole image set."""
    content = manifest.encode()
    path = directory / (MANIFEST_NAME if whole else PART_NAME)
    path.write_bytes(content)
    path.chmod(0o644)
    if not whole:
        return
    sums = {one.name: one.sha256 for one in manifest.files()}
    sums[MANIFEST_NAME] = hashlib.sha256(content).hexdigest()
    path = directory / SUMS_NAME
    path.write_bytes(encode_sums(sums))
    path.chmod(0o644)


def require_complete(directory: Path, manifest: Manifest, *, whole: bool) -> None:
    """Ensure that `directory` has exactly the files of `manifest` and its documents.

    Raises:
        ReleaseError: a file is missing, or there is one too many.
    """
    remove_abandoned(directory)
    expected = {one.name for one in manifest.files()}
    expected |= {MANIFEST_NAME, SUMS_NAME} if whole else {PART_NAME}
    there = set(os.listdir(directory))
    if there != expected:
        missing, more = sorted(expected - there), sorted(there - expected)
        raise ReleaseError(
            f"the image set is not complete: missing {', '.join(missing) or 'nothing'}, "
            f"too many {', '.join(more) or 'none'}",
            code="INCOMPLETE",
            where=str(directory),
            hint="release it again",
        )
