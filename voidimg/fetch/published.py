"""A directory that a server publishes: small files are read, large ones hashed as they come."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote, urlsplit

from voidimg.errors import FetchError, UsageError
from voidimg.fetch.http import Answer, Client
from voidimg.fetch.location import Location, guessed_without_login, without_credentials
from voidimg.fetch.mirrors import Mirrors
from voidimg.fetch.patience import IDLE_SECONDS, Bound, Patience, seconds_for

_CONNECTIONS = 8
_FRESH = {"Cache-Control": "no-cache"}
"""Void's servers let caches keep signatures for a year (RFC 9111 5.2.1.4)."""


@dataclass(frozen=True, slots=True)
class Digest:
    """A file that was read from a server: its size in bytes, and its SHA-256 in hex."""

    size: int
    sha256: str


@dataclass(slots=True)
class _Door:
    """What all directories of one call share: connections, pauses, and the end of the time."""

    client: Client
    mirrors: Mirrors
    bound: Bound
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Published:
    """The directory at `url`, which is http or https and does not end in a slash."""

    url: str
    _door: _Door

    @classmethod
    def at(cls, text: str, *, where: str, total_seconds: float | None = None) -> Published:
        """The directory or file at the URL `text`.

        Args:
            text: its URL.
            where: what it was given as, for errors.
            total_seconds: all that is asked of it may take so long; None: as long as it moves.

        Raises:
            UsageError: it is not the URL of a server.
        """
        try:
            location = Location.parse(text, where=where)
            sound = location.remote and len(location.urls) == 1
        except UsageError:
            sound = False
        if not sound:
            raise UsageError(
                f"{guessed_without_login(text)!r} is not the URL of a server",
                code="URL",
                where=where,
                hint="give one that begins with http:// or https://, and has no ? or # in it",
            )
        seconds = seconds_for(2**63, 10**9) if total_seconds is None else total_seconds
        door = _Door(
            Client(_CONNECTIONS),
            Mirrors(lambda _message: None),
            Bound(seconds, min(seconds, IDLE_SECONDS)),
        )
        return cls(location.urls[0], door)

    @property
    def name(self) -> str:
        """The last part of its path, as a file name."""
        return unquote(urlsplit(self.url).path.rpartition("/")[2])

    @property
    def shown(self) -> str:
        """The URL as it may be shown."""
        return without_credentials(self.url)

    @property
    def parent(self) -> Published:
        """The directory that it is in; the top of a server is in itself."""
        parts = urlsplit(self.url)
        above = parts.path.rpartition("/")[0]
        return replace(self, url=parts._replace(path=above).geturl())

    def beneath(self, name: str) -> Published:
        """The file or directory `name` in it."""
        return replace(self, url=f"{self.url}/{quote(os.fsencode(name), safe='+')}")

    def read(self, name: str, limit: int) -> bytes | None:
        """The content of its file `name`, `limit` bytes at most; None when there is none.

        No cache on the way may answer without asking the server.

        Raises:
            FetchError: the server does not answer properly, or sends more.
        """
        received = bytearray()

        def sink(_answer: Answer, body: Iterator[bytes]) -> None:
            received.clear()
            for chunk in body:
                received.extend(chunk)

        def bring(url: str, patience: Patience) -> None:
            self._door.client.get(url, sink=sink, headers=_FRESH, limit=limit, patience=patience)

        return bytes(received) if self._asked(self.beneath(name), bring) else None

    def size_of(self, name: str) -> int | None:
        """How many bytes its file `name` has by the word of the server; None when there is none.

        Raises:
            FetchError: the server does not answer properly, or does not say it.
        """
        found: list[Answer] = []

        def bring(url: str, patience: Patience) -> None:
            found.append(self._door.client.head(url, headers=_FRESH, patience=patience))

        place = self.beneath(name)
        if not self._asked(place, bring):
            return None
        size = found[-1].content_length
        if size is None:
            raise FetchError(
                "the server does not say how large the file is", code="NO-LENGTH", where=place.shown
            )
        return size

    def digest(
        self, name: str, limit: int, came: Callable[[int], None] = lambda _count: None
    ) -> Digest | None:
        """Size and SHA-256 of its file `name`, read to the end; None when there is none.

        A transfer that breaks goes on where it ended.

        Args:
            name: of the file.
            limit: it may have so many bytes.
            came: is told of bytes that came, and of those that have to come again (negative).

        Raises:
            FetchError: the server does not answer properly, or sends more.
        """
        reading = _Reading(self._door.bound, came)

        def bring(url: str, patience: Patience) -> None:
            headers = dict(_FRESH)
            if reading.size:
                headers["Range"] = f"bytes={reading.size}-"
            client = self._door.client
            answer = client.get(
                url, sink=reading.take, headers=headers, limit=limit, patience=patience
            )
            if answer.status not in (200, 206):
                reading.begin_again()
                raise FetchError(
                    "the server has no such part of the file",
                    code="TRUNCATED",
                    where=without_credentials(url),
                )

        if not self._asked(self.beneath(name), bring):
            return None
        return Digest(reading.size, reading.sha256.hexdigest())

    def __str__(self) -> str:
        """As it may be shown."""
        return self.shown

    def _asked(self, place: Published, bring: Callable[[str, Patience], None]) -> bool:
        """Whether `place` is there; `bring` takes it."""
        try:
            self._door.mirrors.first([place.url], bring, self._door.bound)
        except FetchError as error:
            if error.code != "E-FETCH-NOT-FOUND":
                raise
            found = False
        else:
            found = True
        self._door.bound.progressed()
        return found


class _Reading:
    """A file that is hashed on its way, over as many transfers as it needs."""

    def __init__(self, bound: Bound, came: Callable[[int], None]):
        self._bound = bound
        self._came = came
        self.size = 0
        self.sha256 = hashlib.sha256()

    def begin_again(self) -> None:
        """Forget what came."""
        self._came(-self.size)
        self.size = 0
        self.sha256 = hashlib.sha256()

    def take(self, answer: Answer, body: Iterator[bytes]) -> None:
        """Take the body of an answer: the whole file, or what follows what came before."""
        continues = (answer.content_range or "").startswith(f"bytes {self.size}-")
        if self.size and not (answer.status == 206 and continues):
            self.begin_again()
        for chunk in body:
            self.sha256.update(chunk)
            self.size += len(chunk)
            self._came(len(chunk))
            self._bound.progressed()
