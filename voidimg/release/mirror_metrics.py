"""How mirrors are doing, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from voidimg.atomic import write_result
from voidimg.errors import UsageError
from voidimg.formats.metrics import Gauge, encode_metrics, gauge
from voidimg.identity import ReleaseDate
from voidimg.release.mirror_states import MirrorStatus
from voidimg.release.mirrors import ExpectedSet


def mirror_metrics(statuses: Sequence[MirrorStatus], expected: ExpectedSet) -> str:
    """The statuses in the text format of Prometheus, for its textfile collector."""
    of_set = {"set": expected.date}
    day = ReleaseDate.parse(expected.date).epoch
    rows = [({"mirror": one.url}, one) for one in statuses]

    def of_mirrors(
        name: str, explained: str, value: Callable[[MirrorStatus], float | None]
    ) -> Gauge:
        return gauge(name, explained, [(labels, value(one)) for labels, one in rows])

    count = [(of_set, len(expected.sums.digests))]
    return encode_metrics(
        (
            gauge("voidimg_set_date_seconds", "Date of the image set", [(of_set, day)]),
            gauge("voidimg_set_artifacts", "Files of the image set", count),
            of_mirrors(
                "voidimg_mirror_up",
                "1 if the mirror answered properly",
                lambda one: one.state != "unreachable",
            ),
            of_mirrors(
                "voidimg_set_complete",
                "1 if the mirror has the image set",
                lambda one: one.state == "good",
            ),
            of_mirrors(
                "voidimg_mirror_lag_seconds",
                "Age of the state that was copied",
                lambda one: one.lag_seconds,
            ),
            of_mirrors(
                "voidimg_mirror_files_missing",
                "Files that are not there",
                lambda one: len(one.missing),
            ),
            of_mirrors(
                "voidimg_mirror_files_different",
                "Files that are not the origin's",
                lambda one: len(one.different),
            ),
            of_mirrors(
                "voidimg_current_date_seconds",
                "Date of the mirror's current",
                lambda one: _epoch(one.current),
            ),
        )
    )


def _epoch(date: str | None) -> int | None:
    try:
        return None if date is None else ReleaseDate.parse(date).epoch
    except UsageError:
        return None


def write_mirror_metrics(
    path: Path, statuses: Sequence[MirrorStatus], expected: ExpectedSet
) -> None:
    """Write `mirror_metrics` to `path` at once and whole: the collector may read at any time.

    Raises:
        UsageError: something else than such metrics is there.
        StoreError: it cannot be written.
    """
    content = mirror_metrics(statuses, expected).encode()
    write_result(path, content, _is_ours, "metrics of mirrors", "--metrics")


def _is_ours(content: bytes) -> bool:
    return content.startswith(b"# HELP voidimg_")
