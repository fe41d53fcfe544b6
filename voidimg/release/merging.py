"""Puts the shares of a set together: the same image set as one run would have made, or nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voidimg.atomic import replace_by_file, replacing_directory
from voidimg.catalog.sets import ResolvedSet
from voidimg.errors import ReleaseError, VoidimgError, raise_all, storing
from voidimg.events import Listener, ignore, step
from voidimg.foreign import read_regular
from voidimg.identity import ReleaseDate
from voidimg.release.choosing import not_in
from voidimg.release.manifest import (
    MAX_MANIFEST_BYTES,
    LeftOut,
    Manifest,
    SetArtifact,
)
from voidimg.release.options import ReleaseOptions
from voidimg.release.place import PART_NAME, is_there, require_place, require_replaceable
from voidimg.release.release import (
    ReleasedSet,
    UnchangedError,
    left_out_entry,
    require_complete,
    set_directory,
    write_documents,
)
from voidimg.release.rows import PlannedArtifact, planned_artifacts
from voidimg.signing.sums import digest_files
from voidimg.supply.supply import read_lock
from voidimg.version import VERSION


@dataclass(frozen=True, slots=True)
class _Part:
    """A share as it lies in a directory, and what its manifest says."""

    directory: Path
    said: Manifest


def merge_parts(
    whole: ResolvedSet,
    date: ReleaseDate,
    options: ReleaseOptions,
    parts: Sequence[Path],
    *,
    listener: Listener = ignore,
) -> ReleasedSet:
    """Put the shares in the directories `parts` together to the image set of `date`.

    Every file is read and compared with its manifest. All shares are of one set, date, version and
    lock, and together they have every artifact once.

    Args:
        whole: the set.
        date: of the image set.
        options: compression, output directory, and the lock, if it is to be compared.
        parts: the directories that `release_set` made with a shard.
        listener: is told of the steps.

    Raises:
        ReleaseError: shares do not fit together, one is missing or damaged; nothing is made then.
        UsageError: there is another image set under that name.
        StoreError: a file cannot be read or written.
    """
    planned = planned_artifacts(whole, date, options.build.compression)
    target = set_directory(date, options)
    require_place(target)
    found = [_read(part) for part in parts]
    unmade = _not_in_lock(found, planned, options)
    raise_all(
        [*_unfit(found, whole, date, options), *_incomplete(found, planned, unmade)],
        "these shares are not one image set",
    )
    manifest = _joined(found, unmade)
    with storing(options.build.out, "make the directory"):
        options.build.out.mkdir(parents=True, exist_ok=True)

    def require_ours(place: Path) -> None:
        require_replaceable(place, target, replace=options.build.replace)

    try:
        with storing(target, "write"), replacing_directory(target, require_ours) as new:
            _take_files(found, new, options.build.jobs, listener)
            write_documents(new, manifest, whole=True)
            require_complete(new, manifest, whole=True)
            if is_there(new, target):
                raise UnchangedError(manifest)
    except UnchangedError:
        return ReleasedSet(target, manifest, unchanged=True)
    return ReleasedSet(target, manifest, unchanged=False)


def _read(directory: Path) -> _Part:
    path = directory / PART_NAME
    with storing(path, "read"):
        try:
            content = read_regular(path, MAX_MANIFEST_BYTES, follow=False)
        except (FileNotFoundError, NotADirectoryError):
            raise ReleaseError(
                f"{directory} is no share of a set: it has no {PART_NAME}",
                code="NO-PART",
                where=str(directory),
                hint="name the directories that `voidimg release --shard` made",
            ) from None
    return _Part(directory, Manifest.decode(content, str(path)))


def _unfit(
    parts: Sequence[_Part], whole: ResolvedSet, date: ReleaseDate, options: ReleaseOptions
) -> list[VoidimgError]:
    """What keeps shares from being of one image set."""
    expected: dict[str, object] = {
        "set": whole.name,
        "date": str(date),
        "version of voidimg": VERSION,
        "lock": parts[0].said.lock.sha256,
    }
    if options.build.lock is not None:
        lock, _file = read_lock(options.build.lock)
        expected["lock"] = hashlib.sha256(lock.encode()).hexdigest()
    found: list[VoidimgError] = []
    for part in parts:
        said = part.said
        there: dict[str, object] = {
            "set": said.set,
            "date": said.date,
            "version of voidimg": said.voidimg,
            "lock": said.lock.sha256,
        }
        found += [
            ReleaseError(
                f"{part.directory} is of another {what}: {there[what]}, not {expected[what]}",
                code=f"PART-{what.split()[0].upper()}",
                where=str(part.directory),
                hint="make all shares with the same set, --date, version and --lock",
            )
            for what in expected
            if there[what] != expected[what]
        ]
    return found


def _not_in_lock(
    parts: Sequence[_Part], planned: Sequence[PlannedArtifact], options: ReleaseOptions
) -> tuple[LeftOut, ...]:
    """The optional artifacts that the lock has nothing for, so that no share had to make them."""
    if options.build.lock is None:
        return ()
    lock, _file = read_lock(options.build.lock)
    told = {_row(one) for part in parts for one in part.said.left_out}
    reasons = not_in(lock, planned)
    found = [left_out_entry(one, reasons[one.name]) for one in planned if one.name in reasons]
    return tuple(one for one in found if _row(one) not in told)


def _incomplete(
    parts: Sequence[_Part], planned: Sequence[PlannedArtifact], unmade: Sequence[LeftOut]
) -> list[VoidimgError]:
    """Artifacts that no share has, that two have, or that the set has not."""
    where: dict[str, list[str]] = {}
    for part in parts:
        for one in part.said.artifacts:
            where.setdefault(one.name, []).append(str(part.directory))
    told = {_row(one) for part in parts for one in part.said.left_out}
    told |= {_row(one) for one in unmade}
    found: list[VoidimgError] = []
    for plan in planned:
        recipe = plan.resolved.recipe
        row = (plan.kind, recipe.platform, recipe.profile)
        places = where.pop(plan.name, [])
        if len(places) > 1:
            found.append(_problem(plan.name, f"is in {' and in '.join(places)}", "TWICE"))
        if not places and not (plan.optional is not None and row in told):
            found.append(_problem(plan.name, "is in none of the shares", "MISSING"))
    found += [_problem(name, "is not of the set", "EXTRA") for name in where]
    return found


def _problem(name: str, what: str, code: str) -> ReleaseError:
    return ReleaseError(
        f"{name} {what}",
        code=f"PART-{code}",
        where=name,
        hint="name every share of one set once, all cut with the same --shard N/M",
    )


def _row(one: LeftOut) -> tuple[str, str, str]:
    return (one.kind, one.platform, one.profile)


def _joined(parts: Sequence[_Part], unmade: Sequence[LeftOut]) -> Manifest:
    artifacts: list[SetArtifact] = [one for part in parts for one in part.said.artifacts]
    left_out = [*(one for part in parts for one in part.said.left_out), *unmade]
    return parts[0].said.model_copy(
        update={
            "artifacts": tuple(sorted(artifacts, key=lambda one: one.name)),
            "left_out": tuple(sorted(left_out, key=_row)),
        }
    )


def _take_files(parts: Sequence[_Part], new: Path, jobs: int, listener: Listener) -> None:
    """Give all files of the shares their names in `new`; each has the SHA-256 that is listed.

    They are read after that, so nobody can change a share in between unseen.
    """
    listed = {
        one.name: (part.directory / one.name, one.sha256)
        for part in parts
        for one in part.said.files()
    }
    for name, (path, _) in listed.items():
        _require_file(path)
        replace_by_file(new / name, path)
    with step(listener, "checksums"):
        digests = digest_files([new / name for name in listed], jobs=jobs, listener=listener)
    wrong: list[VoidimgError] = [
        ReleaseError(
            f"{path} is damaged: its SHA-256 is not the one that {PART_NAME} says",
            code="PART-DAMAGED",
            where=str(path),
            hint="copy the share again",
        )
        for (path, sha256), digest in zip(listed.values(), digests, strict=True)
        if digest.sha256 != sha256
    ]
    raise_all(wrong, "shares are damaged")


def _require_file(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        raise ReleaseError(
            f"{path} is missing, or no regular file",
            code="PART-FILE",
            where=str(path),
            hint="copy the share again",
        )
