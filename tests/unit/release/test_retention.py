"""Which old sets, bundles and keys are kept."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.command import voidimg, voidimg_json
from tests.unit.release.made_sets import made
from voidimg.errors import ReleaseError, UsageError
from voidimg.identity import ReleaseDate
from voidimg.release.current import promoting
from voidimg.release.promote import PromoteOptions, promote, rollback
from voidimg.release.retention import Retention, judge_bundles, judge_sets, prune_sets

TODAY = ReleaseDate.parse("20260601")
DAYS = st.integers(0, 1000).map(
    lambda days: ReleaseDate.parse((TODAY.day - timedelta(days)).strftime("%Y%m%d"))
)


@given(
    st.sets(DAYS, max_size=12),
    st.builds(Retention, st.integers(0, 5), st.integers(0, 400)),
    st.data(),
)
def test_what_is_current_or_was_so_is_never_removed(
    dates: set[ReleaseDate], retention: Retention, data: st.DataObject
) -> None:
    """Nor what may become current; and nothing at all while no set is current."""
    ordered = sorted(dates, key=str)
    current = data.draw(st.sampled_from([None, *ordered]))
    before = data.draw(st.sampled_from([None, *map(str, ordered)]))
    verdicts = judge_sets(
        dates, retention, current=current, before=[before] if before else [], today=TODAY
    )
    kept = {one.date for one in verdicts if one.keep}
    assert [one.date for one in verdicts] == [str(one) for one in reversed(ordered)]
    if current is None:
        assert kept == set(map(str, dates))
        return
    assert str(current) in kept
    assert before is None or before in kept
    assert {str(one) for one in dates if one.day >= current.day} <= kept
    assert len(kept) >= min(len(dates), retention.sets)
    young = {str(one) for one in dates if (TODAY.day - one.day).days <= retention.days}
    assert young <= kept
    gone = set(map(str, dates)) - kept
    assert all((TODAY.day - ReleaseDate.parse(one).day).days > retention.days for one in gone)


def test_bundles_outlive_their_sets() -> None:
    """From them a set can be made again."""
    dates = [ReleaseDate.parse(text) for text in ("20200101", "20220101", "20250101")]
    verdicts = judge_bundles(dates, {"20200101"}, Retention(bundle_days=1000), TODAY)
    assert [(one.date, one.keep) for one in verdicts] == [
        ("20250101", True), ("20220101", False), ("20200101", True)
    ]  # fmt: skip


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Six sets, of which three were current, and the bundles of some."""
    directory = tmp_path / "live"
    dates = ["20250101", "20250201", "20250301", "20250401", "20250501", "20260601"]
    for date in dates:
        made(directory, date)
        (directory / "hardware" / date).mkdir(parents=True)
    for date in ("20250101", "20220101"):
        (directory / f"bundle-{date}").mkdir()
        (directory / f"bundle-{date}" / "x.xbps").write_bytes(b"x")
    for date in ("20250201", "20250301", "20250401"):
        promote(directory, ReleaseDate.parse(date))
    return directory


def test_pruning(top: Path) -> None:
    """First told, then done; keys stay, and a second run has nothing to do."""
    for end in ("current.json", "download.yml"):
        (top / f"void-release-20250101.{end}").write_text("x")
    rule = Retention(sets=1, days=30)
    before = sorted(top.rglob("*"))
    planned = prune_sets(top, rule, today=TODAY, dry_run=True)
    assert sorted(top.rglob("*")) == before
    done = prune_sets(top, rule, today=TODAY)
    assert done == planned
    assert {one.date for one in done.sets if one.keep} == {
        "20250301", "20250401", "20250501", "20260601"
    }  # fmt: skip
    assert sorted(path.name for path in top.iterdir()) == sorted(
        ["20250301", "20250401", "20250501", "20260601", "bundle-20250101", "current",
         "current.json", "hardware", "promotions.json", *done.keys]
    )  # fmt: skip
    assert sorted(path.name for path in (top / "hardware").iterdir()) == [
        "20250301", "20250401", "20250501", "20260601"
    ]  # fmt: skip
    assert len(done.keys) == 6
    assert prune_sets(top, rule, today=TODAY).removed == ()
    assert rollback(top).entry.date == "20250301"


def test_the_set_that_was_left_is_kept_too(top: Path) -> None:
    """After a rollback one may want to go forth again."""
    rollback(top)
    done = prune_sets(top, Retention(sets=0, days=0), today=TODAY)
    why = {one.date: one.why for one in done.sets}
    assert why["20250301"] == "it is current"
    assert {date for date, text in why.items() if text == "it was current before"} == {
        "20250201", "20250401"
    }  # fmt: skip


def test_what_is_not_ours_stays(top: Path) -> None:
    """Links, files and directories with other names; and nobody prunes while sets are promoted."""
    (top / "20200101").symlink_to("20250401")
    (top / "20200102").write_text("x")
    (top / "somebody").mkdir()
    prune_sets(top, Retention(sets=0, days=0), today=TODAY)
    for name in ("20200101", "20200102", "somebody", "20250401"):
        assert (top / name).exists()
    with promoting(top), pytest.raises(ReleaseError):
        prune_sets(top, today=TODAY)
    with pytest.raises(UsageError):
        prune_sets(top, Retention(days=-1), today=TODAY)
    promote(top, ReleaseDate.parse("20250501"), PromoteOptions())


def test_the_verb(top: Path) -> None:
    """It says for each set why it is kept or removed; --plan removes nothing."""
    words = ("--out", top, "release", "--prune", "--keep-sets", "1", "--keep-days", "10")
    planned = voidimg_json(*words, "--plan", "--json")
    assert all((top / one["date"]).is_dir() for one in planned["sets"])
    assert {one["date"] for one in planned["sets"] if not one["keep"]} == {"20250101", "20250201"}
    ended = voidimg(*words)
    assert ended.returncode == 0, ended.stderr
    assert "keep    20250401  it is current" in ended.stdout
    assert "remove  20250101" in ended.stdout
    assert not (top / "20250101").exists()
    assert voidimg("--out", top, "release", "--prune", "nightly").returncode == 2
    assert voidimg("--out", top, "release").returncode == 2
