"""Which states of repositories were seen: one that is older again is told, or refused.

An index is not signed. Whoever stands between could serve one of last year for ever, with all
signatures in order, so that no image gets the fixes made since. The newest state that was seen of
each repository is kept in the cache, under the name that the repository keeps whichever of its
mirrors is asked.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

from voidimg.errors import FetchError
from voidimg.events import Listener, Message
from voidimg.fetch import Cache, RepodataFile


def compare_with_seen(
    file: RepodataFile, arch: str, cache: Cache, listener: Listener, *, refuse: bool
) -> None:
    """Tell of repodata for `arch` that is older than what was seen, and remember the newest.

    Args:
        file: what was fetched just now.
        arch: the architecture.
        cache: where what was seen is kept.
        listener: is told.
        refuse: make it an error; so is repodata of which nobody says how old it is, if that was
            said before.

    Raises:
        FetchError: it is older, and refused.
        StoreError: the cache cannot be written.
    """
    text = f"{file.location.name}\0{arch}"
    names = ("seen", hashlib.sha256(text.encode()).hexdigest())
    before = _newest(cache, names)
    now = file.modified_epoch
    if now is not None and (before is None or now > before):
        cache.write_small(json.dumps({"modified": now}).encode(), *names)
    if before is None or (now is not None and now >= before):
        return
    age = "nobody says of which time it is" if now is None else f"it is of {_date(now)}"
    what = f"its repodata for {arch} of {_date(before)} was seen before, now {age}"
    if refuse:
        raise FetchError(
            what,
            code="OLDER",
            where=file.location.name,
            hint="ask another mirror; if it was meant to go back, leave out --require-newer",
        )
    if now is not None:
        listener(Message("warning", f"{file.location.name}: {what}"))


def _newest(cache: Cache, names: tuple[str, ...]) -> int | None:
    try:
        known = json.loads(cache.part(*names).read_bytes())
    except (OSError, ValueError):
        return None
    modified = known.get("modified") if isinstance(known, dict) else None
    return modified if isinstance(modified, int) else None


def _date(epoch: int) -> str:
    try:
        return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return "an odd time"
