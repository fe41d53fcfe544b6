"""Which server is asked, how often, and for how long: mirrors in turn, pauses, time limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from voidimg.errors import FetchError, PackageError, VerifyError, VoidimgError
from voidimg.events import Message
from voidimg.fetch.http import BusyError, time_is_up
from voidimg.fetch.location import without_credentials

ATTEMPTS = 3
"""How often one mirror is tried before the next one is."""

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

T = TypeVar("T")


class Mirrors:
    """Asks mirrors one after the other; each is retried, each failure is named."""

    def __init__(
        self,
        listen: Callable[[Message], None],
        *,
        pause: Callable[[float], None] = time.sleep,
        total_seconds: float = TOTAL_SECONDS,
        offline: bool = False,
    ):
        self._listen = listen
        self._pause = pause
        self._total_seconds = total_seconds
        self.offline = offline

    def deadline(self) -> float:
        """When downloads that begin now must have ended, as `time.monotonic` counts."""
        return time.monotonic() + self._total_seconds

    def first(self, urls: Sequence[str], transfer: Callable[[str], T], deadline: float) -> T:
        """The result of `transfer` for the first of `urls` with which it works.

        Raises:
            FetchError: none worked; the failure itself if there is only one URL.
            VerifyError, PackageError: what every URL gave is not what it should be.
        """
        failures: list[VoidimgError] = []
        for url in urls:
            try:
                return self._tried(url, transfer, deadline)
            except (FetchError, VerifyError, PackageError) as error:
                failures.append(error)
                if error.code == "E-FETCH-TIME-LIMIT":
                    raise
                if len(urls) > 1 and error.code != "E-FETCH-OFFLINE":
                    self._listen(Message("warning", f"mirror left: {error}"))
        raise _together(failures, without_credentials(urls[0]))

    def _tried(self, url: str, transfer: Callable[[str], T], deadline: float) -> T:
        if self.offline and is_remote(url):
            raise FetchError(
                "it is not in the cache, and no server may be asked",
                code="OFFLINE",
                where=without_credentials(url),
                hint="leave out --offline, or give a bundle: voidimg lock --bundle DIR",
            )
        for attempt in range(ATTEMPTS):
            if time.monotonic() > deadline:
                break
            try:
                return transfer(url)
            except FetchError as error:
                if error.code in _FINAL or attempt + 1 == ATTEMPTS or not is_remote(url):
                    raise
                asked = error.pause_seconds if isinstance(error, BusyError) else 0.0
                left = max(0.0, deadline - time.monotonic())
                self._pause(min(left, max(asked, 0.5 * 2**attempt)))
        raise time_is_up(without_credentials(url))


def _together(failures: Sequence[VoidimgError], where: str) -> VoidimgError:
    """The failures of all mirrors as one; of the same kind as each of them if that is one."""
    # that no server was asked says least
    failures = [one for one in failures if one.code != "E-FETCH-OFFLINE"] or failures
    one = failures[0]
    if len(failures) == 1:
        return one
    what = "no mirror gave the file: " + "; ".join(map(str, failures))
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
