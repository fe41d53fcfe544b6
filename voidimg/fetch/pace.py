"""How long a server may take and how much it may send: limits on all that comes over a connection.

A socket's timeout bounds one read, and so nothing: a server that sends one byte of a header now and
then, or headers without end, would hold a build for ever. So the limits are here, below the parser
of HTTP, where every byte passes.
"""

from __future__ import annotations

import http.client
import io
import math
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from voidimg.errors import FetchError
from voidimg.fetch.http import time_is_up

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SLOWEST_BYTES_PER_SECOND = 4096
"""What is slower than this on average, after the time of a stall, is given up."""

HEAD_BYTES = 2**20
"""Most bytes of the head of an answer, with all interim answers before it."""

_FRAMING_BYTES = 2**20
"""What an answer may have beside twice its content: its head, the sizes of chunks, trailers."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one answer may take.

    Attributes:
        shown: the URL, for errors.
        stall_seconds: after so many seconds the answer must have a certain speed.
        deadline: when it must be there, as `time.monotonic` counts.
        content_bytes: most bytes of its content.
    """

    shown: str
    stall_seconds: float
    deadline: float
    content_bytes: int


_LIMITS: ContextVar[Limits] = ContextVar("_LIMITS")


@contextmanager
def limited(limits: Limits) -> Iterator[None]:
    """Requests that are made in the block, by this thread, have these limits."""
    token = _LIMITS.set(limits)
    try:
        yield
    finally:
        _LIMITS.reset(token)


def pool_classes() -> dict[str, Any]:
    """The connection pools for a `urllib3.PoolManager`, by scheme."""
    return {"http": _HTTPPool, "https": _HTTPSPool}


class _Paced(io.RawIOBase):
    """The bytes of one answer as they come from the socket, counted."""

    def __init__(self, raw: io.RawIOBase):
        self._raw = raw
        self._limits = _LIMITS.get()
        self._began = math.inf
        self._seen = 0
        self.most = 2 * self._limits.content_bytes + _FRAMING_BYTES

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        """Read what is there.

        Raises:
            FetchError: it is too slow, too late, or too much.
        """
        count = self._raw.readinto(buffer)
        now = time.monotonic()
        self._began = min(self._began, now)
        self._seen += count or 0
        self._check(now)
        return count

    def close(self) -> None:
        """Close the connection's end too."""
        self._raw.close()
        super().close()

    def _check(self, now: float) -> None:
        limits = self._limits
        if now > limits.deadline:
            raise time_is_up(limits.shown)
        seconds = now - self._began
        if seconds > limits.stall_seconds and self._seen < seconds * SLOWEST_BYTES_PER_SECOND:
            raise FetchError(
                f"only {self._seen} bytes came in {seconds:.0f} s",
                code="STALLED",
                where=limits.shown,
            )
        if self._seen > self.most:
            raise FetchError("the server's answer has no end", code="ENDLESS", where=limits.shown)


class _Response(http.client.HTTPResponse):
    """An answer that is read within the limits of the request."""

    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
    ):
        super().__init__(sock, debuglevel, method, url)
        self._paced = _Paced(self.fp.detach())
        self.fp = io.BufferedReader(self._paced)

    def begin(self) -> None:
        """Read the head; one without end is refused."""
        most, self._paced.most = self._paced.most, HEAD_BYTES
        super().begin()
        self._paced.most = most


class _HTTPConnection(HTTPConnection):
    response_class = _Response


class _HTTPSConnection(HTTPSConnection):
    response_class = _Response


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection
