"""What a release came to, as metrics: for alerts that a set is old, incomplete or does not boot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from voidimg.atomic import write_result
from voidimg.catalog.sets import ResolvedSet
from voidimg.fetch import Cache
from voidimg.formats.metrics import Gauge, encode_metrics, gauge
from voidimg.identity import ReleaseDate
from voidimg.release.current import current_date
from voidimg.release.judging import boot_seconds
from voidimg.release.last_run import last_run
from voidimg.release.manifest import BootWay, Manifest, SetArtifact
from voidimg.release.options import ReleaseOptions
from voidimg.release.release import ReleasedSet
from voidimg.release.rows import planned_artifacts


def release_metrics(
    whole: ResolvedSet, date: ReleaseDate, options: ReleaseOptions, done: ReleasedSet
) -> str:
    """The metrics of `done`, a release of `whole`, in the text format of Prometheus.

    Times are those of the run that did the work: what was there already took none since.
    """
    cache = Cache(options.build.cache)
    planned = {one.name: one for one in planned_artifacts(whole, date, options.build.compression)}
    took = {
        name: last.seconds
        for name, one in planned.items()
        if (last := last_run(cache, one)) is not None
    }
    return encode_metrics(_gauges(done.manifest, done.directory.parent, cache, took))


def write_release_metrics(
    path: Path, whole: ResolvedSet, date: ReleaseDate, options: ReleaseOptions, done: ReleasedSet
) -> None:
    """Write `release_metrics` to `path` at once and whole: the collector may read at any time.

    Raises:
        UsageError: something else than such metrics is there.
        StoreError: it cannot be written.
    """
    content = release_metrics(whole, date, options, done).encode()
    write_result(path, content, _is_ours, "metrics of a release", "--metrics")


def _is_ours(content: bytes) -> bool:
    return content.startswith(b"# HELP voidimg_")


def _gauges(manifest: Manifest, top: Path, cache: Cache, took: dict[str, float]) -> Iterator[Gauge]:
    of_set = {"set": manifest.set}
    epoch = ReleaseDate.parse(manifest.date).epoch
    current = current_date(top)
    rows = [(_labels(manifest.set, one), one) for one in manifest.artifacts]
    yield gauge("voidimg_set_date_seconds", "Date of the image set, Unix time", [(of_set, epoch)])
    yield gauge("voidimg_set_artifacts", "Artifacts of the image set", [(of_set, len(rows))])
    complete = [(of_set, float(not manifest.left_out))]
    yield gauge("voidimg_set_complete", "1 if no optional artifact is missing", complete)
    if current is not None:
        explained = "Date of the current image set, Unix time"
        yield gauge("voidimg_current_date_seconds", explained, [({}, current.epoch)])
    sizes = [(labels, one.size) for labels, one in rows]
    yield gauge("voidimg_artifact_bytes", "Size of the artifact", sizes)
    made = [(labels, took.get(one.name)) for labels, one in rows]
    yield gauge("voidimg_artifact_build_seconds", "How long it took to make", made)
    findings = [
        ({**labels, "severity": severity}, count)
        for labels, one in rows
        for severity, count in _findings(one)
    ]
    yield gauge("voidimg_lint_findings", "What the lint found", findings)
    boots = [(labels | _way(boot), boot) for labels, one in rows for boot in one.smoke]
    passed = [(labels, float(boot.verdict == "passed")) for labels, boot in boots]
    yield gauge("voidimg_smoke_success", "1 if the boot test passed", passed)
    seconds = [(labels, boot_seconds(cache, boot)) for labels, boot in boots]
    yield gauge("voidimg_smoke_boot_seconds", "From the start to the login prompt", seconds)


def _labels(name: str, one: SetArtifact) -> dict[str, str]:
    return {"set": name, "artifact": one.kind, "platform": one.platform, "profile": one.profile}


def _way(boot: BootWay) -> dict[str, str]:
    return {"medium": boot.medium, "machine": boot.machine, "firmware": boot.firmware}


def _findings(one: SetArtifact) -> Iterator[tuple[str, int]]:
    if one.lint is not None:
        yield "error", one.lint.errors
        yield "warning", one.lint.warnings
