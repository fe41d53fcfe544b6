"""Opens the repositories of a build: fetches their repodata, decodes it, and checks who signs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from voidimg.errors import FetchError, PackageError
from voidimg.fetch import Fetcher, Location, RepodataFile
from voidimg.fetch.repodata import Check
from voidimg.supply.lock import LockedRepository
from voidimg.supply.trust import Trust
from voidimg.xbps.keys import PublicKey
from voidimg.xbps.names import NOARCH
from voidimg.xbps.repository.repodata import Repodata
from voidimg.xbps.resolve.resolver import Repository

_NAMED = 5
"""So many architectures are named in an error."""


@dataclass(frozen=True, slots=True)
class OpenRepository:
    """A repository as it was at one moment: its index, its key, and what a lock says of it.

    `modified_epoch` is when its repodata was last changed, `content` the bytes of that file.
    """

    location: Location
    locked: LockedRepository
    key: PublicKey
    repository: Repository
    modified_epoch: int | None
    content: bytes = field(repr=False)


def fetch_repodata(
    fetcher: Fetcher,
    locations: Sequence[Location],
    arch: str,
    check_of: Callable[[Location], Check] = lambda _location: Repodata.decode,
) -> tuple[RepodataFile, ...]:
    """The repodata of all `locations` that have one for `arch`, in their order.

    Args:
        fetcher: brings it.
        locations: the repositories.
        arch: the architecture.
        check_of: gives what judges the index of a location, by an error; a mirror whose index it
            refuses is left.

    Raises:
        FetchError: a repository cannot be read, or none has anything for `arch`.
        PackageError: every mirror of a repository has a damaged index.
    """
    with ThreadPoolExecutor(max(1, len(locations))) as pool:
        found = list(pool.map(lambda at: fetcher.repodata(at, arch, check_of(at)), locations))
    files = tuple(file for file in found if file is not None)
    if not files:
        raise FetchError(
            f"no repository has packages for {arch}",
            code="NO-ARCH",
            where=", ".join(location.place for location in locations),
            hint=f"a repository for it has a file named {arch}-repodata",
        )
    return files


def state_digest(files: Sequence[RepodataFile]) -> str:
    """One SHA-256 for the state of all repositories, in their order."""
    text = "".join(f"{file.location.name}\0{file.sha256}\n" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()


def require_arch(repodata: Repodata, arch: str, where: str) -> None:
    """Ensure that the index for `arch` is not one of another architecture.

    A stray package of another one is refused when something needs it.

    Raises:
        PackageError: it has packages of other architectures, and none of `arch`.
    """
    found = {str(entry.get("architecture")) for entry in repodata.index.values()} - {NOARCH}
    if found and arch not in found:
        raise PackageError(
            f"the index for {arch} lists packages for {', '.join(sorted(found)[:_NAMED])}",
            code="INDEX-ARCH",
            where=where,
            hint="the repository is mixed up: name that of this architecture, or another mirror",
        )


def open_repository(
    file: RepodataFile, arch: str, trust: Trust, repodata: Repodata | None = None
) -> OpenRepository:
    """The repository of `file`, the repodata for `arch`, which must name a trusted key.

    Args:
        file: the repodata.
        arch: the architecture.
        trust: whose packages may be installed.
        repodata: what `file` holds, if it was decoded before.

    Raises:
        PackageError: the index is malformed, or of another architecture.
        VerifyError: the repository is unsigned or its key is not trusted.
    """
    name, place = file.location.name, file.location.place
    repodata = repodata or Repodata.decode(file.content, f"{place}/{arch}-repodata")
    require_arch(repodata, arch, f"{place}/{arch}-repodata")
    key = trust.require(None if repodata.meta is None else repodata.meta.key, place)
    return OpenRepository(
        location=file.location,
        locked=LockedRepository(name, arch, file.sha256, key.fingerprint),
        key=key,
        repository=Repository(name, repodata.index, repodata.stage, remote=file.location.is_served),
        modified_epoch=file.modified_epoch,
        content=file.content,
    )


@dataclass(frozen=True, slots=True)
class RepositoryTimes:
    """What a mirror says of itself, in seconds since 1970; None: it does not.

    `origin` is written on the origin every minute (``otime``), so on a mirror it is the state that
    was copied; `sync_start` and `sync_end` are written by the mirror when it copies
    (``stime-start``, ``stime-end``). The files are those that Void's repository exporter reads.
    """

    origin: int | None = None
    sync_start: int | None = None
    sync_end: int | None = None


def read_times(fetcher: Fetcher, location: Location) -> RepositoryTimes:
    """The times of the repository at `location`; unreadable ones count as missing.

    Raises:
        FetchError: the server did not answer properly.
    """
    names = ("otime", "stime-start", "stime-end")
    return RepositoryTimes(*(epoch_in(fetcher.small_file(location, name)) for name in names))


def epoch_in(content: bytes | None) -> int | None:
    """The time that a file such as ``otime`` holds, in seconds since 1970; None for none."""
    try:
        return None if content is None else int(float(content))
    except (ValueError, OverflowError):
        return None
