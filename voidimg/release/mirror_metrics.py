"""How mirrors are doing, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voidimg.atomic import write_result
from voidimg.errors import UsageError
from voidimg.identity import ReleaseDate
from voidimg.release.mirror_states import MirrorStatus
from voidimg.release.mirrors import ExpectedSet
from voidimg.supply.status import label_value


def mirror_metrics(statuses: Sequence[MirrorStatus], expected: ExpectedSet) -> str:
    """The statuses in the text format of Prometheus, for its textfile collector."""
    lines = []
    of_set = f'{{set="{label_value(expected.date)}"}}'
    day = ReleaseDate.parse(expected.date).epoch
    lines += _metric("voidimg_set_date_seconds", "Date of the image set", [(of_set, day)])
    count = [(of_set, len(expected.sums.digests))]
    lines += _metric("voidimg_set_artifacts", "Files of the image set", count)
    rows = [(f'{{mirror="{label_value(one.url)}"}}', one) for one in statuses]
    up = [(labels, int(one.state != "unreachable")) for labels, one in rows]
    lines += _metric("voidimg_mirror_up", "1 if the mirror answered properly", up)
    good = [(labels, int(one.state == "good")) for labels, one in rows]
    lines += _metric("voidimg_set_complete", "1 if the mirror has the image set", good)
    lag = [(labels, one.lag_seconds) for labels, one in rows if one.lag_seconds is not None]
    lines += _metric("voidimg_mirror_lag_seconds", "Age of the state that was copied", lag)
    missing = [(labels, len(one.missing)) for labels, one in rows]
    lines += _metric("voidimg_mirror_files_missing", "Files that are not there", missing)
    other = [(labels, len(one.different)) for labels, one in rows]
    lines += _metric("voidimg_mirror_files_different", "Files that are not the origin's", other)
    dates = [(labels, epoch) for labels, one in rows if (epoch := _epoch(one.current)) is not None]
    lines += _metric("voidimg_current_date_seconds", "Date of the mirror's current", dates)
    return "\n".join(lines) + "\n"


def _metric(name: str, explained: str, samples: Sequence[tuple[str, int]]) -> list[str]:
    head = [f"# HELP {name} {explained}", f"# TYPE {name} gauge"]
    return head + [f"{name}{labels} {value}" for labels, value in samples]


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
    write_result(path, content, _is_ours, "metrics of mirrors", "--prometheus")


def _is_ours(content: bytes) -> bool:
    return content.startswith(b"# HELP voidimg_")
