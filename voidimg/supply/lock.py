"""The lock: which packages, from which state of which repositories, an image set is made of.

The file is JSON, ``schema`` 1, written canonically with one repository, platform or package a
line, so that a line-wise diff of two locks reads as the change of packages. Equal locks have equal
bytes::

    {"schema": 1,
     "repositories": [
      {"url": ..., "arch": ..., "repodata_sha256": ..., "key": fingerprint or null},
     ...
     "keys": [
      {"fingerprint": ..., "signed_by": ..., "public_key": PEM},
     ...
     "platforms": [
      {"platform": ..., "profile": ..., "arch": ..., "keys": [fingerprint...],
       "rootfs": {"group": number, "requests": [...]}, "platformfs": the same, ...},
     ...
     "packages": [
      {"group": number, "pkgver": ..., "arch": ..., "repository": index, "size": bytes,
       "sha256": ..., "stage": ..., "automatic": ...},
     ...

One lock serves all platforms of a set. A platform has the stages of what is made of it: for a
live ISO ``live`` and ``live-build``; and ``files`` (path: SHA-256) if some come from no package.
Its ``keys`` are those of repositories that its trees trust. The keys are in the lock as a whole, so
that whoever builds from it need not have them or name them: see `voidimg.supply.trust`.
Packages of a group are in the order of their installation; platforms that install the same packages
in the same order share the group, so that an upgrade is one changed line. Sizes are bytes of the
package file.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations

from voidimg.errors import PackageError, ResolveError, SpecError, VerifyError, raise_all
from voidimg.spec.stages import STAGES, TREES, PackageStage
from voidimg.supply.lock_file import (
    KEYS,
    SCHEMA,
    PackageRow,
    Row,
    complaints,
    read_tables,
    wrong,
)
from voidimg.xbps.keys import PublicKey
from voidimg.xbps.names import Pkgver, file_name, split_pkgver
from voidimg.xbps.resolve.transaction import Step

MAX_LOCK_BYTES = 64 * 2**20
"""Most of a lock that is read; one of a whole image set has some 5 MiB."""


@dataclass(frozen=True, slots=True)
class LockedRepository:
    """A repository as it was: `repodata_sha256` of its index file, the key it is signed with.

    `key` is the fingerprint (MD5 in pairs joined with colons), None for unsigned repositories.
    """

    url: str
    arch: str
    repodata_sha256: str
    key: str | None


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """A package: `repository` is an index into the lock's, `size` is in bytes.

    Platforms name the `group` they install, so that several can share it.
    """

    pkgver: str
    arch: str
    repository: int
    size: int
    sha256: str
    stage: PackageStage
    automatic: bool
    group: int = 0

    @property
    def name(self) -> str:
        """The package name."""
        return _split(self.pkgver).name

    @property
    def file_name(self) -> str:
        """The name of the package file in its repository."""
        return file_name(self.pkgver, self.arch)


@dataclass(frozen=True, slots=True)
class LockedStage:
    """What a stage of a platform asked for, and the group of packages that it got."""

    group: int
    requests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LockedPlatform:
    """A platform with a profile, and its packages; `arch` is that of XBPS (``aarch64-musl``)."""

    platform: str
    profile: str
    arch: str
    rootfs: LockedStage | None = None
    platformfs: LockedStage | None = None
    live: LockedStage | None = None
    live_build: LockedStage | None = None
    netboot_build: LockedStage | None = None
    wsl: LockedStage | None = None
    files: tuple[tuple[str, str], ...] = ()
    """Path in the live system and SHA-256 of files that come from no package."""
    keys: tuple[str, ...] = ()
    """Fingerprints of the repository keys that its trees trust."""

    @property
    def title(self) -> str:
        """The platform in messages."""
        return f"{self.platform} ({self.profile})"

    @property
    def stages(self) -> dict[PackageStage, LockedStage]:
        """The stages that it has, in their order."""
        known = {name: getattr(self, _attribute(name)) for name in STAGES}
        return {name: stage for name, stage in known.items() if stage is not None}

    def with_stages(self, stages: Mapping[PackageStage, LockedStage]) -> LockedPlatform:
        """The platform with these stages and no others."""
        values = {_attribute(name): stages.get(name) for name in STAGES}
        files = self.files if "live" in stages else ()
        return LockedPlatform(
            self.platform, self.profile, self.arch, **values, files=files, keys=self.keys
        )


@dataclass(frozen=True, slots=True)
class Lock:
    """One state of repositories, and the packages of it that platforms install, in order.

    `keys` are the repository keys that the trees of its platforms trust.
    """

    repositories: tuple[LockedRepository, ...]
    packages: tuple[LockedPackage, ...]
    platforms: tuple[LockedPlatform, ...] = ()
    keys: tuple[PublicKey, ...] = ()

    def encode(self) -> bytes:
        """The bytes of the lock file, ASCII with a newline at the end."""
        tables = {
            "repositories": [asdict(one) for one in self.repositories],
            **({KEYS: [_key_row(one) for one in self.keys]} if self.keys else {}),
            "platforms": [_platform_row(one) for one in self.platforms],
            "packages": [_package_row(one) for one in self.packages],
        }
        text = ",\n".join(
            f' "{name}": [\n  ' + ",\n  ".join(map(_line, rows)) + "\n ]"
            for name, rows in tables.items()
        )
        return f'{{\n "schema": {SCHEMA},\n{text}\n}}\n'.encode()

    @classmethod
    def decode(cls, data: bytes, where: str) -> Lock:
        """The lock whose file has the bytes `data`; `where` is its path, for errors.

        Raises:
            SpecError: no JSON, an unknown schema, missing or unknown keys, wrong types or values;
                several in a CollectedError.
            VerifyError: a key in it is none.
        """
        tables = read_tables(data, where)
        lock = cls(
            tuple(LockedRepository(**row) for row in tables["repositories"]),
            tuple(LockedPackage(**row) for row in tables["packages"]),
            tuple(_platform(row) for row in tables["platforms"]),
            tuple(_key(row, f"{where}: {KEYS}[{at}]") for at, row in enumerate(tables[KEYS])),
        )
        checks = (_wrong_packages, _wrong_keys, _wrong_platforms)
        raise_all(
            [one for check in checks for one in check(lock, where)], f"{where}: several errors"
        )
        return lock

    @classmethod
    def joined(cls, locks: Iterable[Lock]) -> Lock:
        """One lock of all `locks`; equal repositories and equal groups are there once."""
        joining = _Joining()
        for lock in locks:
            joining.add(lock)
        return cls(
            tuple(joining.repositories),
            tuple(joining.packages),
            tuple(joining.platforms),
            tuple(joining.keys[fingerprint] for fingerprint in sorted(joining.keys)),
        )

    def of_platform(self, platform: str, profile: str) -> Lock:
        """What the lock says of one platform, as a lock of its own.

        Raises:
            ResolveError: the lock is for other platforms.
        """
        for one in self.platforms:
            if (one.platform, one.profile) == (platform, profile):
                return self._only(one)
        known = ", ".join(one.title for one in self.platforms)
        raise ResolveError(
            f"the lock has no packages for {platform} ({profile})",
            code="LOCK-PLATFORM",
            where=platform,
            hint=f"it is for {known}; make one with: voidimg lock {platform}",
        )

    def _only(self, one: LockedPlatform) -> Lock:
        kept = [i for i, repository in enumerate(self.repositories) if repository.arch == one.arch]
        groups = {stage.group: number for number, stage in enumerate(one.stages.values())}
        packages = [
            replace(package, group=groups[number], repository=kept.index(package.repository))
            for number in groups
            for package in self.packages
            if package.group == number
        ]
        platform = one.with_stages(
            {name: replace(stage, group=groups[stage.group]) for name, stage in one.stages.items()}
        )
        keys = tuple(key for key in self.keys if key.fingerprint in one.keys)
        return Lock(tuple(self.repositories[i] for i in kept), tuple(packages), (platform,), keys)

    def with_keys(self, keys: Iterable[PublicKey]) -> Lock:
        """The lock with these keys, trusted by the trees of all its platforms, and no others."""
        known = {key.fingerprint: key for key in keys}
        names = tuple(sorted(known))
        platforms = tuple(replace(one, keys=names) for one in self.platforms)
        return replace(self, platforms=platforms, keys=tuple(known[name] for name in names))

    def of_stages(self, stages: Collection[PackageStage]) -> Lock:
        """The lock without the packages and requests of other stages than `stages`."""
        platforms = tuple(
            one.with_stages({name: one.stages[name] for name in one.stages if name in stages})
            for one in self.platforms
        )
        packages = tuple(package for package in self.packages if package.stage in stages)
        return Lock.joined([replace(self, packages=packages, platforms=platforms)])

    def package(self, name: str) -> LockedPackage | None:
        """The package called `name`."""
        return next((package for package in self.packages if package.name == name), None)

    def of_stage(self, stage: PackageStage) -> tuple[LockedPackage, ...]:
        """The packages that come in with `stage`, in order."""
        return tuple(package for package in self.packages if package.stage == stage)

    def url_of(self, package: LockedPackage) -> str:
        """The URL of the repository that has `package`."""
        return self.repositories[package.repository].url


def locked(
    step: Step, repositories: Sequence[LockedRepository], stage: PackageStage, group: int = 0
) -> LockedPackage:
    """What the lock says of an installation that the resolver planned.

    Raises:
        PackageError: the index entry lacks a proper size, SHA-256 or architecture, or its
            repository is not among `repositories`.
    """
    urls = [repository.url for repository in repositories]
    values: dict[str, object] = {
        "pkgver": step.pkgver,
        "arch": step.entry.get("architecture"),
        "repository": urls.index(step.repository) if step.repository in urls else None,
        "size": step.entry.get("filename-size"),
        "sha256": step.entry.get("filename-sha256"),
        "stage": stage,
        "automatic": step.automatic,
        "group": group,
    }
    for complaint in complaints(PackageRow, values):
        raise PackageError(
            f"{step.pkgver} cannot be locked: its {complaint}",
            code="INDEX",
            where=step.repository,
            hint="the repository index is damaged; fetch it again or leave it out",
        )
    return LockedPackage(**values)  # type: ignore[arg-type]


class _Joining:
    """Locks being joined."""

    def __init__(self) -> None:
        self.repositories: list[LockedRepository] = []
        self.packages: list[LockedPackage] = []
        self.platforms: list[LockedPlatform] = []
        self.keys: dict[str, PublicKey] = {}
        self._groups: dict[tuple[LockedPackage, ...], int] = {}

    def add(self, lock: Lock) -> None:
        """Join `lock` to the earlier ones."""
        for repository in lock.repositories:
            if repository not in self.repositories:
                self.repositories.append(repository)
        for key in lock.keys:
            self.keys.setdefault(key.fingerprint, key)
        for one in lock.platforms:
            before = sum(len(other.stages) for other in self.platforms)
            stages = {
                name: replace(stage, group=self._group(lock, stage.group, before + index))
                for index, (name, stage) in enumerate(one.stages.items())
            }
            self.platforms.append(one.with_stages(stages))

    def _group(self, lock: Lock, group: int, number: int) -> int:
        """The number in the joined lock of the `group` of `lock`; `number` if it is a new one."""
        packages = tuple(
            replace(
                package,
                group=0,
                repository=self.repositories.index(lock.repositories[package.repository]),
            )
            for package in lock.packages
            if package.group == group
        )
        # Without packages there is nothing to share, and nothing that says of which stage it is.
        known = self._groups.get(packages) if packages else None
        if known is None:
            known = number
            self._groups[packages] = known
            self.packages += [replace(package, group=known) for package in packages]
        return known


def _package_row(package: LockedPackage) -> dict[str, object]:
    row = asdict(package)
    return {"group": row.pop("group"), **row}


def _platform(row: Row) -> LockedPlatform:
    stages = {
        name: LockedStage(row[name]["group"], tuple(row[name]["requests"]))
        for name in STAGES
        if name in row
    }
    files = tuple(sorted(row.get("files", {}).items()))
    keys = tuple(row.get(KEYS, ()))
    platform = LockedPlatform(row["platform"], row["profile"], row["arch"], files=files, keys=keys)
    return platform.with_stages(stages)


def _platform_row(one: LockedPlatform) -> dict[str, object]:
    row: dict[str, object] = {"platform": one.platform, "profile": one.profile, "arch": one.arch}
    if one.keys:
        row[KEYS] = list(one.keys)
    row |= {name: asdict(stage) for name, stage in one.stages.items()}
    return {**row, "files": dict(one.files)} if one.files else row


def _key(row: Row, where: str) -> PublicKey:
    """The key of a row of the lock, which must have the fingerprint that it is listed under."""
    key = PublicKey.from_pem(
        row["public_key"].encode("latin-1"), signed_by=row["signed_by"], where=where
    )
    if key.fingerprint != row["fingerprint"]:
        raise VerifyError(
            f"the key has the fingerprint {key.fingerprint}, not {row['fingerprint']}",
            code="LOCK-KEY",
            where=where,
            hint="the lock was edited; make it anew with: voidimg lock",
        )
    return key


def _key_row(key: PublicKey) -> dict[str, object]:
    return {
        "fingerprint": key.fingerprint,
        "signed_by": key.signed_by,
        "public_key": key.pem.decode("latin-1"),  # byte for byte, whatever stands beside the block
    }


def _attribute(stage: PackageStage) -> str:
    return stage.replace("-", "_")


def _wrong_packages(lock: Lock, where: str) -> Iterator[SpecError]:
    seen: set[tuple[int, str]] = set()
    for index, package in enumerate(lock.packages):
        at = f"{where}: packages[{index}]"
        if package.repository >= len(lock.repositories):
            what = f"{package.pkgver} names repository {package.repository}, which is not listed"
            yield wrong("LOCK-REFERENCE", what, at)
        if (package.group, package.name) in seen:
            yield wrong("LOCK-TWICE", f"{package.name} is listed twice", at)
        seen.add((package.group, package.name))


def _wrong_keys(lock: Lock, where: str) -> Iterator[SpecError]:
    names = [key.fingerprint for key in lock.keys]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield wrong("LOCK-TWICE", f"{name} is listed twice", f"{where}: {KEYS}")


def _wrong_platforms(lock: Lock, where: str) -> Iterator[SpecError]:
    titles: set[str] = set()
    for index, one in enumerate(lock.platforms):
        at = f"{where}: platforms[{index}]"
        if one.title in titles:
            yield wrong("LOCK-TWICE", f"{one.title} is listed twice", at)
        for name in sorted(set(one.keys) - {key.fingerprint for key in lock.keys}):
            yield wrong("LOCK-REFERENCE", f"its key {name} is not listed", at)
        titles.add(one.title)
        names: dict[PackageStage, set[str]] = {stage: set() for stage in STAGES}
        for stage, package in (
            (stage, package)
            for stage, own in one.stages.items()
            for package in lock.packages
            if package.group == own.group
        ):
            names[stage].add(package.name)
            if package.stage != stage:
                what = (
                    f"{package.pkgver} is of the stage {package.stage}, but {stage} has its group"
                )
                yield wrong("LOCK-REFERENCE", what, at)
            known = lock.repositories[package.repository : package.repository + 1]
            if known and known[0].arch != one.arch:
                what = f"{package.pkgver} comes from a repository for {known[0].arch}"
                yield wrong("LOCK-REFERENCE", what, at)
        for tree in TREES:
            for first, second in combinations(tree, 2):
                for name in sorted(names[first] & names[second]):
                    what = f"{name} is in both stages, {first} and {second}"
                    yield wrong("LOCK-TWICE", what, at)


def _line(row: Mapping[str, object]) -> str:
    return json.dumps(row, separators=(", ", ": "))


def _split(pkgver: str) -> Pkgver:
    split = split_pkgver(pkgver)
    if split is None:
        raise ValueError(f"{pkgver!r} is not a pkgver")
    return split
