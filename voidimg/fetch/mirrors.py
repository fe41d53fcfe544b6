"""Which server is asked, how often, and for how long: mirrors in turn, pauses, bounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from voidimg.errors import FetchError, PackageError, VerifyError, VoidimgError
from voidimg.events import Message
from voidimg.fetch.http import BusyError
from voidimg.fetch.location import without_credentials
from voidimg.fetch.patience import IDLE_SECONDS, JUDGE_SECONDS, Bound, Patience, seconds_for
from voidimg.fetch.standing import Standing, mirror_of

ATTEMPTS = 3
"""How often a mirror is tried for a file; the other ones are tried in between."""

TOTAL_SECONDS = 6 * 3600.0
"""All downloads of one call together may take so long."""

_FINAL = frozenset(
    f"E-FETCH-{name}"
    for name in (
        "NOT-FOUND",
        "FORBIDDEN",
        "HTML",
        "LENGTH",
        "DNS",
        "OFFLINE",
        "REDIRECT",
        "TIME-LIMIT",
    )
)
"""Answers that trying again does not change."""

_TELLING = frozenset({"E-FETCH-NOT-FOUND", "E-FETCH-OFFLINE"})
"""What callers must know when all mirrors say it."""

_OF_ONE_FILE = frozenset({"E-FETCH-NOT-FOUND", "E-FETCH-LENGTH"})
"""Failures of a mirror that are told for each file; the others are told once a run."""

_NAMED = 5
"""So many mirrors are named in an error that concerns more."""

T = TypeVar("T")
Transfer = Callable[[str, Patience], T]
"""Brings a file from a URL or path, with so much patience."""


class Mirrors:
    """Asks mirrors one after the other; each is retried, each failure is named and remembered."""

    def __init__(
        self,
        listen: Callable[[Message], None],
        *,
        pause: Callable[[float], None] = time.sleep,
        total_seconds: float = TOTAL_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        judge_seconds: float = JUDGE_SECONDS,
        offline: bool = False,
    ):
        self._listen = listen
        self._pause = pause
        self._total_seconds = total_seconds
        self._idle_seconds = idle_seconds
        self.judge_seconds = judge_seconds
        self._standing = Standing()
        self._told: set[tuple[str, str]] = set()
        self.offline = offline

    def bound(self, size: int = 0) -> Bound:
        """When downloads of `size` bytes that begin now must have ended."""
        return Bound(seconds_for(size, self._total_seconds), self._idle_seconds)

    def first(
        self, urls: Sequence[str], transfer: Transfer[T], bound: Bound, *, is_optional: bool = False
    ) -> T:
        """The result of `transfer` for the first of `urls` with which it works.

        While there is another mirror, one that is silent or much slower is left for it; what was
        left is tried again, with more patience, when all the others failed. Mirrors that do not
        have a file that `is_optional` are not named.

        Raises:
            FetchError: none worked; the failure itself if there is only one URL.
            VerifyError, PackageError: what every URL gave is not what it should be.
        """
        failures: dict[str, VoidimgError] = {}
        pending = self._standing.ordered(urls)
        for attempt in range(ATTEMPTS):
            is_last = attempt + 1 == ATTEMPTS
            for url in pending:
                try:
                    return self.once(url, () if is_last else urls, transfer, bound)
                except (FetchError, VerifyError, PackageError) as error:
                    if error.code == "E-FETCH-TIME-LIMIT":
                        raise _with_failures(error, failures.values()) from error
                    failures[url] = error
                    is_well = is_optional and error.code == "E-FETCH-NOT-FOUND"
                    if len(urls) > 1 and not attempt and not is_well:
                        self.tell(url, error)
            pending = [url for url in pending if may_change(failures[url], url)]
            if is_last or not pending:
                break
            asked = min(_asked_pause(failures[url]) for url in pending)
            self._pause(min(bound.left_seconds, max(asked, 0.5 * 2**attempt)))
        raise together(list(failures.values()), without_credentials(urls[0]))

    def once(self, url: str, urls: Sequence[str], transfer: Transfer[T], bound: Bound) -> T:
        """The result of `transfer` for `url`, tried once; how it went is remembered.

        Args:
            url: what to ask for.
            urls: the same file at all mirrors that could be asked in its place.
            transfer: brings it.
            bound: when to end.
        """
        if not is_remote(url):
            return transfer(url, Patience())
        if self.offline:
            raise FetchError(
                "it is not in the cache, and no server may be asked",
                code="OFFLINE",
                where=without_credentials(url),
                hint="leave out --offline, or give a bundle: voidimg lock --bundle DIR",
            )
        bound.require(without_credentials(url))
        patience = Patience(bound.ends, judge_seconds=self.judge_seconds)
        if any(mirror_of(one) != mirror_of(url) for one in urls):
            patience.answer_seconds = self.judge_seconds
            patience.floor = self._standing.floor(url, urls)
        began = time.monotonic()
        try:
            result = transfer(url, patience)
        except (FetchError, VerifyError, PackageError) as error:
            self._standing.failed(url, error, patience.received, time.monotonic() - began)
            raise
        self._standing.succeeded(url, patience.received, time.monotonic() - began)
        return result

    def tell(self, url: str, error: VoidimgError) -> None:
        """Warn that a mirror is left; once, if other files will fail in the same way."""
        if error.code == "E-FETCH-OFFLINE":
            return
        key = (mirror_of(url), error.code)
        is_new = key not in self._told or error.code in _OF_ONE_FILE
        if is_new or not isinstance(error, FetchError):
            self._told.add(key)
            self._listen(Message("warning", f"mirror left: {error}"))


def may_change(error: VoidimgError, url: str) -> bool:
    """Whether asking for `url` again may help after `error`."""
    return isinstance(error, FetchError) and error.code not in _FINAL and is_remote(url)


def _asked_pause(error: VoidimgError) -> float:
    return error.pause_seconds if isinstance(error, BusyError) else 0.0


def _with_failures(error: VoidimgError, failures: Collection[VoidimgError]) -> VoidimgError:
    """The end of the time, with what the mirrors did until then."""
    if not failures:
        return error
    named = "; ".join(one.sentence for one in list(failures)[:_NAMED])
    more = f"; and {len(failures) - _NAMED} more" if len(failures) > _NAMED else ""
    what = f"{error.what}; until then: {named}{more}"
    return FetchError(what, code="TIME-LIMIT", where=error.where, hint=error.hint)


def together(failures: Sequence[VoidimgError], where: str) -> VoidimgError:
    """The failures of all mirrors as one; of the same kind as each of them if that is one."""
    # that no server was asked says least
    failures = [one for one in failures if one.code != "E-FETCH-OFFLINE"] or failures
    one = failures[0]
    if len(failures) == 1:
        return one
    named = "; ".join(map(str, failures[:_NAMED]))
    more = f"; and {len(failures) - _NAMED} more" if len(failures) > _NAMED else ""
    what = f"no mirror gave the file: {named}{more}"
    if all(failure.code == one.code for failure in failures):
        if isinstance(one, VerifyError | PackageError):
            return type(one)(what, code=one.code.removeprefix(f"{one.family}-"), where=where)
        if one.code in _TELLING:
            return FetchError(what, code=one.code.removeprefix("E-FETCH-"), where=where)
    return FetchError(
        what, code="ALL-MIRRORS", where=where, hint="try again later, or name other mirrors"
    )


def is_remote(url: str) -> bool:
    """Whether `url` is that of a server; else it is a path."""
    return url.startswith(("http://", "https://"))
