"""The mirror of the tests answers as nginx does, and the product understands it."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.http_server import Server
from tests.void_mirror import Mirror, lay_out_mirror, serving_mirror
from voidimg.fetch import Cache, Fetcher, Location, Wanted

NAME = "tiny++-1.0_1.noarch.xbps"
CONTENT = b"0123456789" * 1000


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    """One file in `current`."""
    top = tmp_path / "mirror"
    lay_out_mirror(top, {})
    (top / "current" / NAME).write_bytes(CONTENT)
    with serving_mirror(top) as running:
        yield running


def asked(
    server: Server, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one answer."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_a_file_has_the_headers_of_nginx(mirror: Mirror) -> None:
    """Whole, in part, not at all because it is known, and its head alone."""
    path = f"/current/{NAME}"
    status, headers, body = asked(mirror.behind, path)
    assert (status, body, headers["Server"]) == (200, CONTENT, "nginx")
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Accept-Ranges"] == "bytes"
    assert asked(mirror.behind, path, "HEAD") == (200, headers, b"")
    status, part, body = asked(mirror.behind, path, Range="bytes=9990-")
    assert (status, body, part["Content-Range"]) == (206, b"0123456789", "bytes 9990-9999/10000")
    status, _, body = asked(mirror.behind, path, Range="bytes=0-1")
    assert (status, body) == (206, b"01")
    status, beyond, _ = asked(mirror.behind, path, Range="bytes=10000-")
    assert (status, beyond["Content-Range"]) == (416, "bytes */10000")
    for known in (
        {"If_None_Match": headers["ETag"]},
        {"If_Modified_Since": headers["Last-Modified"]},
    ):
        status, again, body = asked(mirror.behind, path, **known)
        assert (status, body, again["ETag"]) == (304, b"", headers["ETag"])


def test_everything_else_is_a_page(mirror: Mirror) -> None:
    """Directories are listed, what is not there is said in HTML."""
    status, headers, _ = asked(mirror.behind, "/current")
    assert (status, headers["Location"]) == (301, f"{mirror.behind.url}/current/")
    status, headers, body = asked(mirror.behind, "/current/")
    assert (status, headers["Content-Type"]) == (200, "text/html")
    assert NAME.encode() in body
    status, headers, body = asked(mirror.behind, "/current/none")
    assert (status, headers["Content-Type"]) == (404, "text/html")
    assert b"404 Not Found" in body
    status, headers, _ = asked(mirror.front, "/current/none")
    assert (status, headers["Location"]) == (302, f"{mirror.behind.url}/current/none")


def test_a_package_comes_through_the_redirector(mirror: Mirror, tmp_path: Path) -> None:
    """Whole, and resumed where an earlier try ended; a missing index is none, not a failure."""
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    wanted = Wanted(NAME, (f"{mirror.url}/current/{NAME}",), len(CONTENT), sha256)
    for name, have in (("whole", 0), ("resumed", 4321)):
        cache = Cache(tmp_path / name)
        part = cache.part("incoming", f"{sha256}.part")
        part.write_bytes(CONTENT[:have])
        found = Fetcher(cache).fetch([wanted])
        assert found[sha256].read_bytes() == CONTENT
    ranges = [headers.get("Range") for path, headers in mirror.behind.requests]
    assert ranges == [None, "bytes=4321-"]
    location = Location.parse(f"{mirror.url}/current")
    assert Fetcher(Cache(tmp_path / "whole")).repodata(location, "aarch64") is None
