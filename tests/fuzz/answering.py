"""A server on loopback that answers whatever it is told to, and a client that asks only it."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from hashlib import sha256
from typing import Any

from tests.fuzz.scratch import scratch
from voidimg.fetch import Cache, Fetcher, Wanted
from voidimg.fetch.http import Client

_MOST_BYTES = 4096
_FILE = b"xyzabcd"
"""What `go_on_with` wants; answers among the seeds hold the end of it."""


class _Server:
    """Answers every connection with `answer`, and hangs up."""

    def __init__(self) -> None:
        self.answer = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                try:
                    while b"\r\n\r\n" not in connection.recv(65536):
                        pass
                    connection.sendall(self.answer)
                except OSError:
                    continue


@cache
def _server() -> _Server:
    return _Server()


@contextmanager
def _nobody_else_is_asked(url: str) -> Iterator[None]:
    """Wherever a redirection leads, the proxy is the server at `url`; no name server is asked."""
    before, resolve = dict(os.environ), socket.getaddrinfo
    os.environ.update(http_proxy=url, https_proxy=url, no_proxy="")
    socket.getaddrinfo = partial(_numeric_only, resolve)
    try:
        yield
    finally:
        socket.getaddrinfo = resolve
        os.environ.clear()
        os.environ.update(before)


def _numeric_only(resolve: Callable[..., Any], host: Any, *rest: Any, **more: Any) -> Any:
    """What `resolve` says of a numeric `host`; names are not known."""
    more["flags"] = socket.AI_NUMERICHOST
    return resolve(host, *rest[:4], **more)


def go_on_with(data: bytes, refusing: Callable[[], AbstractContextManager[None]]) -> None:
    """Fetch a file of which a part is there already: it comes right, or not at all.

    The first byte of `data` says how long the part is and whether it is a right one; the rest is
    what the server answers to every request.
    """
    server = _server()
    server.answer = data[1:]
    first = data[0] if data else 0
    item = Wanted("file", ("http://mirror.invalid/file",), len(_FILE), sha256(_FILE).hexdigest())
    directory = scratch() / "cache"
    cache = Cache(directory)
    part = (_FILE if first & 16 else _FILE.upper())[: first & 15]
    cache.part("incoming", f"{item.sha256}.part").write_bytes(part)
    fetcher = Fetcher(cache, jobs=1, pause=lambda _seconds: None, stall_seconds=1)
    try:
        with _nobody_else_is_asked(server.url), refusing():
            path = fetcher.fetch([item])[item.sha256]
            assert path.read_bytes() == _FILE
    finally:
        shutil.rmtree(directory)


def ask_for(answer: bytes, refusing: Callable[[], AbstractContextManager[None]]) -> None:
    """Ask a server that gives `answer`, conditionally and for a part; what comes is bounded."""
    server = _server()
    server.answer = answer
    received: list[bytes] = []
    headers = {"If-None-Match": '"x"', "Range": "bytes=3-"}
    with _nobody_else_is_asked(server.url), refusing():
        got = Client(1, stall_seconds=1).get(
            "http://me:secret@mirror.invalid/file",
            sink=lambda _answer, body: received.extend(body),
            headers=headers,
            limit=_MOST_BYTES,
        )
        assert got.status in (200, 206, 304, 416)
        assert got.modified_epoch is None or isinstance(got.modified_epoch, int)
        assert sum(map(len, received)) <= _MOST_BYTES
