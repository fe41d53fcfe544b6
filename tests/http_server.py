"""A real HTTP server on loopback that serves a directory and can misbehave in named ways."""

from __future__ import annotations

import hashlib
import re
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

Fault = Literal[
    "burst-then-drip", "busy", "drop", "drip", "drip-chunk-size", "drip-head", "endless-interim",
    "endless-trailers", "flip", "forbidden", "html", "html-typed-binary", "ignore-range",
    "just-enough", "long", "odd-length", "redirect", "redirect-loop", "short-length", "slow",
    "stall", "status-503", "thinking", "truncate",
]  # fmt: skip

_DRIPPED = {
    "drip-chunk-size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 200,
    "drip-head": b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200,
}
"""Answers of which a byte is sent now and then."""

_ENDLESS = {
    "endless-interim": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "endless-trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"X-More: x\r\n",
    ),
}
"""How an answer begins, and what then comes again and again."""

_MOST_SENT = 2**26

_PARTLY = (
    "burst-then-drip", "drip", "just-enough", "short-length", "slow", "stall", "truncate",
)  # fmt: skip


class Server:
    """What a test sees of the server: its URL, the requests it had, the faults it plays.

    `faults` maps the end of a path to a fault and how many requests it lasts.
    """

    def __init__(self, root: Path):
        self.root = root
        self.url = ""
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.faults: dict[str, tuple[Fault, int]] = {}
        self.retry_after = "7"
        self.redirect_to = ""
        self.later_redirects_to = ""
        self.extra_headers: dict[str, str] = {}
        self.released = threading.Event()

    def fault_for(self, path: str) -> Fault | None:
        """The fault to play for this request, counted down."""
        for ending, (fault, left) in self.faults.items():
            if path.endswith(ending) and left > 0:
                self.faults[ending] = (fault, left - 1)
                return fault
        return None


@contextmanager
def serving(
    root: Path, certificate: Path | None = None, responder: type[Responder] | None = None
) -> Iterator[Server]:
    """Serve `root` on a free port of 127.0.0.1 until the block ends.

    With `certificate`, a PEM file with its key, by https. `responder` answers the requests.
    """
    state = Server(root)
    own = type("OwnResponder", (responder or _Responder,), {"server_state": state})
    server = _Quiet(("127.0.0.1", 0), own)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        state.url = state.url.replace("http:", "https:")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(ThreadingHTTPServer):
    """Takes it calmly when a client hangs up."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Show only what is wrong with the server itself."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)


class Responder(BaseHTTPRequestHandler):
    """Answers the requests to one server."""

    server_state: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Say nothing."""


class _Responder(Responder):
    def do_HEAD(self) -> None:
        """Answer without a body and without faults: those are of transfers."""
        state = self.server_state
        state.requests.append((self.path, dict(self.headers.items())))
        path = state.root / self.path.lstrip("/")
        if path.is_file():
            self._send_file(path.read_bytes(), int(path.stat().st_mtime), None)
        else:
            self._send(404, b"not here")

    def do_GET(self) -> None:
        state = self.server_state
        state.requests.append((self.path, dict(self.headers.items())))
        fault = state.fault_for(self.path)
        # as a proxy we are asked for whole URLs
        path = state.root / re.sub(r"^http://[^/]*", "", self.path).lstrip("/")
        if fault in ("status-503", "forbidden"):
            self._send(503 if fault == "status-503" else 403, b"no")
        elif fault == "busy":
            self._send(503, b"later", {"Retry-After": state.retry_after})
        elif fault in ("redirect", "redirect-loop"):
            self.send_response(302)
            self.send_header("Location", state.redirect_to or self.path)
            state.redirect_to = state.later_redirects_to or state.redirect_to
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif fault in _DRIPPED:
            self._drip(_DRIPPED[fault])
        elif fault in _ENDLESS:
            self._send_without_end(*_ENDLESS[fault])
        elif fault == "odd-length":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n" + path.read_bytes())
            self.close_connection = True
        elif fault == "html":
            self._send(200, b"<!DOCTYPE html><html>Sign in</html>", {"Content-Type": "text/html"})
        elif fault == "html-typed-binary":
            self._send(200, b"<html>Sign in</html>")
        elif fault == "drop":
            self.connection.close()
            self.close_connection = True
        elif fault == "thinking":
            self.server_state.released.wait(1.5)
            self._send_file(path.read_bytes(), int(path.stat().st_mtime), None)
        elif not path.is_file():
            self._send(404, b"not here")
        else:
            self._send_file(path.read_bytes(), int(path.stat().st_mtime), fault)

    def _drip(self, answer: bytes) -> None:
        for byte in answer:
            self.wfile.write(bytes([byte]))
            if self.server_state.released.wait(0.02):
                break
        self.close_connection = True

    def _send_without_end(self, begin: bytes, more: bytes) -> None:
        self.wfile.write(begin)
        for _ in range(_MOST_SENT // len(more) // 1000):
            self.wfile.write(more * 1000)
            if self.server_state.released.is_set():
                break
        self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/octet-stream", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_file(self, content: bytes, modified: int, fault: Fault | None) -> None:
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        if fault == "flip":
            content = bytes([content[0] ^ 1]) + content[1:]
        if self.headers.get("If-None-Match") == etag:
            self.send_response(304)
            self.end_headers()
            return
        start, status, headers = (
            0,
            200,
            {"ETag": etag, "Last-Modified": formatdate(modified, usegmt=True)},
        )
        wanted = self.headers.get("Range")
        if wanted and fault != "ignore-range":
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        headers |= self.server_state.extra_headers
        body = content[start:]
        if fault == "long":
            body += b"and more"
        if fault in _PARTLY:
            self._send_partly(status, headers, body, fault)
        else:
            self._send(status, body, headers)

    def _send_partly(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
        half = len(body) // 2
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(half if fault == "short-length" else len(body)))
        self.end_headers()
        if fault == "drip":
            for index in range(min(len(body), 100)):
                self.wfile.write(body[index : index + 1])
                if self.server_state.released.wait(0.2):
                    break
        elif fault in ("burst-then-drip", "just-enough"):
            # 6000 bytes a second: somewhat more than what a stall is
            done = half if fault == "burst-then-drip" else 0
            self.wfile.write(body[:done])
            size = 1 if done else 600
            while done < len(body) and not self.server_state.released.wait(0.1):
                self.wfile.write(body[done : done + size])
                done += size
        elif fault == "slow":
            for start in range(0, len(body), len(body) // 20 + 1):
                self.wfile.write(body[start : start + len(body) // 20 + 1])
                if self.server_state.released.wait(0.2):
                    break
        else:
            self.wfile.write(body[:half])
        self.wfile.flush()
        if fault == "stall":
            self.server_state.released.wait(10)
        self.close_connection = True
