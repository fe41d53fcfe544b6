"""What changes from one lock to another: packages added, removed, upgraded, and their sizes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from voidimg.supply.lock import Lock, LockedPackage
from voidimg.xbps.version import compare


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A package of both locks whose version or content differs."""

    old: LockedPackage
    new: LockedPackage

    @property
    def is_downgrade(self) -> bool:
        """Whether the new version is the lower one."""
        return compare(self.new.pkgver, self.old.pkgver) < 0

    @property
    def is_rebuild(self) -> bool:
        """Whether the version is the same and only the file differs."""
        return self.new.pkgver == self.old.pkgver


@dataclass(frozen=True, slots=True)
class LockDifference:
    """What changes from one lock to another; packages by name, sizes in bytes of package files.

    A package that several platforms of one architecture install counts once.
    """

    added: tuple[LockedPackage, ...]
    removed: tuple[LockedPackage, ...]
    upgraded: tuple[Upgrade, ...]
    old_bytes: int
    new_bytes: int

    @property
    def is_empty(self) -> bool:
        """Whether the same packages come in."""
        return not (self.added or self.removed or self.upgraded)

    @property
    def download_bytes(self) -> int:
        """What has to be fetched by who has the packages of the old lock."""
        return sum(one.size for one in (*self.added, *(pair.new for pair in self.upgraded)))

    def as_json(self) -> dict[str, object]:
        """The difference as a JSON-ready mapping."""
        return {
            "added": [_as_json(one) for one in self.added],
            "removed": [_as_json(one) for one in self.removed],
            "upgraded": [
                {"old": _as_json(pair.old), "new": _as_json(pair.new)} for pair in self.upgraded
            ],
            "old_bytes": self.old_bytes,
            "new_bytes": self.new_bytes,
            "download_bytes": self.download_bytes,
        }


def lock_difference(old: Lock, new: Lock) -> LockDifference:
    """What changes from `old` to `new`. Order, stage and repository of a package do not count."""
    before, after = _packages(old), _packages(new)
    return LockDifference(
        added=tuple(after[key] for key in sorted(after.keys() - before.keys())),
        removed=tuple(before[key] for key in sorted(before.keys() - after.keys())),
        upgraded=tuple(
            Upgrade(before[key], after[key])
            for key in sorted(before.keys() & after.keys())
            if (before[key].pkgver, before[key].sha256) != (after[key].pkgver, after[key].sha256)
        ),
        old_bytes=_bytes(before.values()),
        new_bytes=_bytes(after.values()),
    )


def _packages(lock: Lock) -> dict[tuple[str, str], LockedPackage]:
    """The packages by name and by the architecture that installs them."""
    return {
        (one.name, lock.repositories[one.repository].arch): replace(one, group=0)
        for one in lock.packages
    }


def _bytes(packages: Iterable[LockedPackage]) -> int:
    """The size of the files together; a file that two architectures share counts once."""
    return sum({(one.pkgver, one.sha256): one.size for one in packages}.values())


def _as_json(package: LockedPackage) -> dict[str, object]:
    return {
        key: value
        for key, value in asdict(package).items()
        if key in ("pkgver", "arch", "size", "sha256", "stage")
    }
