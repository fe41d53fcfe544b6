"""A server on loopback that answers whatever it is told to, and a client that asks only it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache

from voidimg.fetch.http import Client

_MOST_BYTES = 4096


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
    """Wherever a redirection leads, the proxy is the server at `url`."""
    before = dict(os.environ)
    os.environ.update(http_proxy=url, https_proxy=url, no_proxy="")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


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
