"""Bundles: the very files of a lock in one directory, for building without any repository.

A bundle is made to be kept::

    lock.json                    the lock
    keys/<fingerprint>.plist     the public keys of its repositories
    repository-<n>/              the lock's repositories, one for each URL: the repodata as it was,
                                 or, when that cannot be had any more, one of what is here alone;
                                 of the packages and signatures those that the lock names

Each ``repository-<n>`` can be used as a repository by itself, by ``-r`` and by XBPS.

A directory is a bundle that may be replaced only when it holds all of that and nothing else.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voidimg.atomic import replacing_directory
from voidimg.errors import UsageError, VoidimgError, storing
from voidimg.fetch import require_room
from voidimg.foreign import read_regular
from voidimg.supply.lock import MAX_LOCK_BYTES, Lock, LockedPackage, LockedRepository
from voidimg.xbps.keys import PublicKey
from voidimg.xbps.names import file_name_parts

LOCK = "lock.json"
KEYS = "keys"
_REPOSITORY = re.compile(r"repository-(0|[1-9][0-9]{0,5})")
_KEY = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){15}\.plist")
_INDEX = re.compile(r"[a-z0-9_]+(?:-musl)?-repodata")
_MOST_TOLD = 3


@dataclass(frozen=True, slots=True)
class Bundle:
    """The bundle in `directory`."""

    directory: Path

    @classmethod
    def at(cls, directory: Path) -> Bundle | None:
        """The bundle in `directory`, if there is one."""
        is_bundle = (directory / LOCK).is_file() and (directory / KEYS).is_dir()
        return cls(directory) if is_bundle else None

    def repositories(self) -> list[Path]:
        """Its repositories, in their order."""
        found = [path for path in self.directory.iterdir()
                 if _REPOSITORY.fullmatch(path.name) and path.is_dir()]  # fmt: skip
        return sorted(found, key=lambda path: (len(path.name), path.name))

    def key_files(self) -> list[Path]:
        """Its key plists."""
        keys = (self.directory / KEYS).iterdir()
        return sorted(path for path in keys if path.suffix == ".plist")


@dataclass(frozen=True, slots=True)
class BundledRepository:
    """A repository of a lock: its key, and its index; None when that cannot be had any more."""

    locked: LockedRepository
    key: PublicKey
    content: bytes | None = field(repr=False)


def write_bundle(
    directory: Path,
    lock: Lock,
    repositories: Sequence[BundledRepository],
    files: Mapping[str, Path],
    signatures: Mapping[str, bytes],
) -> None:
    """Make the bundle of `lock` in `directory`; an earlier bundle there is replaced as a whole.

    Args:
        directory: where; it must be missing, empty, or a bundle.
        lock: what to keep.
        repositories: those of the lock.
        files: the verified packages, by SHA-256.
        signatures: their signatures, by SHA-256.

    Raises:
        UsageError: there is something else in the directory.
        StoreError, DiskFullError: it cannot be written.
    """
    require_bundle_place(directory)
    needed = sum(path.stat().st_size for path in files.values())
    require_room(directory.absolute().parent, needed, f"the bundle {directory}")
    place = Path(os.path.realpath(directory))
    with storing(directory, "write the bundle"):
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing_directory(place, require_bundle_place) as new:
            _fill(new, lock, repositories, files, signatures)


def require_bundle_place(directory: Path) -> None:
    """Ensure that a bundle may be written to `directory`: it is missing, empty, or a bundle.

    Raises:
        UsageError: there is something else, or something that is of no bundle.
        StoreError: it cannot be looked at.
    """
    with storing(directory, "look at"):
        if not directory.exists():
            return
        if not directory.is_dir():
            raise _no_place(directory, "is no directory")
        if not any(directory.iterdir()):
            return
        foreign = _not_of_a_bundle(directory)
    if foreign:
        told = ", ".join(foreign[:_MOST_TOLD])
        more = f" and {len(foreign) - _MOST_TOLD} more" if len(foreign) > _MOST_TOLD else ""
        raise _no_place(directory, f"holds what is of no bundle: {told}{more}")
    try:
        Lock.decode(read_regular(directory / LOCK, MAX_LOCK_BYTES, follow=False), LOCK)
    except (OSError, VoidimgError) as error:
        raise _no_place(directory, f"is no bundle: its {LOCK} is missing or no lock") from error


def _no_place(directory: Path, why: str) -> UsageError:
    return UsageError(
        f"{directory} {why}; nothing there is touched",
        code="BUNDLE",
        where="--bundle",
        hint="name a new directory, or move away what is there",
    )


def _not_of_a_bundle(directory: Path) -> list[str]:
    """What `write_bundle` would not have put into `directory`, by its path there."""
    foreign = []
    for path in sorted(directory.iterdir()):
        name, mode = path.name, path.lstat().st_mode
        if name == LOCK and stat.S_ISREG(mode):
            continue
        is_part = name == KEYS or _REPOSITORY.fullmatch(name) is not None
        if not is_part or not stat.S_ISDIR(mode):
            foreign.append(name)
            continue
        is_ours = _is_key if name == KEYS else _is_of_a_repository
        foreign += [f"{name}/{one.name}" for one in sorted(path.iterdir())
                    if not (is_ours(one.name) and stat.S_ISREG(one.lstat().st_mode))]  # fmt: skip
    return foreign


def _is_key(name: str) -> bool:
    return _KEY.fullmatch(name) is not None


def _is_of_a_repository(name: str) -> bool:
    package = file_name_parts(name.removesuffix(".sig2"))
    return package is not None or _INDEX.fullmatch(name) is not None


def _fill(
    new: Path,
    lock: Lock,
    repositories: Sequence[BundledRepository],
    files: Mapping[str, Path],
    signatures: Mapping[str, bytes],
) -> None:
    numbers: dict[str, Path] = {}
    for locked in lock.repositories:
        numbers.setdefault(locked.url, new / f"repository-{len(numbers)}").mkdir(exist_ok=True)
    for package in lock.packages:
        _keep(numbers[lock.url_of(package)], package, files, signatures)
    (new / KEYS).mkdir()
    for one in repositories:
        if one.locked in lock.repositories:
            place = numbers[one.locked.url]
            content = _index(place, lock, one) if one.content is None else one.content
            (place / f"{one.locked.arch}-repodata").write_bytes(content)
            (new / KEYS / f"{one.key.fingerprint}.plist").write_bytes(one.key.plist())
    (new / LOCK).write_bytes(lock.encode())


def _index(place: Path, lock: Lock, one: BundledRepository) -> bytes:
    """An index of the packages in `place` that the lock has from the repository."""
    from voidimg.xbps.repository.local import entry_of
    from voidimg.xbps.repository.repodata import KeyMeta, Repodata  # seldom needed

    number = lock.repositories.index(one.locked)
    found = [entry_of(place / package.file_name) for package in lock.packages
             if package.repository == number]  # fmt: skip
    index = {name: entry for name, _, entry in found}
    return Repodata(index, {}, KeyMeta(one.key)).encode()


def _keep(
    place: Path,
    package: LockedPackage,
    files: Mapping[str, Path],
    signatures: Mapping[str, bytes],
) -> None:
    target = place / package.file_name
    if not target.exists():
        shutil.copyfile(files[package.sha256], target)
        target.with_name(target.name + ".sig2").write_bytes(signatures[package.sha256])
