"""What mirrors have done in this run: who failed, how fast each was, and so whom to ask first."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from voidimg.errors import VoidimgError

STRIKES = 3
"""A mirror that failed so often in a row is not asked again while there is another."""

_OF_THE_HOST = frozenset({"E-FETCH-CONNECT", "E-FETCH-DNS", "E-FETCH-TLS"})
"""Failures that every repository on the same host shares."""

_OF_THE_FILE = frozenset({"E-FETCH-NOT-FOUND", "E-FETCH-OFFLINE", "E-FETCH-LOCAL"})
"""Failures that say nothing about other files of the mirror."""

_EXPECTED_BYTES_PER_SECOND = 100 * 1024
"""What is slower than this is compared with a mirror that was not asked yet."""

_MUCH_FASTER = 8
"""A mirror is left for one that is so many times faster."""

_WORTH_BYTES = 64 * 1024
"""What a request is worth beside its content: without it small files would make every mirror slow,
and one that thinks for long before each of them would pass for fast."""


class Standing:
    """The record of all mirrors; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._strikes: dict[str, int] = {}
        self._speeds: dict[str, float] = {}

    def ordered(self, urls: Sequence[str]) -> list[str]:
        """`urls` of one file in the order in which to ask.

        That is as given, but slow ones behind the others, and ones that failed last; those that
        failed too often are there only if all did.
        """
        with self._lock:
            kept = [url for url in urls if self._strikes_of(url) < STRIKES] or list(urls)
            return sorted(
                kept, key=lambda url: (self._strikes_of(url) > 0, self._is_slow(url, urls))
            )

    def floor(self, url: str, urls: Sequence[str]) -> float:
        """Bytes a second below which one of the other `urls` promises more than `url`."""
        with self._lock:
            return self._floor(url, urls)

    def succeeded(self, url: str, size: int, seconds: float) -> None:
        """The mirror gave `size` bytes in `seconds`."""
        with self._lock:
            for key in (mirror_of(url), _host_of(url)):
                self._strikes.pop(key, None)
            self._measure(url, size, seconds)

    def failed(self, url: str, error: VoidimgError, size: int, seconds: float) -> None:
        """The mirror failed with `error` after it gave `size` bytes in `seconds`."""
        with self._lock:
            if error.code in ("E-FETCH-SLOW", "E-FETCH-NOT-FOUND"):
                self._measure(url, size, seconds)
            if error.code == "E-FETCH-SLOW" or error.code in _OF_THE_FILE:
                return
            key = _host_of(url) if error.code in _OF_THE_HOST else mirror_of(url)
            self._strikes[key] = self._strikes.get(key, 0) + 1

    def _strikes_of(self, url: str) -> int:
        return self._strikes.get(mirror_of(url), 0) + self._strikes.get(_host_of(url), 0)

    def _measure(self, url: str, size: int, seconds: float) -> None:
        key, speed = mirror_of(url), (size + _WORTH_BYTES) / max(seconds, 0.001)
        self._speeds[key] = (self._speeds.get(key, speed) + speed) / 2

    def _is_slow(self, url: str, urls: Sequence[str]) -> bool:
        speed = self._speeds.get(mirror_of(url))
        return speed is not None and speed < self._floor(url, urls)

    def _floor(self, url: str, urls: Sequence[str]) -> float:
        others = {
            mirror_of(one)
            for one in urls
            if mirror_of(one) != mirror_of(url) and not self._strikes_of(one)
        }
        known = [self._speeds[one] for one in others if one in self._speeds]
        floor = max(known, default=0.0) / _MUCH_FASTER
        return floor if len(known) == len(others) else max(floor, _EXPECTED_BYTES_PER_SECOND)


def mirror_of(url: str) -> str:
    """The mirror that has the file at `url`: the directory."""
    return url.rpartition("/")[0]


def _host_of(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
