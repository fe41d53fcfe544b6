"""How repositories are doing: their age, how much is in them and staged, for people and Prometheus.

The metrics and their names are those of Void's repository exporter; the age of the repodata is
ours.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from voidimg.arch import without_libc
from voidimg.atomic import write_result
from voidimg.errors import UsageError, VerifyError
from voidimg.events import Listener, Message, ignore
from voidimg.fetch import (
    Cache,
    Fetcher,
    Location,
    RepodataFile,
    mirrored,
    require_directory,
)
from voidimg.formats.metrics import encode_metrics, gauge
from voidimg.supply.consistency import (
    Finding,
    index_findings,
    now_epoch,
    out_of_step,
    time_findings,
)
from voidimg.supply.opened import RepositoryTimes, fetch_repodata, read_times
from voidimg.supply.seen import compare_with_seen
from voidimg.supply.seen_versions import SeenVersions
from voidimg.supply.sources import Sources
from voidimg.supply.void_mirrors import old_name_warnings
from voidimg.xbps.repository.repodata import Repodata

_SUFFIX = "-repodata"


@dataclass(frozen=True, slots=True)
class RepositoryStatus:
    """One index of a repository; times are seconds since 1970, None where nobody says.

    Attributes:
        url: of the repository.
        arch: of the index.
        sha256: of the index file.
        crc32: of the index file, as Void's exporter has it.
        packages: in the index.
        staged: packages that wait until all that belongs together is rebuilt.
        fingerprint: of the key that signs; None: unsigned.
        modified: when the index was last changed.
        age_seconds: how long ago that was when it was asked for.
        times: what the mirror says of itself.
    """

    url: str
    arch: str
    sha256: str
    crc32: int
    packages: int
    staged: int
    fingerprint: str | None
    modified: int | None
    age_seconds: int | None
    times: RepositoryTimes

    def as_json(self) -> dict[str, object]:
        """The status as a JSON-ready mapping."""
        return asdict(self)


def repository_status(
    locations: Sequence[str],
    archs: Sequence[str],
    sources: Sources,
    *,
    now: int | None = None,
    listener: Listener = ignore,
) -> tuple[tuple[RepositoryStatus, ...], tuple[Finding, ...]]:
    """The status of the indexes for `archs` at `locations`, and signs of inconsistency.

    No key is required to be trusted: nothing is installed.

    Args:
        locations: URLs (of several mirrors, separated by blanks) or directories; the mirrors of
            `sources` are asked in place of those servers.
        archs: whose indexes; empty means all of a directory.
        sources: the cache, the mirrors, and the age that is too old.
        now: seconds since 1970; None means the present time.
        listener: is told of mirrors that lag.

    Raises:
        UsageError: no architecture is given for a URL.
        FetchError: a repository cannot be read, has nothing for an architecture, or is older than
            it was, if that is refused.
        PackageError: an index is malformed.

    A mirror that has older packages than when it was used by this cache is a finding, ``OLDER``.
    """
    present = now_epoch() if now is None else now
    own = [Location.parse(text, where=None) for text in locations]
    # it is the mirrors that are asked about, so they are named
    places = [replace(one, title="") for one in mirrored(own, sources.mirrors)]
    asked = [(location, list(archs) or _archs_of(location)) for location in places]
    with Cache(sources.cache).in_use():
        cache = Cache(sources.cache)
        fetcher = Fetcher(cache, listener=listener, offline=sources.offline)
        found: list[RepositoryStatus] = []
        findings: list[Finding] = []
        for location, wanted in asked:
            for text in old_name_warnings(location):
                listener(Message("warning", text))
            times = RepositoryTimes() if sources.offline else read_times(fetcher, location)
            findings += time_findings(location.name, times, sources.max_age_seconds, present)
            versions: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
            for arch in wanted:
                (file,) = fetch_repodata(fetcher, [location], arch)
                compare_with_seen(file, arch, cache, listener, refuse=sources.require_newer)
                repodata = Repodata.decode(file.content, f"{location.name}/{arch}{_SUFFIX}")
                findings += _gone_back(SeenVersions(cache), location, arch, repodata)
                one = _status(file, arch, repodata, times, present)
                found.append(one)
                where, limit = f"{location.name} ({arch})", sources.max_age_seconds
                findings += index_findings(where, one.staged, one.modified, limit, present)
                for name, entry in repodata.index.items():
                    machine = without_libc(arch)
                    versions[machine, name][arch] = str(entry["pkgver"])
            findings += out_of_step(versions)
        return tuple(found), tuple(findings)


def _gone_back(
    seen: SeenVersions, location: Location, arch: str, repodata: Repodata
) -> list[Finding]:
    """Whether a mirror has older packages than it, or another of `location`, had when it was used.

    Nothing is remembered of what it has now: who asks how a mirror does, does not use it.
    """
    where = f"{location.name} ({arch})"
    try:
        seen.require_not_older(location, arch, repodata.index, where)
    except VerifyError as error:
        return [Finding("OLDER", where, error.what)]
    return []


def _status(
    file: RepodataFile, arch: str, repodata: Repodata, times: RepositoryTimes, now: int
) -> RepositoryStatus:
    modified = file.modified_epoch
    return RepositoryStatus(
        url=file.location.name,
        arch=arch,
        sha256=file.sha256,
        crc32=zlib.crc32(file.content),
        packages=len(repodata.index),
        staged=len(repodata.stage),
        fingerprint=None if repodata.meta is None else repodata.meta.fingerprint,
        modified=modified,
        age_seconds=None if modified is None else now - modified,
        times=times,
    )


def _archs_of(location: Location) -> list[str]:
    if not location.remote:
        directory = Path(location.urls[0])
        require_directory(location)
        if names := sorted(path.name for path in directory.glob(f"*{_SUFFIX}")):
            return [name.removesuffix(_SUFFIX) for name in names]
    raise UsageError(
        "it does not say which architectures it has",
        code="ARCH",
        where=location.name,
        hint="name them with --arch",
    )


def prometheus_text(statuses: Sequence[RepositoryStatus]) -> str:
    """The statuses in the text format of Prometheus, for its textfile collector."""
    labels = [({"target": one.url, "arch": one.arch}, one) for one in statuses]
    return encode_metrics(
        gauge(name, explained, [(label, value(one)) for label, one in labels])
        for name, explained, value in _METRICS
    )


def write_prometheus_file(path: Path, statuses: Sequence[RepositoryStatus]) -> None:
    """Write `prometheus_text` to `path` at once and whole: the collector may read at any time.

    Raises:
        UsageError: something else than such metrics is there.
        StoreError: it cannot be written.
    """
    content = prometheus_text(statuses).encode()
    write_result(path, content, _is_prometheus_text, "metrics of repositories", "--metrics")


def _is_prometheus_text(content: bytes) -> bool:
    first = content.partition(b"\n")[0]
    return first.startswith(b"# HELP repo_")


_METRICS: tuple[tuple[str, str, Callable[[RepositoryStatus], int | None]], ...] = (
    ("repo_repodata_checksum", "CRC32 of the repodata", lambda one: one.crc32),
    ("repo_repodata_time", "When the repodata was changed, Unix time", lambda one: one.modified),
    (
        "repo_repodata_age_seconds",
        "Age of the repodata when asked for",
        lambda one: one.age_seconds,
    ),
    ("repo_packages", "Packages in the repository", lambda one: one.packages),
    ("repo_staged_packages", "Staged packages in the repository", lambda one: one.staged),
    ("repo_is_staged", "1 if the repository is staged", lambda one: int(one.staged > 0)),
    ("repo_origin_time", "Time of the origin that was copied", lambda one: one.times.origin),
    ("repo_sync_start_time", "When the last copy began", lambda one: one.times.sync_start),
    ("repo_sync_end_time", "When the last copy ended", lambda one: one.times.sync_end),
)
