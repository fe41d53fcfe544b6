"""What differs between two artifacts: packages, files, disk, boot, services, who gets in. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cmp_to_key
from typing import Literal

from voidimg.xbps.names import split_pkgver
from voidimg.xbps.version import compare

Change = Literal["added", "removed", "upgraded", "downgraded", "rebuilt", "changed"]


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file of an artifact; `size` in bytes and `sha256` are those of a regular file."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    target: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class ArtifactContent:
    """What an artifact is.

    Attributes:
        name: its file name.
        kind: such as ``disk image``.
        file_bytes: the size of the file.
        packages: pkgname -> pkgver.
        files: path in the system -> what is there.
        facts: section (``disk``, ``boot``, ``services``, ``access``) -> what -> its text.
    """

    name: str
    kind: str
    file_bytes: int
    packages: Mapping[str, str]
    files: Mapping[str, FileFacts]
    facts: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class PackageChange:
    """A package that one side has and the other has not, or in another version."""

    name: str
    old: str | None
    new: str | None

    @property
    def change(self) -> Change:
        """What happened to it."""
        if self.old is None:
            return "added"
        if self.new is None:
            return "removed"
        order = compare(self.new, self.old)
        return "upgraded" if order > 0 else "downgraded" if order < 0 else "rebuilt"

    def as_json(self) -> dict[str, object]:
        """The change as a JSON-ready mapping."""
        return {"name": self.name, "change": self.change, "old": self.old, "new": self.new}


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that one side has and the other has not, or in another form."""

    path: str
    old: FileFacts | None
    new: FileFacts | None

    @property
    def change(self) -> Change:
        """What happened to it."""
        return "added" if self.old is None else "removed" if self.new is None else "changed"

    @property
    def what(self) -> tuple[str, ...]:
        """What differs, in words; nothing for a file that one side has not."""
        return () if self.old is None or self.new is None else tuple(_what(self.old, self.new))

    def as_json(self) -> dict[str, object]:
        """The change as a JSON-ready mapping."""
        return {
            "path": self.path,
            "change": self.change,
            "old": None if self.old is None else asdict(self.old),
            "new": None if self.new is None else asdict(self.new),
        }


@dataclass(frozen=True, slots=True)
class FactChange:
    """One fact of a section, such as the file system of a partition; None: it is not there."""

    section: str
    what: str
    old: str | None
    new: str | None

    def as_json(self) -> dict[str, object]:
        """The change as a JSON-ready mapping."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ArtifactDifference:
    """What differs from the `old` artifact to the `new` one."""

    old: ArtifactContent
    new: ArtifactContent
    packages: tuple[PackageChange, ...]
    files: tuple[FileChange, ...]
    facts: tuple[FactChange, ...]

    @property
    def is_empty(self) -> bool:
        """Whether both hold the same; their bytes may still differ."""
        return not (self.packages or self.files or self.facts)

    def as_json(self) -> dict[str, object]:
        """The difference as a JSON-ready mapping; sizes are in bytes."""
        return {
            "old": _title(self.old),
            "new": _title(self.new),
            "packages": [one.as_json() for one in self.packages],
            "files": [one.as_json() for one in self.files],
            "facts": [one.as_json() for one in self.facts],
        }


def artifact_difference(old: ArtifactContent, new: ArtifactContent) -> ArtifactDifference:
    """What differs from `old` to `new`, each list by name."""
    return ArtifactDifference(
        old,
        new,
        package_changes(old.packages, new.packages),
        tuple(
            FileChange(path, old.files.get(path), new.files.get(path))
            for path in sorted(old.files.keys() | new.files.keys())
            if old.files.get(path) != new.files.get(path)
        ),
        tuple(_fact_changes(old.facts, new.facts)),
    )


def package_changes(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[PackageChange, ...]:
    """What happened to packages, pkgname -> pkgver."""
    return tuple(
        PackageChange(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def newest(pkgvers: frozenset[str]) -> str:
    """The highest of `pkgvers`, which are of one package."""
    return max(sorted(pkgvers), key=cmp_to_key(compare))


def name_of(pkgver: str) -> str:
    """The pkgname of `pkgver`; of what is not a pkgver, all of it."""
    split = split_pkgver(pkgver)
    return pkgver if split is None else split.name


def _fact_changes(
    old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]]
) -> Iterator[FactChange]:
    for section in [*old, *(name for name in new if name not in old)]:
        before, after = old.get(section, {}), new.get(section, {})
        for what in [*before, *(name for name in after if name not in before)]:
            if before.get(what) != after.get(what):
                yield FactChange(section, what, before.get(what), after.get(what))


def _what(old: FileFacts, new: FileFacts) -> Iterator[str]:
    if old.kind != new.kind:
        yield f"{old.kind} -> {new.kind}"
        return
    if old.mode != new.mode:
        yield f"mode {old.mode:04o} -> {new.mode:04o}"
    if (old.uid, old.gid) != (new.uid, new.gid):
        yield f"owner {old.uid}:{old.gid} -> {new.uid}:{new.gid}"
    if old.target != new.target:
        yield f"target {old.target} -> {new.target}"
    if old.size != new.size:
        yield f"size {old.size} -> {new.size} bytes"
    elif old.sha256 != new.sha256:
        yield "content"


def _title(content: ArtifactContent) -> dict[str, object]:
    return {"name": content.name, "kind": content.kind, "file_bytes": content.file_bytes}
