"""Looks at mirrors of image sets over HTTP, many at once, and compares them with the origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from voidimg.errors import FetchError, ReleaseError, UsageError, VerifyError, VoidimgError, storing
from voidimg.events import Listener, Message, Progress, ignore
from voidimg.fetch.patience import seconds_for
from voidimg.fetch.published import Published
from voidimg.foreign import read_regular
from voidimg.identity import ReleaseDate
from voidimg.release.current import current_date
from voidimg.release.mirror_list import LIVE
from voidimg.release.mirror_states import (
    MirrorStatus,
    SeenDirectory,
    judge_directory,
    judge_mirror,
)
from voidimg.signing.keys import TrustedKey, find_public_key
from voidimg.signing.published_set import CURRENT, date_of_signature, date_of_sums, open_set
from voidimg.signing.signed_sums import MAX_SIGNATURE_BYTES, SignedSums
from voidimg.signing.sums import MAX_SUMS_BYTES, SIGNATURE_NAME, SUMS_NAME, decode_sums
from voidimg.signing.verify import read_signed_sums
from voidimg.supply.consistency import now_epoch
from voidimg.supply.opened import epoch_in

MAX_MIRRORS = 500
MAX_NAMES = 2000
"""Most files of a set that mirrors are asked for."""

TIMEOUT_SECONDS = 120.0
"""How long one mirror may take for names and sizes."""

_AT_ONCE = 16
_OTIME = "otime"
_MAX_TIME_BYTES = 64


@dataclass(frozen=True, slots=True)
class ExpectedSet:
    """What mirrors should have: a set whose signature is good.

    Attributes:
        date: of the set.
        place: where it was read.
        sums: the signed checksums.
        signature: the bytes of their signature.
        sizes: name -> bytes; None: nobody knows.
        is_current: whether the origin's ``current`` is this set.
    """

    date: str
    place: str
    sums: SignedSums
    signature: bytes
    sizes: Mapping[str, int | None]
    is_current: bool


def expected_of_directory(
    top: Path, date: ReleaseDate | None, key: TrustedKey | None, listener: Listener = ignore
) -> ExpectedSet:
    """The set that is current in the directory `top`, or that of `date`.

    Raises:
        ReleaseError: none is current, or ``current`` is not what it should be.
        VerifyError: its signature does not fit.
        StoreError: it cannot be read.
    """
    found = current_date(top)
    current = None if found is None else str(found)
    chosen = current if date is None else str(date)
    if chosen is None:
        raise ReleaseError(
            f"there is no link {CURRENT}, so no set is current",
            code="NO-CURRENT",
            where=str(top),
            hint="promote a set, or name one with --date, or the origin with --origin",
        )
    directory = top / chosen
    trusted = find_public_key(chosen, directory) if key is None else key
    sums = read_signed_sums(directory, trusted, listener)
    with storing(directory, "read"):
        signature = read_regular(directory / SIGNATURE_NAME, MAX_SIGNATURE_BYTES, follow=False)
        sizes = {name: (directory / name).lstat().st_size for name in sums.digests}
    return ExpectedSet(chosen, str(directory), sums, signature, sizes, chosen == current)


def expected_of_url(
    url: str, date: ReleaseDate | None, key: TrustedKey | None, listener: Listener = ignore
) -> ExpectedSet:
    """The set that is current on the server at `url`, or that of `date`.

    Raises:
        UsageError: it is no URL of a server.
        FetchError: the server does not answer properly.
        VerifyError: something does not fit, or the server is between two sets.
    """
    top = Published.at(url, where="--origin", total_seconds=TIMEOUT_SECONDS)
    current: str | None = None
    if date is None:
        found = open_set(top.beneath(CURRENT), key, listener)
        current = found.dated.name if found.dated != found.place else found.sums.date
    else:
        own = top.beneath(CURRENT).read(SUMS_NAME, MAX_SUMS_BYTES)
        current = None if own is None else date_of_sums(own)
        found = open_set(top.beneath(str(date)), key, listener)
    of = str(date) if date is not None else current or str(found.sums.date)
    sizes = {name: found.dated.size_of(name) for name in _names(found.sums)}
    is_current = current == of
    return ExpectedSet(of, str(found.dated), found.sums, found.signature, sizes, is_current)


def newest_of_mirrors(
    urls: Sequence[str], key: TrustedKey | None, listener: Listener = ignore
) -> ExpectedSet:
    """The newest set that is current on one of the mirrors `urls`, and verifies.

    Raises:
        UsageError: one is no URL of a server, or there are too many.
        VoidimgError: none has one; the error of the first.
    """
    _require_urls(urls)

    def one(url: str) -> ExpectedSet | VoidimgError:
        try:
            return expected_of_url(url, None, key)
        except VoidimgError as error:
            return error

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(one, urls))
    sets = [answer for answer in answers if isinstance(answer, ExpectedSet)]
    if sets:
        newest = max(sets, key=lambda found: found.date)
        text = f"no origin is named: compared with the newest set of them, {newest.place}"
        listener(Message("note", text))
        return newest
    raise next(answer for answer in answers if isinstance(answer, VoidimgError))


def check_mirrors(
    urls: Sequence[str],
    expected: ExpectedSet,
    *,
    read_bytes: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
    listener: Listener = ignore,
) -> tuple[MirrorStatus, ...]:
    """How the mirrors at `urls` are doing, in their order; a dead one delays no other.

    Args:
        urls: of the directories that hold their image sets: ``https://a.example/live``.
        expected: what they should have.
        read_bytes: read every file, not only its size.
        timeout_seconds: what one mirror may take for names and sizes; bytes take longer.
        listener: is told how many are done.

    Raises:
        UsageError: one is no URL of a server, or there are too many.
    """
    _require_urls(urls)
    seconds = timeout_seconds
    if read_bytes:
        total = sum(size or 0 for size in expected.sizes.values())
        seconds += 2 * seconds_for(total, 10**6)
    places = [Published.at(url, where="URL", total_seconds=seconds) for url in urls]
    done = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for status in pool.map(lambda place: _check(place, expected, read_bytes), places):
            done.append(status)
            listener(Progress("mirrors", len(done), len(urls), "mirrors"))
    return tuple(done)


def _require_urls(urls: Sequence[str]) -> None:
    if len(urls) > MAX_MIRRORS:
        raise UsageError(
            f"{len(urls)} mirrors are more than {MAX_MIRRORS}",
            code="MIRRORS",
            where="URL",
            hint="check them in two runs",
        )
    for url in urls:
        Published.at(url, where="URL")


def require_good(statuses: Sequence[MirrorStatus]) -> None:
    """Ensure that all mirrors are good.

    Raises:
        VerifyError: one has other bytes than the origin.
        FetchError: one is not as it should be.
    """
    wrong = [one for one in statuses if one.state != "good"]
    if not wrong:
        return
    what = f"{len(wrong)} of {len(statuses)} mirrors are not good: " + ", ".join(
        f"{one.url} ({one.state})" for one in wrong
    )
    if any(one.state == "different bytes" for one in wrong):
        raise VerifyError(what, code="MIRRORS", hint="images from there are not what was signed")
    raise FetchError(what, code="MIRRORS", hint="most of this passes when they copy again")


def _check(place: Published, expected: ExpectedSet, read_bytes: bool) -> MirrorStatus:
    try:
        dated = _seen_dated(place.beneath(expected.date), expected, read_bytes)
        current = None
        if expected.is_current:
            current = _seen_current(place.beneath(CURRENT), expected, read_bytes)
        status = judge_mirror(str(place), expected.date, dated, current, _lag_seconds(place))
        if status.state == "absent" and _has_current(place.beneath(LIVE)):
            what = f"{status.what}; but there is one at {place.beneath(LIVE)}"
            return replace(status, what=what)
    except VoidimgError as error:
        return MirrorStatus(str(place), "unreachable", str(error))
    return status


def _has_current(place: Published) -> bool:
    """Whether the sets are there: the likeliest mistake is to name the top of a mirror."""
    return place.beneath(CURRENT).read(SUMS_NAME, MAX_SUMS_BYTES) is not None


def _seen_dated(directory: Published, expected: ExpectedSet, read_bytes: bool) -> SeenDirectory:
    own = {
        SUMS_NAME: directory.read(SUMS_NAME, MAX_SUMS_BYTES),
        SIGNATURE_NAME: directory.read(SIGNATURE_NAME, MAX_SIGNATURE_BYTES),
    }
    return _compared(directory, expected, own, read_bytes)


def _compared(
    directory: Published,
    expected: ExpectedSet,
    own: Mapping[str, bytes | None],
    read_bytes: bool,
) -> SeenDirectory:
    """`directory` beside the expected set; `own` are its checksums and its signature."""
    right = {SUMS_NAME: expected.sums.content, SIGNATURE_NAME: expected.signature}
    others = [name for name, content in own.items() if content not in (None, right[name])]
    found: dict[str, int | None] = {
        name: None if content is None else len(content) for name, content in own.items()
    }
    sizes: dict[str, int | None] = dict.fromkeys(own)
    for name in _names(expected.sums):
        found[name] = directory.size_of(name)
        sizes[name] = expected.sizes.get(name)
        if read_bytes and found[name] is not None and found[name] == (sizes[name] or found[name]):
            digest = directory.digest(name, found[name] or 0)
            if digest is not None and digest.sha256 != expected.sums.digests[name]:
                others.append(name)
    return judge_directory(sizes, found, other_bytes=tuple(others), date=expected.date)


def _seen_current(directory: Published, expected: ExpectedSet, read_bytes: bool) -> SeenDirectory:
    sums = directory.read(SUMS_NAME, MAX_SUMS_BYTES)
    signature = directory.read(SIGNATURE_NAME, MAX_SIGNATURE_BYTES)
    if sums is None and signature is None:
        return SeenDirectory("absent")
    if sums == expected.sums.content and signature == expected.signature:
        own = {SUMS_NAME: sums, SIGNATURE_NAME: signature}
        seen = _compared(directory, expected, own, read_bytes)
        if seen.state == "partial":
            return SeenDirectory("between", seen.date, seen.missing)
        return seen
    by_sums = None if sums is None else date_of_sums(sums)
    by_signature = None if signature is None else date_of_signature(signature)
    if (sums is not None and by_sums is None) or (signature is not None and by_signature is None):
        garbled = SUMS_NAME if sums is not None and by_sums is None else SIGNATURE_NAME
        return SeenDirectory("different", by_sums or by_signature, different=(garbled,))
    if by_sums != by_signature or sums is None:
        return SeenDirectory("between", " and ".join(filter(None, {by_sums, by_signature})))
    if by_sums == expected.date:
        changed = SUMS_NAME if sums != expected.sums.content else SIGNATURE_NAME
        return SeenDirectory("different", by_sums, different=(changed,))
    missing = tuple(name for name in _listed(sums) if directory.size_of(name) is None)
    return SeenDirectory("between" if missing else "other", by_sums, missing)


def _listed(sums: bytes) -> list[str]:
    """The names in checksums that nobody has judged, as many as are asked for."""
    return list(decode_sums(sums, SUMS_NAME))[:MAX_NAMES]


def _names(sums: SignedSums) -> list[str]:
    if len(sums.digests) > MAX_NAMES:
        raise UsageError(
            f"the set has {len(sums.digests)} files, more than {MAX_NAMES}",
            code="MIRRORS",
            where=SUMS_NAME,
        )
    return list(sums.digests)


def _lag_seconds(place: Published) -> int | None:
    """How old the state of the repositories is that the mirror copied last; None: unknown."""
    try:
        origin = epoch_in(place.parent.beneath(CURRENT).read(_OTIME, _MAX_TIME_BYTES))
    except FetchError:
        return None
    return None if origin is None else max(0, now_epoch() - origin)
