"""Which old image sets, bundles and keys are kept, and for how long.

The rule is pure: dates go in. What is current and what was so before is never removed, nor what is
newer than the current set, for it may become current. Keys are kept for ever: whoever has an old
image can still verify it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from voidimg.atomic import private_directory
from voidimg.errors import UsageError, storing
from voidimg.events import Listener, Message, ignore
from voidimg.identity import ReleaseDate
from voidimg.release.current import current_date, promoting
from voidimg.release.hardware import HARDWARE
from voidimg.release.history import read_history


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept beside the current set and the one before.

    Attributes:
        sets: so many of the newest sets.
        days: every set that is so many days old, or younger.
        bundle_days: the bundle of packages of a set so many days; those of kept sets always.
    """

    sets: int = 3
    days: int = 90
    bundle_days: int = 1096


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a set or a bundle is kept, and why, in words."""

    date: str
    keep: bool
    why: str


def judge_sets(
    dates: Collection[ReleaseDate],
    retention: Retention,
    *,
    current: ReleaseDate | None,
    before: Collection[str],
    today: ReleaseDate,
) -> tuple[Verdict, ...]:
    """Which of the sets of `dates` are kept, the newest first.

    Args:
        dates: of all sets.
        retention: the rule.
        current: of the set that is current; None: nothing is published, and nothing removed.
        before: of sets that were current just before, to which a rollback leads.
        today: counts the days.
    """
    ordered = sorted(dates, key=lambda date: (date.day, date.text), reverse=True)
    return tuple(
        Verdict(str(date), *_set_verdict(index, date, retention, current, frozenset(before), today))
        for index, date in enumerate(ordered)
    )


def _set_verdict(
    index: int,
    date: ReleaseDate,
    retention: Retention,
    current: ReleaseDate | None,
    before: frozenset[str],
    today: ReleaseDate,
) -> tuple[bool, str]:
    if current is None:
        return True, "no set is current"
    if date == current:
        return True, "it is current"
    if str(date) in before:
        return True, "it was current before"
    if date.day >= current.day:
        return True, "it is not older than the current set"
    if index < retention.sets:
        return True, f"it is one of the newest {retention.sets}"
    return _by_age(date, retention.days, today)


def _by_age(date: ReleaseDate, days: int, today: ReleaseDate) -> tuple[bool, str]:
    if today.day - date.day <= timedelta(days):
        return True, f"it is not older than {days} days"
    return False, f"it is older than {days} days"


def judge_bundles(
    dates: Collection[ReleaseDate],
    kept_sets: Collection[str],
    retention: Retention,
    today: ReleaseDate,
) -> tuple[Verdict, ...]:
    """Which of the bundles of `dates` are kept: those of kept sets, and younger ones."""
    found = []
    for date in sorted(dates, key=lambda date: (date.day, date.text), reverse=True):
        if str(date) in kept_sets:
            found.append(Verdict(str(date), True, "its set is kept"))
        else:
            found.append(Verdict(str(date), *_by_age(date, retention.bundle_days, today)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was kept and removed, or would be; `keys` are the public keys, which are all kept."""

    sets: tuple[Verdict, ...]
    bundles: tuple[Verdict, ...]
    keys: tuple[str, ...]
    removed: tuple[Path, ...]


def prune_sets(
    top: Path,
    retention: Retention | None = None,
    *,
    today: ReleaseDate | None = None,
    dry_run: bool = False,
    listener: Listener = ignore,
) -> Pruned:
    """Remove the old image sets in `top`, with the results of real machines, and old bundles.

    A set is a dated directory, its bundle ``bundle-DATE`` beside it. Each goes at once: a reader
    sees all of it or nothing. With a set goes what `sign` wrote beside it, but for the key.

    Args:
        top: the directory of all sets.
        retention: what is kept; None: the default rule.
        today: counts the days; None: today in UTC.
        dry_run: remove nothing, and say what would be.
        listener: is told what is removed.

    Raises:
        ReleaseError: ``current`` or the history are not what they should be, or somebody promotes.
        StoreError: something cannot be read or removed.
    """
    rule = Retention() if retention is None else retention
    if min(rule.sets, rule.days, rule.bundle_days) < 0:
        raise UsageError("nothing can be kept for less than no time", code="RETENTION")
    day = ReleaseDate.today() if today is None else today
    with promoting(top):
        history = read_history(top)
        before = {date for date in (history.previous, history.current_before) if date is not None}
        dates, bundles, keys = _found(top)
        sets = judge_sets(dates, rule, current=current_date(top), before=before, today=day)
        kept = [one.date for one in sets if one.keep]
        old_bundles = judge_bundles(bundles, kept, rule, day)
        gone = [top / one.date for one in sets if not one.keep]
        gone += [top / HARDWARE / one.date for one in sets if not one.keep]
        gone += [top / f"{_BUNDLE}{one.date}" for one in old_bundles if not one.keep]
        gone += [
            top / f"void-release-{one.date}.{end}"
            for one in sets
            if not one.keep
            for end in ("current.json", "download.yml")
        ]
        removed = [path for path in gone if path.exists() and not path.is_symlink()]
        for path in () if dry_run else removed:
            listener(Message("note", f"removing {path}"))
            with storing(path, "remove"), private_directory(path.parent) as private:
                path.rename(private / "old")
        return Pruned(sets, old_bundles, tuple(keys), tuple(removed))


_BUNDLE = "bundle-"


def _found(top: Path) -> tuple[list[ReleaseDate], list[ReleaseDate], list[str]]:
    """The dates of the sets and of the bundles in `top`, and the public keys there."""
    sets: list[ReleaseDate] = []
    bundles: list[ReleaseDate] = []
    keys: list[str] = []
    with storing(top, "read"):
        entries = sorted(top.iterdir())
    for path in entries:
        if path.name.startswith("void-release-") and path.suffix == ".pub":
            keys.append(path.name)
        if path.is_symlink() or not path.is_dir():
            continue
        is_bundle = path.name.startswith(_BUNDLE)
        try:
            date = ReleaseDate.parse(path.name.removeprefix(_BUNDLE))
        except UsageError:
            continue
        (bundles if is_bundle else sets).append(date)
    return sets, bundles, keys
