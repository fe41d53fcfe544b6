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
from typing import TYPE_CHECKING, Any, Literal

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from voidimg.errors import FetchError
from voidimg.fetch.location import time_is_up
from voidimg.fetch.patience import Patience
from voidimg.fetch.reach import Kind, kind_of, out_of_reach

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SLOWEST_BYTES_PER_SECOND = 4096
"""What is slower than this on average, after the time of a stall, is given up."""

HEAD_BYTES = 2**20
"""Most bytes of the head of an answer, with all interim answers before it."""

_FRAMING_BYTES = 2**20
"""What an answer may have beside twice its content: its head, the sizes of chunks, trailers."""


@dataclass(slots=True)
class Limits:
    """What one answer may take, and whose it may be.

    Attributes:
        shown: the URL, for errors.
        stall_seconds: in each stretch of so many seconds the answer must have a certain speed.
        content_bytes: most bytes of its content.
        patience: how long it may take, and how slow it may be beside others.
        reach: the kinds of addresses that may be connected to; None: any.
        peer: the address that answered last, or that of the proxy.
    """

    shown: str
    stall_seconds: float
    content_bytes: int
    patience: Patience
    reach: frozenset[Kind] | None = None
    peer: str | None = None


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
        self._limits = limits = _LIMITS.get()
        self._seen = 0
        self._stretches = (
            _Stretch(limits.stall_seconds, SLOWEST_BYTES_PER_SECOND, "STALLED"),
            _Stretch(limits.patience.judge_seconds, limits.patience.floor, "SLOW"),
        )
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
        self._seen += count or 0
        self._check(count or 0, time.monotonic())
        return count

    def close(self) -> None:
        """Close the connection's end too."""
        self._raw.close()
        super().close()

    def _check(self, count: int, now: float) -> None:
        limits = self._limits
        if now > limits.patience.deadline:
            raise time_is_up(limits.shown)
        for stretch in self._stretches:
            stretch.add(count, now, limits.shown)
        if self._seen > self.most:
            raise FetchError("the server's answer has no end", code="ENDLESS", where=limits.shown)


class _Stretch:
    """The speed of the last `seconds`.

    One average of all would let a server begin fast, and then send next to nothing for as long as
    it took to spoil that.
    """

    def __init__(self, seconds: float, slowest: float, code: Literal["SLOW", "STALLED"]):
        self._seconds = seconds
        self._slowest = slowest
        self._code = code
        self._began = math.inf
        self._bytes = 0

    def add(self, count: int, now: float, shown: str) -> None:
        """`count` bytes came by `now`.

        Raises:
            FetchError: in this stretch there were too few.
        """
        self._began = min(self._began, now)
        self._bytes += count
        seconds = now - self._began
        if seconds <= self._seconds:
            return
        if self._bytes < seconds * self._slowest:
            what = f"only {self._bytes} bytes came in {seconds:.0f} s"
            if self._code == "SLOW":
                what += ", another mirror may be faster"
            raise FetchError(what, code=self._code, where=shown)
        self._began, self._bytes = now, 0


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
        _LIMITS.get().peer = _peer_of(sock)
        self._paced = _Paced(self.fp.detach())
        self.fp = io.BufferedReader(self._paced)

    def begin(self) -> None:
        """Read the head; one without end is refused."""
        most, self._paced.most = self._paced.most, HEAD_BYTES
        super().begin()
        self._paced.most = most


def _peer_of(connected: socket.socket) -> str | None:
    try:
        return str(connected.getpeername()[0])
    except OSError:  # gone already
        return None


def _within_reach(connected: socket.socket) -> socket.socket:
    """The connection, if a redirection may lead there.

    The name was looked up before, but may have changed its meaning since.

    Raises:
        FetchError: it may not.
    """
    limits = _LIMITS.get()
    peer = _peer_of(connected)
    if limits.reach is not None and (peer is None or kind_of(peer) not in limits.reach):
        connected.close()
        raise out_of_reach(peer or "an address nobody knows", limits.shown)
    return connected


class _HTTPConnection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        return _within_reach(super()._new_conn())


class _HTTPSConnection(HTTPSConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        return _within_reach(super()._new_conn())


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection
