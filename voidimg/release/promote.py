"""Makes an image set current, and the one before it again: judged first, switched at once.

Order: judge, touch, switch, touch again, tell. A run that is killed in between leaves a ``current``
that leads to a good set, and the next run completes what is told of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voidimg.atomic import write_atomically
from voidimg.errors import ReleaseError
from voidimg.events import Listener, ignore
from voidimg.identity import ReleaseDate
from voidimg.release.current import (
    current_date,
    promoting,
    switch_current,
    touch_undated,
    write_current_json,
)
from voidimg.release.hardware import (
    HARDWARE,
    count_hardware,
    counting_results,
    require_hardware,
)
from voidimg.release.hardware_page import PAGE_NAME, results_page
from voidimg.release.history import (
    Action,
    HardwareCount,
    History,
    Promotion,
    read_history,
    require_reason,
    utc_text,
    write_history,
)
from voidimg.release.publishable import PublishableSet, require_publishable
from voidimg.signing.keys import TrustedKey
from voidimg.signing.published_set import CURRENT


@dataclass(frozen=True, slots=True)
class Promoted:
    """What a promotion or a rollback did.

    Attributes:
        entry: what the history says of it.
        was_current: whether the set was current before; then it was only touched again.
        touched: files that got the present time, so that mirrors copy them.
    """

    entry: Promotion
    was_current: bool
    touched: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """The result as a JSON-ready mapping."""
        said = self.entry.model_dump(mode="json")
        return {**said, "was_current": self.was_current, "touched": list(self.touched)}


@dataclass(frozen=True, slots=True)
class PromoteOptions:
    """How a set is judged before it becomes current.

    Attributes:
        key: the public key of the set; None for the one that belongs to its date.
        allow_older: whether it may be older than the one that is current.
        testers: keys of the people whose results of real machines count.
        hardware: on so many different machines the set must have been seen to work.
        results: the directory with those results; None: ``hardware/DATE`` beside the sets.
        accept_failures: why results that say that it fails do not matter; None: they do.
        reason: what the history is to say.
        jobs: how many files are read at once.
    """

    key: TrustedKey | None = None
    allow_older: bool = False
    testers: tuple[TrustedKey, ...] = ()
    hardware: int = 0
    results: Path | None = None
    accept_failures: str | None = None
    reason: str = ""
    jobs: int = 1


def promote(
    top: Path,
    date: ReleaseDate,
    options: PromoteOptions | None = None,
    *,
    listener: Listener = ignore,
) -> Promoted:
    """Make the image set of `date` in `top` the current one.

    Promoting the set that is current already touches its files again, which helps a mirror whose
    clock is ahead.

    Raises:
        UsageError: a reason cannot stand in the history.
        ReleaseError: the set may not be published, is older than the current one, or somebody else
            promotes at the moment.
        VerifyError: it is not signed, or not as it was signed.
        StoreError: something cannot be read or written.
    """
    options = PromoteOptions() if options is None else options
    _require_texts(options)
    with promoting(top):
        now, history = _state(top)
        if now is not None and not options.allow_older and _age(date) < _age(now):
            raise ReleaseError(
                f"the set of {date} is older than the current one of {now}",
                code="OLDER",
                where=str(top / str(date)),
                hint="to go back, use: voidimg rollback; or say --allow-older",
            )
        return _make_current(top, str(date), "promote", history, options, listener)


def rollback(
    top: Path,
    options: PromoteOptions | None = None,
    *,
    to: ReleaseDate | None = None,
    listener: Listener = ignore,
) -> Promoted:
    """Make the image set current again that was so before, or that of the date `to`.

    A second rollback leads one set further back, never to the one that was left.

    Raises:
        UsageError: a reason cannot stand in the history.
        ReleaseError: there is none to go back to, or it may not be published.
        VerifyError, StoreError: as for `promote`.
    """
    options = PromoteOptions() if options is None else options
    _require_texts(options)
    with promoting(top):
        now, history = _state(top)
        target = history.previous if to is None else str(to)
        if target is None or (to is not None and target not in _dates(history)):
            raise ReleaseError(
                "no other image set was current before"
                if to is None
                else f"the set of {to} never was current",
                code="NO-PREVIOUS",
                where=str(top),
                hint="promote a set by its date: voidimg promote DATE --allow-older",
            )
        if now is not None and target == str(now):
            raise ReleaseError(
                f"the set of {target} is current already", code="IS-CURRENT", where=str(top)
            )
        return _make_current(top, target, "rollback", history, options, listener)


def _require_texts(options: PromoteOptions) -> None:
    require_reason(options.reason, "--reason")
    require_reason(options.accept_failures or "", "--accept-failures")


def _dates(history: History) -> set[str]:
    return {one.date for one in history.promotions}


def _age(date: ReleaseDate) -> tuple[str, int, int]:
    """What sorts sets by their age: a release candidate comes before its day, a repeat after it."""
    day, rest = date.text[:8], date.text[8:]
    rank = -1 if rest.startswith("rc") else 1 if rest else 0
    return day, rank, int(rest.lstrip("rc") or 0)


def _state(top: Path) -> tuple[ReleaseDate | None, History]:
    """What is current, and the history, completed by what it does not say."""
    now, history = current_date(top), read_history(top)
    if now is None or str(now) == history.current:
        return now, history
    at = utc_text((top / CURRENT).lstat().st_mtime)
    entry = Promotion(
        date=str(now),
        before=history.current,
        action="found",
        at=at,
        reason="the link had changed and no entry said so",
    )
    return now, history.with_entry(entry)


def _make_current(
    top: Path,
    date: str,
    action: Action,
    history: History,
    options: PromoteOptions,
    listener: Listener,
) -> Promoted:
    found = require_publishable(top / date, options.key, jobs=options.jobs, listener=listener)
    place = options.results or top / HARDWARE / date
    results = counting_results(place, found.digests, options.testers, listener)
    entry = _entry(found, action, history, options, count_hardware(results), place)
    was_current = history.current == date and current_date(top) is not None
    touch_undated(found.directory)
    if not was_current:
        switch_current(top, date)
        history = history.with_entry(entry)
    # a mirror may have copied files of the set before between touching and switching
    touched = touch_undated(found.directory)
    write_current_json(top, date, found.digests)
    write_history(top, history)
    if (top / HARDWARE / date).is_dir() or results:
        write_atomically(top / HARDWARE / date / PAGE_NAME, results_page(found.manifest, results))
    return Promoted(entry, was_current, touched)


def _entry(
    found: PublishableSet,
    action: Action,
    history: History,
    options: PromoteOptions,
    counted: HardwareCount,
    place: Path,
) -> Promotion:
    require_hardware(counted, options.hardware, options.accept_failures, place)
    reasons: Sequence[str] = [options.reason] if options.reason else []
    if counted.fails and options.accept_failures is not None:
        reasons = [*reasons, f"failures on real machines accepted: {options.accept_failures}"]
    return Promotion(
        date=found.date,
        before=history.current,
        action=action,
        at=utc_text(time.time()),
        reason="; ".join(reasons),
        key_id=found.verified.key_id,
        waivers=found.waivers,
        hardware=counted,
    )
