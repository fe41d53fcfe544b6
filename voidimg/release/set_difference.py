"""What differs between two image sets: artifacts, their sizes and results, packages. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from voidimg.release.difference import PackageChange, name_of, newest, package_changes
from voidimg.release.manifest import Manifest, SetArtifact
from voidimg.supply.lock import Lock


@dataclass(frozen=True, slots=True)
class SetContent:
    """An image set: `name` is its directory or URL, `files` are its artifacts by name.

    Attributes:
        name: its directory or URL.
        date: as in the names of its files, None when it has none.
        files: file name -> size in bytes, None where nobody says it.
        digests: file name -> SHA-256.
        manifest: what it says of itself; None for a set without one.
        lock: what it was made from; None when it is not known.
    """

    name: str
    date: str | None
    files: Mapping[str, int | None]
    digests: Mapping[str, str]
    manifest: Manifest | None
    lock: Lock | None

    def undated(self, file: str) -> str:
        """The name of `file` without the date, by which two sets are compared."""
        return file if self.date is None else file.replace(self.date, "DATE")


@dataclass(frozen=True, slots=True)
class SetFileChange:
    """An artifact or other file; `name` is without the date. None: that side has not got it."""

    name: str
    old: str | None
    new: str | None
    old_bytes: int | None
    new_bytes: int | None
    judged: tuple[str, ...] = ()
    """What else differs: lint and boots, in words."""

    def as_json(self) -> dict[str, object]:
        """The change as a JSON-ready mapping."""
        return {
            "name": self.name,
            "old": self.old,
            "new": self.new,
            "old_bytes": self.old_bytes,
            "new_bytes": self.new_bytes,
            "judged": list(self.judged),
        }


@dataclass(frozen=True, slots=True)
class ArchitecturePackages:
    """What happened to the packages that platforms of one architecture install."""

    architecture: str
    packages: tuple[PackageChange, ...]


@dataclass(frozen=True, slots=True)
class SetDifference:
    """What differs from the `old` image set to the `new` one.

    `packages` is None when one of them has no lock. `files` are those that only one side has, and
    those whose bytes differ.
    """

    old: SetContent
    new: SetContent
    files: tuple[SetFileChange, ...]
    packages: tuple[ArchitecturePackages, ...] | None

    @property
    def is_empty(self) -> bool:
        """Whether the files are the same but for the date in their names."""
        return not self.files and not self.packages

    def by_package(self) -> tuple[PackageChange, ...]:
        """Each package once, whatever the architecture: from the newest of one set to the other's.

        A package that only some architectures got or lost is not among them.
        """
        old = newest_packages(self.old.lock)
        new = newest_packages(self.new.lock)
        return package_changes(old, new)

    def as_json(self) -> dict[str, object]:
        """The difference as a JSON-ready mapping; sizes are in bytes."""
        return {
            "old": {"name": self.old.name, "date": self.old.date},
            "new": {"name": self.new.name, "date": self.new.date},
            "files": [one.as_json() for one in self.files],
            "packages": None
            if self.packages is None
            else {
                one.architecture: [change.as_json() for change in one.packages]
                for one in self.packages
            },
        }


def set_difference(old: SetContent, new: SetContent) -> SetDifference:
    """What differs from `old` to `new`."""
    before = {old.undated(name): name for name in old.files}
    after = {new.undated(name): name for name in new.files}
    changes = (
        _file_change(name, (old, before.get(name)), (new, after.get(name)))
        for name in sorted(before.keys() | after.keys())
    )
    packages = None
    if old.lock is not None and new.lock is not None:
        packages = _package_changes(old.lock, new.lock)
    return SetDifference(old, new, tuple(one for one in changes if one is not None), packages)


def newest_packages(lock: Lock | None) -> Mapping[str, str]:
    """The newest pkgver of each package of `lock`, by pkgname."""
    found: dict[str, set[str]] = {}
    for one in () if lock is None else lock.packages:
        found.setdefault(one.name, set()).add(one.pkgver)
    return {name: newest(frozenset(pkgvers)) for name, pkgvers in found.items()}


def _file_change(
    name: str, old: tuple[SetContent, str | None], new: tuple[SetContent, str | None]
) -> SetFileChange | None:
    (before, was), (after, is_now) = old, new
    digests = (before.digests.get(was or ""), after.digests.get(is_now or ""))
    judged = _judged(_row(before, was), _row(after, is_now))
    if was is not None and is_now is not None and digests[0] == digests[1] and not judged:
        return None
    return SetFileChange(
        name, was, is_now, before.files.get(was or ""), after.files.get(is_now or ""), judged
    )


def _row(of: SetContent, name: str | None) -> SetArtifact | None:
    if of.manifest is None or name is None:
        return None
    return next((one for one in of.manifest.artifacts if one.name == name), None)


def _judged(old: SetArtifact | None, new: SetArtifact | None) -> tuple[str, ...]:
    if old is None or new is None:
        return ()
    pairs = (("lint", _lint(old), _lint(new)), ("boots", _boots(old), _boots(new)))
    return tuple(f"{what}: {was} -> {now}" for what, was, now in pairs if was != now)


def _lint(one: SetArtifact) -> str:
    if one.lint is None:
        return "not linted"
    return f"{one.lint.errors} errors, {one.lint.warnings} warnings"


def _boots(one: SetArtifact) -> str:
    return ", ".join(f"{boot} {boot.verdict}" for boot in one.smoke) or "none"


def _package_changes(old: Lock, new: Lock) -> tuple[ArchitecturePackages, ...]:
    before, after = _by_architecture(old), _by_architecture(new)
    found = (
        ArchitecturePackages(arch, package_changes(before.get(arch, {}), after.get(arch, {})))
        for arch in sorted(before.keys() | after.keys())
    )
    return tuple(one for one in found if one.packages)


def _by_architecture(lock: Lock) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, set[str]]] = {}
    for one in lock.packages:
        arch = lock.repositories[one.repository].arch
        found.setdefault(arch, {}).setdefault(name_of(one.pkgver), set()).add(one.pkgver)
    return {
        arch: {name: newest(frozenset(pkgvers)) for name, pkgvers in packages.items()}
        for arch, packages in found.items()
    }
