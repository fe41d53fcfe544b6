"""Signs that repositories are not in one consistent state: reported, or refused when asked."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voidimg.arch import without_libc
from voidimg.errors import FetchError, raise_all
from voidimg.events import Listener, Message
from voidimg.supply.lock import Lock
from voidimg.supply.opened import RepositoryTimes, read_times
from voidimg.supply.sources import Sources
from voidimg.supply.state import RepositoryState

_NAMED = 5
"""So many packages are named in a finding that concerns more."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One sign: a stable `code` such as ``STAGED``, the repository, and what is the matter."""

    code: str
    where: str
    what: str

    def __str__(self) -> str:
        """The finding in one line."""
        return f"{self.where}: {self.what}"


def now_epoch() -> int:
    """The present time in seconds since 1970: the age of a repository is no part of any output."""
    return int(time.time())


def state_findings(state: RepositoryState, now: int) -> list[Finding]:
    """What is the matter with the repositories that `state` has opened.

    Mirrors are asked for their times only if somebody wants to know how old things may be.
    """
    sources = state.sources
    found = []
    for one in state.opened:
        where, staged = f"{one.location.place} ({one.locked.arch})", len(one.repository.stage)
        limit = sources.max_age_seconds
        found += index_findings(where, staged, one.modified_epoch, limit, now)
    if sources.offline or not (sources.require_consistent or sources.max_age_seconds is not None):
        return found
    for location in {one.location.name: one.location for one in state.opened}.values():
        times = read_times(state.fetcher, location)
        found += time_findings(location.place, times, sources.max_age_seconds, now)
    return found


def index_findings(
    where: str, staged: int, modified: int | None, max_age_seconds: int | None, now: int
) -> list[Finding]:
    """What is the matter with one index: staged packages, or too old."""
    found = []
    if staged:
        what = f"staged packages: {staged}; what belongs together is still being rebuilt"
        found.append(Finding("STAGED", where, what))
    if max_age_seconds is None:
        return found
    if modified is None:
        found.append(Finding("AGE", where, "nobody says how old its repodata is"))
    elif now - modified > max_age_seconds:
        what = f"its repodata is {spoken_age(now - modified)} old"
        found.append(Finding("AGE", where, f"{what}, more than {spoken_age(max_age_seconds)}"))
    return found


def time_findings(
    where: str, times: RepositoryTimes, max_age_seconds: int | None, now: int
) -> list[Finding]:
    """What the times of a mirror say: it is being copied to, or has not been for too long."""
    found = []
    start, end = times.sync_start, times.sync_end
    if start is not None and end is not None and start > end:
        what = f"its mirror began to copy {spoken_age(max(0, now - start))} ago and has not ended"
        found.append(Finding("SYNCING", where, what))
    behind = None if times.origin is None else now - times.origin
    if behind is not None and max_age_seconds is not None and behind > max_age_seconds:
        limit = spoken_age(max_age_seconds)
        what = f"its mirror is {spoken_age(behind)} behind its origin, more than {limit}"
        found.append(Finding("BEHIND", where, what))
    return found


def lock_findings(lock: Lock) -> list[Finding]:
    """Packages that are in the lock in different versions for glibc and musl."""
    versions: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for package in lock.packages:
        arch = lock.repositories[package.repository].arch
        versions[without_libc(arch), package.name][arch] = package.pkgver
    return out_of_step(versions)


def out_of_step(versions: Mapping[tuple[str, str], Mapping[str, str]]) -> list[Finding]:
    """Findings for packages whose versions differ between libcs.

    Args:
        versions: machine and package name -> XBPS architecture -> pkgver.
    """
    odd: dict[str, list[str]] = defaultdict(list)
    for (machine, _), by_arch in sorted(versions.items()):
        if len(set(by_arch.values())) > 1:
            odd[machine].append(
                " and ".join(f"{pkgver} ({arch})" for arch, pkgver in sorted(by_arch.items()))
            )
    return [
        Finding(
            "OUT-OF-STEP",
            f"{machine} and {machine}-musl",
            f"packages of different versions: {len(packages)}; {'; '.join(packages[:_NAMED])}"
            + (f" and {len(packages) - _NAMED} more" if len(packages) > _NAMED else ""),
        )
        for machine, packages in odd.items()
    ]


def report_findings(findings: Sequence[Finding], sources: Sources, listener: Listener) -> None:
    """Warn of `findings`, or refuse them where consistency is required.

    Raises:
        FetchError: one finding, ``E-FETCH-STAGED`` or the like; several in a CollectedError.
    """
    if not sources.require_consistent:
        for finding in findings:
            listener(Message("warning", str(finding)))
        return
    errors = [
        FetchError(
            one.what,
            code=one.code,
            where=one.where,
            hint="try again later, or leave out --require-consistent",
        )
        for one in findings
    ]
    raise_all(errors, f"{len(errors)} signs of inconsistent repositories")


def spoken_age(seconds: int) -> str:
    """`seconds` in the largest unit of which there are at least two: ``36 hours``."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"
