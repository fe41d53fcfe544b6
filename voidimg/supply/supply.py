"""Where the packages of a build come from: a fresh plan, or a lock that was made before.

Both say which files to fetch, with which keys to verify them, and what the installer shall do.
With a lock no index is believed or needed: what the installer must know is read from the packages,
whose SHA-256 the lock states and whose signatures are checked like any others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from voidimg.atomic import write_result
from voidimg.errors import (
    CollectedError,
    FetchError,
    PackageError,
    ResolveError,
    StoreError,
    UsageError,
    VerifyError,
    VoidimgError,
    every_error,
)
from voidimg.fetch import Location, Wanted
from voidimg.foreign import read_regular
from voidimg.spec.model import Recipe
from voidimg.spec.stages import TREES, PackageStage
from voidimg.supply.bundle import LOCK, Bundle
from voidimg.supply.lock import MAX_LOCK_BYTES, Lock, LockedPackage, LockedRepository
from voidimg.supply.opened import OpenRepository
from voidimg.supply.pinned import pinned_files
from voidimg.supply.resolve import (
    StagePlan,
    make_lock,
    plan_stages,
    signed_package,
    stage_options,
    stage_requests,
)
from voidimg.supply.state import RepositoryState
from voidimg.supply.trust import SignedPackage, Trust, fetch_verified, read_key
from voidimg.xbps.keys import PublicKey
from voidimg.xbps.package.agreement import entry_of_props
from voidimg.xbps.package.reader import BinaryPackage
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.repository.repodata import Repodata
from voidimg.xbps.resolve.resolver import Repository, resolve
from voidimg.xbps.resolve.transaction import Step, after, installs

_OTHER = ("E-VERIFY-SHA256", "E-FETCH-LENGTH")
_GONE = ("E-FETCH-NOT-FOUND", "E-FETCH-OFFLINE", *_OTHER)
_NAMED = 10
"""So many packages are named in an error that concerns more."""


class Supply(Protocol):
    """The packages of one platform."""

    @property
    def lock(self) -> Lock:
        """Which packages."""
        ...

    @property
    def keys(self) -> Sequence[PublicKey]:
        """The keys that signed them."""
        ...

    def fetch(self) -> dict[str, Path]:
        """Bring all packages into the cache and verify them; SHA-256 -> file."""
        ...

    def steps(self, files: Mapping[str, Path]) -> Mapping[PackageStage, Sequence[Step]]:
        """What to install in each stage, in the order of the lock; `files` as `fetch` gave them."""
        ...


@dataclass(frozen=True, slots=True)
class PlannedSupply:
    """Packages as they were resolved just now."""

    state: RepositoryState
    repositories: tuple[OpenRepository, ...]
    stages: tuple[StagePlan, ...]
    lock: Lock

    @property
    def keys(self) -> Sequence[PublicKey]:
        """The keys of the repositories."""
        return [one.key for one in self.repositories]

    def fetch(self) -> dict[str, Path]:
        """Fetch and verify; a failure that a changed repository explains says so.

        Raises:
            FetchError, VerifyError: a package cannot be had, or is not what it should be.
        """
        signed = [signed_package(one, self.repositories) for one in self.lock.packages]
        try:
            files = fetch_verified(self.state.fetcher, signed)
        except (FetchError, VerifyError, CollectedError) as error:
            self.state.require_unchanged(error)
            raise _listed_but_missing(error) from error
        self.state.require_unchanged()
        return files

    def steps(self, _files: Mapping[str, Path]) -> Mapping[PackageStage, Sequence[Step]]:
        """The plan's own steps that install; what they replace, the tree knows."""
        return {stage.stage: installs(stage.transaction.steps) for stage in self.stages}


def plan_supply(
    recipe: Recipe, state: RepositoryState, stages: Collection[PackageStage] = TREES[0]
) -> PlannedSupply:
    """Resolve the packages that `stages` of `recipe` install, from the repositories as they are.

    Raises:
        FetchError, VerifyError, PackageError: a repository cannot be used.
        ResolveError: no consistent set of packages exists.
    """
    repositories = state.open(recipe)
    plans = plan_stages(recipe, repositories, stages)
    used = [one.key for one in repositories]
    lock = make_lock(recipe, repositories, plans).with_keys(state.trust(recipe).of_tree(used))
    return PlannedSupply(state, repositories, plans, lock)


def _listed_but_missing(error: VoidimgError) -> VoidimgError:
    """What it means that a repository lacks files which its present index lists; else `error`."""
    errors = every_error(error)
    if any(one.code != "E-FETCH-NOT-FOUND" for one in errors):
        return error
    places = sorted((one.where or "").rpartition("/")[::2] for one in errors)
    names = [name for _, name in places]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return FetchError(
        f"its index lists what it does not have: {', '.join(names[:_NAMED])}{more}",
        code="NOT-FOUND",
        where=", ".join(dict.fromkeys(place for place, _ in places)),
        hint="the mirror is being updated or is not complete: run it again later, or name another",
    )


class LockedSupply:
    """Packages that a lock names, from wherever they can still be had."""

    def __init__(self, recipe: Recipe, lock: Lock, state: RepositoryState, lock_file: Path):
        sources = state.sources
        self._trust = Trust.of(sources.repo_keys, recipe.keys, (*sources.lock_keys, *lock.keys))
        self.lock = lock.with_keys(self._trust.of_tree())
        self._recipe = recipe
        self._state = state
        self._lock_file = lock_file
        self._require_use_of_mirrors()
        self._stages = lock.platforms[0].stages
        self._bundles = [
            bundle
            for directory in (lock_file.parent, *self._directories())
            if (bundle := Bundle.at(directory)) is not None
        ]

    def _directories(self) -> list[Path]:
        sources = self._state.sources
        named = (*sources.repositories, *sources.added)
        return [Path(one.urls[0]) for one in named if not one.remote]

    def _require_use_of_mirrors(self) -> None:
        """Ensure that mirrors which the caller named are asked for something."""
        if not self._state.sources.mirrors:
            return
        own = {one.name for one in self._state.own_locations(self._recipe)}
        used = {one.url for one in self.lock.repositories}
        if not own & used:
            raise UsageError(
                f"no package of the lock is from the platform's own repositories, "
                f"{', '.join(sorted(own))}, but from {', '.join(sorted(used))}",
                code="MIRROR",
                where=str(self._lock_file),
                hint="leave out --mirror, or say with -r where those packages are now",
            )

    def _locations(self, url: str) -> tuple[Location, ...]:
        """Where to look for what was at `url`: what the caller chose, else there; what they add."""
        sources = self._state.sources
        return (*(sources.repositories or (self._location(url),)), *sources.added)

    def require_trusted(self) -> None:
        """Ensure, without any request, that the keys of all repositories of the lock are trusted.

        Raises:
            VerifyError: one is not, or a repository is unsigned.
        """
        for repository in self.lock.repositories:
            if repository.key is None:
                self._trust.require(None, repository.url)
            self._trust.require_fingerprint(str(repository.key), repository.url)

    @property
    def brought_keys(self) -> tuple[PublicKey, ...]:
        """The keys that nobody but the lock vouches for."""
        sources = self._state.sources
        others = Trust.of(sources.repo_keys, self._recipe.keys).fingerprints
        return tuple(key for key in self.lock.keys if key.fingerprint not in others)

    @cached_property
    def keys(self) -> Sequence[PublicKey]:
        """The keys of the lock's repositories, each trusted.

        Raises:
            VerifyError: one is not trusted, or nobody has it.
        """
        self.require_trusted()
        return [self._key(index) for index in range(len(self.lock.repositories))]

    def fetch(self) -> dict[str, Path]:
        """Fetch and verify what the lock names.

        Raises:
            FetchError: a package cannot be had any more.
            VerifyError: a signature does not fit.
        """
        try:
            return fetch_verified(self._state.fetcher, self._signed())
        except (FetchError, VerifyError, CollectedError) as error:
            raise self._explained(error) from error

    def signatures(self) -> dict[str, bytes]:
        """The signatures of what was fetched, by the SHA-256 of the package.

        Raises:
            FetchError: one cannot be had any more.
        """
        return self._state.fetcher.signatures([one.wanted for one in self._signed()])

    def _signed(self) -> list[SignedPackage]:
        return [
            SignedPackage(
                Wanted(one.file_name, self._urls(one), one.size, one.sha256),
                self.keys[one.repository],
            )
            for one in self.lock.packages
        ]

    def index(self, locked: LockedRepository) -> bytes | None:
        """The repodata that the lock was made from, if it can still be had."""
        locations = [Location.parse(str(at)) for one in self._bundles for at in one.repositories()]
        locations += self._locations(locked.url)
        for location in locations:
            try:
                file = self._state.fetcher.repodata(location, locked.arch, Repodata.decode)
            except (FetchError, PackageError):
                continue
            if file is not None and file.sha256 == locked.repodata_sha256:
                return file.content
        return None

    def steps(self, files: Mapping[str, Path]) -> Mapping[PackageStage, Sequence[Step]]:
        """What the packages say of themselves, as steps.

        Raises:
            VerifyError: a file is another package than the lock says.
            ResolveError: the packages of the lock do not fit together.
        """
        with ThreadPoolExecutor(self._state.sources.jobs) as pool:
            steps = list(pool.map(lambda one: self._step(one, files), self.lock.packages))
        self._require_complete(steps)
        found: dict[PackageStage, list[Step]] = {stage: [] for stage in self._stages}
        for one, step in zip(self.lock.packages, steps, strict=True):
            found[one.stage].append(step)
        return found

    def _step(self, one: LockedPackage, files: Mapping[str, Path]) -> Step:
        with BinaryPackage.open(files[one.sha256], where=one.file_name) as package:
            props = package.props
        if (props.get("pkgver"), props.get("architecture")) != (one.pkgver, one.arch):
            raise VerifyError(
                f"the lock says {one.pkgver} for {one.arch}, but the file with this SHA-256 is "
                f"{props.get('pkgver')!r} for {props.get('architecture')!r}",
                code="LOCK-DIFFERS",
                where=str(self._lock_file),
                hint="the lock was edited; make it anew with: voidimg lock",
            )
        entry = entry_of_props(props, size=one.size, sha256=one.sha256)
        url = self.lock.url_of(one)
        return Step(one.pkgver, one.name, "install", url, entry, automatic=one.automatic)

    def _require_complete(self, steps: Sequence[Step]) -> None:
        """Ensure that what was asked for can be met by the packages of the lock alone."""
        for tree in TREES:
            installed: dict[str, PlistDict] = {}
            for stage in (one for one in tree if one in self._stages):
                index = {
                    step.pkgname: step.entry
                    for one, step in zip(self.lock.packages, steps, strict=True)
                    if one.stage == stage
                }
                repositories = [Repository(str(self._lock_file), index)]
                options = stage_options(self._recipe, stage)
                found = resolve(self._stages[stage].requests, repositories, installed, options)
                installed = after(installed, found.steps)

    # --- where to look ---

    def _urls(self, one: LockedPackage) -> tuple[str, ...]:
        """Where the file may be: in a bundle, in what the caller named, else where it was."""
        places = [str(place) for bundle in self._bundles for place in bundle.repositories()]
        locations = self._locations(self.lock.url_of(one))
        local = [f"{place}/{one.file_name}" for place in places]
        local += [url for at in locations if not at.remote for url in at.file(one.file_name)]
        there = [path for path in local if Path(path).is_file()]
        served = [url for at in locations if at.remote for url in at.file(one.file_name)]
        return (*there, *served) or (local[-1],)

    def _location(self, url: str) -> Location:
        """The repository of the lock, with the mirrors and credentials that are known for it."""
        own = self._state.own_locations(self._recipe)
        for location in (*self._state.sources.added, *own):
            if location.name == url:
                return location
        return Location.parse(url)

    def _key(self, index: int) -> PublicKey:
        repository = self.lock.repositories[index]
        fingerprint = str(repository.key)
        if fingerprint in self._trust.keys:
            return self._trust.keys[fingerprint]
        kept = self._state.cache.part("keys", fingerprint)
        files = [file for bundle in self._bundles for file in bundle.key_files()]
        for path in (kept, *files):
            if path.is_file() and (key := read_key(path)).fingerprint == fingerprint:
                return key
        return self._asked_key(fingerprint, repository.url, repository.arch)

    def _asked_key(self, fingerprint: str, url: str, arch: str) -> PublicKey:
        """The key as the repository's present index gives it."""
        for location in self._locations(url):
            file = self._state.fetcher.repodata(location, arch, Repodata.decode)
            meta = None if file is None else Repodata.decode(file.content, location.name).meta
            if meta is not None and meta.fingerprint == fingerprint:
                self._state.keep_key(meta.key)
                return meta.key
        raise VerifyError(
            f"the repository is not signed with the key {fingerprint} of the lock any more",
            code="LOCK-KEY",
            where=url,
            hint="give that key with --repo-key, or make the lock anew with: voidimg lock",
        )

    def _explained(self, error: VoidimgError) -> VoidimgError:
        """What a failure to fetch means for a lock."""
        errors = every_error(error)
        if any(one.code not in (*_GONE, "E-FETCH-ALL-MIRRORS") for one in errors):
            return error
        if all(one.code == "E-FETCH-ALL-MIRRORS" for one in errors):
            return error
        files = sorted((one.where or "").rpartition("/")[2].removesuffix(".sig2") for one in errors)
        named = ", ".join(files[:_NAMED])
        more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
        where = sorted({(one.where or "").rpartition("/")[0] for one in errors})
        if any(one.code == "E-FETCH-OFFLINE" for one in errors):
            what, code = "not in the cache, and no server may be asked", "OFFLINE"
            hint = "leave out --offline, or give the lock's bundle with -r DIR"
        elif any(one.code in _OTHER for one in errors):
            what, code = "there with another content than that of the lock", "LOCK-CHANGED"
            hint = "make the lock anew with: voidimg lock --update"
        else:
            what, code = "not to be had any more, the repository dropped them", "LOCK-DROPPED"
            hint = "make the lock anew with: voidimg lock --update; --bundle keeps packages"
        return FetchError(
            f"packages of the lock are {what}: {named}{more}",
            code=code,
            where=", ".join(where),
            hint=hint,
        )


def lock_for(
    recipe: Recipe, lock: Lock, where: Path, stages: Collection[PackageStage] = TREES[0]
) -> Lock:
    """What `lock` has for `stages` of `recipe`, if it was made for what the recipe asks for.

    Raises:
        ResolveError: it is for other platforms, or the recipe asks for other packages by now.
    """
    own = lock.of_platform(recipe.platform, recipe.profile)
    platform = own.platforms[0]
    if platform.arch != recipe.arch:
        raise ResolveError(
            f"the lock is for {platform.arch}, {recipe.platform} is {recipe.arch}",
            code="LOCK-ARCH",
            where=str(where),
            hint="make it anew with: voidimg lock",
        )
    missing = [stage for stage in stages if stage not in platform.stages]
    if missing:
        raise ResolveError(
            f"the lock has no packages of {platform.title} for {', '.join(missing)}",
            code="LOCK-STAGE",
            where=str(where),
            hint="it was made for other artifacts; make one with: voidimg lock",
        )
    for stage in stages:
        now = set(stage_requests(recipe, stage))
        then = set(platform.stages[stage].requests)
        if now != then:
            changes = [f"+{name}" for name in sorted(now - then)]
            changes += [f"-{name}" for name in sorted(then - now)]
            raise ResolveError(
                f"{platform.title} asks for other {stage} packages than when the lock was made: "
                + " ".join(changes),
                code="LOCK-REQUESTS",
                where=str(where),
                hint=f"bring it up to date with: voidimg lock --update -o {where}",
            )
    own = own.of_stages(stages)
    _require_pinned(recipe, own, where)
    return own


def _require_pinned(recipe: Recipe, lock: Lock, where: Path) -> None:
    """Ensure that the files that come from no package are those that `lock` was made with."""
    platform = lock.platforms[0]
    now = pinned_files(recipe, platform.stages)
    then = dict(platform.files)
    for path in sorted(now.keys() | then.keys()):
        if now.get(path) != then.get(path):
            raise ResolveError(
                f"the lock of {platform.title} was made with another {path}:"
                f" {then.get(path, 'none')}, not {now.get(path, 'none')}",
                code="LOCK-FILES",
                where=str(where),
                hint=f"bring it up to date with: voidimg lock --update -o {where}",
            )


def read_lock(path: Path) -> tuple[Lock, Path]:
    """The lock in the file `path`, or in the bundle `path`; and its file.

    Raises:
        StoreError: it cannot be read.
        SpecError: it is no lock.
    """
    file = path / LOCK if path.is_dir() else path
    try:
        return Lock.decode(read_regular(file, MAX_LOCK_BYTES), where=str(file)), file
    except OSError as error:
        raise StoreError(
            f"cannot read the lock: {error.strerror}",
            code="LOCK",
            where=str(file),
            hint=getattr(error, "hint", None) or "make one with: voidimg lock PLATFORM -o FILE",
        ) from error


def write_lock(path: Path, lock: Lock) -> None:
    """Write `lock` to the file `path`, at once and whole, in place of an older lock.

    Raises:
        UsageError: something else is there.
        StoreError: it cannot be written.
    """
    write_result(path, lock.encode(), is_lock, "a lock", str(path))


def is_lock(content: bytes) -> bool:
    """Whether `content` is a lock file."""
    try:
        Lock.decode(content, where="lock")
    except VoidimgError:
        return False
    return True
