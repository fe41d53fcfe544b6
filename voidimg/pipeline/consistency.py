"""Signs that repositories are not in one consistent state: reported, or refused when asked."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from voidimg.errors import CollectedError, FetchError
from voidimg.events import Listener, Message
from voidimg.pipeline.options import Sources
from voidimg.pipeline.repositories import OpenRepository
from voidimg.xbps.lock import Lock

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


def repository_findings(
    repositories: Iterable[OpenRepository], sources: Sources, now: int
) -> list[Finding]:
    """What is the matter with single repositories: staged packages, or old repodata."""
    found = []
    for one in repositories:
        where = f"{one.locked.url} ({one.locked.arch})"
        if one.repository.stage:
            count = len(one.repository.stage)
            what = f"{count} packages are staged: its packages are being rebuilt for new libraries"
            found.append(Finding("STAGED", where, what))
        limit = sources.max_age_seconds
        if limit is None:
            continue
        if one.modified_epoch is None:
            found.append(Finding("AGE", where, "nobody says how old its repodata is"))
        elif now - one.modified_epoch > limit:
            age = spoken_age(now - one.modified_epoch)
            what = f"its repodata is {age} old, more than {spoken_age(limit)}"
            found.append(Finding("AGE", where, what))
    return found


def lock_findings(lock: Lock) -> list[Finding]:
    """Packages that are in the lock in different versions for glibc and musl."""
    versions: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for package in lock.packages:
        arch = lock.repositories[package.repository].arch
        versions[arch.removesuffix("-musl"), package.name][arch] = package.pkgver
    return out_of_step(versions)


def out_of_step(versions: dict[tuple[str, str], dict[str, str]]) -> list[Finding]:
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
            f"{len(packages)} packages differ in version: {'; '.join(packages[:_NAMED])}"
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
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise CollectedError(f"{len(errors)} signs of inconsistent repositories", errors)


def spoken_age(seconds: int) -> str:
    """`seconds` in the largest unit of which there are at least two: ``36 hours``."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"
