"""Bundles: the very files of a lock in one directory, for building without any repository.

A bundle is made to be kept::

    lock.json                    the lock
    keys/<fingerprint>.plist     the public keys of its repositories
    repository-<n>/              the lock's repositories, one for each URL: the repodata as it was,
                                 or, when that cannot be had any more, one of what is here alone;
                                 of the packages and signatures those that the lock names

Each ``repository-<n>`` can be used as a repository by itself, by ``-r`` and by XBPS.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voidimg.errors import UsageError, storing
from voidimg.fetch import require_room
from voidimg.supply.lock import Lock, LockedPackage, LockedRepository
from voidimg.xbps.keys import PublicKey

LOCK = "lock.json"
KEYS = "keys"
_OLD = ".old"


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
        found = [path for path in self.directory.glob("repository-*") if path.is_dir()]
        return sorted(found, key=lambda path: (len(path.name), path.name))

    def key_files(self) -> list[Path]:
        """Its key plists."""
        return sorted((self.directory / KEYS).glob("*.plist"))


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
    with storing(directory, "write the bundle"):
        directory.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(directory)
        new = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
        old = new.with_name(new.name + _OLD)
        descriptor = os.open(new, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # tells it from what killed runs left
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _fill(new, lock, repositories, files, signatures)
            new.chmod(0o755)
            if directory.exists():
                directory.rename(old)
            new.rename(directory)
        finally:
            os.close(descriptor)
            for left in (new, old):
                shutil.rmtree(left, ignore_errors=True)


def _remove_abandoned(directory: Path) -> None:
    """Remove what killed runs left beside `directory`; a bundle they were replacing comes back."""
    for path in sorted(directory.parent.glob(f".{directory.name}.*")):
        if not path.is_dir():
            continue
        if path.name.endswith(_OLD) and not directory.exists():
            path.rename(directory)
            continue
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)
        except BlockingIOError:
            continue  # another run is at it
        finally:
            os.close(descriptor)


def require_bundle_place(directory: Path) -> None:
    """Ensure that a bundle may be written to `directory`.

    Raises:
        UsageError: there is something else.
    """
    if not directory.exists() or Bundle.at(directory) is not None:
        return
    if not directory.is_dir() or any(directory.iterdir()):
        raise UsageError(
            f"{directory} exists and is no bundle",
            code="BUNDLE",
            where="--bundle",
            hint="name a new directory",
        )


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
