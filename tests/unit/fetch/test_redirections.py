"""Where a mirror may redirect to, and what it may put into its answers."""

from __future__ import annotations

import gzip
import hashlib
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http_server import Server, serving
from voidimg.errors import FetchError, VoidimgError
from voidimg.fetch import Cache, Fetcher, Location, Wanted
from voidimg.fetch.reach import Kind, kind_of, kinds_within_reach, require_within_reach

CONTENT = bytes(range(256)) * 40
OUTSIDE = "http://mirror.example"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    root = tmp_path / "served"
    root.mkdir()
    (root / "a.xbps").write_bytes(CONTENT)
    (root / "secret").write_bytes(CONTENT)
    with serving(root) as running:
        yield running


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    cache = Cache(tmp_path / "cache")
    return Fetcher(cache, pause=lambda _s: None, stall_seconds=10)


def wanted(*urls: str) -> Wanted:
    return Wanted("a.xbps", urls, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("8.8.8.8", "public"),
        ("2001:4860:4860::8888", "public"),
        ("::ffff:8.8.8.8", "public"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("0.0.0.0", "loopback"),
        ("::1", "loopback"),
        ("::", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::127.0.0.1", "loopback"),
        ("64:ff9b::127.0.0.1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("10.1.2.3", "private"),
        ("172.31.0.1", "private"),
        ("172.32.0.1", "public"),
        ("192.168.1.1", "private"),
        ("100.100.100.200", "private"),
        ("fd00:ec2::254", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("169.254.169.254", "link-local"),
        ("192.0.0.192", "link-local"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("fe80::1%eth0", "link-local"),
    ],
)
def test_how_near_an_address_is(address: str, kind: Kind) -> None:
    """In every form in which it can be written."""
    assert kind_of(address) == kind


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "localhost", "0.0.0.0", "0",
     "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "10.0.0.1", "192.168.0.1", "169.254.169.254",
     "[fe80::1]", "[fd00:ec2::254]", "LOCALHOST", "localhost.", "a.localhost",
     "me:secret@127.0.0.1"],
)  # fmt: skip
def test_a_mirror_outside_does_not_redirect_to_the_inside(
    server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Whatever the address is called; it is asked through a proxy, which would do it for us."""
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    server.faults["a.xbps"] = ("redirect", 99)
    server.redirect_to = f"http://{host}/secret"
    with pytest.raises(FetchError, match="nearer to this machine") as caught:
        fetcher.fetch([wanted(f"{OUTSIDE}/a.xbps")])
    assert caught.value.code == "E-FETCH-REDIRECT"
    assert f"{OUTSIDE}/a.xbps" in str(caught.value)
    assert [path for path, _ in server.requests] == [f"{OUTSIDE}/a.xbps"]


def test_not_by_a_second_redirection_either(
    server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the mirror that was asked first that counts, not the last one."""
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(server.root) as other:
        server.faults["a.xbps"] = ("redirect", 99)
        server.redirect_to = "http://other.example/b.xbps"
        server.faults["b.xbps"] = ("redirect", 99)
        server.later_redirects_to = f"{other.url}/secret"
        with pytest.raises(FetchError, match=r"nearer to this machine"):
            fetcher.fetch([wanted(f"{OUTSIDE}/a.xbps")])
        assert other.requests == []


def test_a_name_is_judged_by_the_address_that_is_connected_to(
    server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that meant an outside address when it was looked up, and then another one."""
    known = {"mirror.example": ["8.8.8.8", "127.0.0.1"], "rebound.example": ["8.8.4.4"]}
    real = socket.getaddrinfo

    def resolve(host: str, *rest: object, **more: object) -> object:
        answers = known.get(host)
        address = (answers.pop(0) if len(answers) else "127.0.0.1") if answers is not None else host
        return real(address, *rest, **more)  # type: ignore[arg-type]

    port = server.url.rpartition(":")[2]
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "rebound.example,127.0.0.1")
    server.faults["a.xbps"] = ("redirect", 99)
    server.redirect_to = f"http://rebound.example:{port}/secret"
    with pytest.raises(FetchError, match=r"redirects to 127\.0\.0\.1, which is nearer"):
        fetcher.fetch([wanted(f"{OUTSIDE}/a.xbps")])
    assert all("secret" not in path for path, _ in server.requests)


@pytest.mark.parametrize(
    ("peer", "place", "allowed"),
    [
        ("8.8.8.8", "http://9.9.9.9/", True),
        ("8.8.8.8", "http://10.0.0.1/", False),
        ("8.8.8.8", "http://127.0.0.1/", False),
        ("10.0.0.1", "http://10.0.0.2/", True),
        ("10.0.0.1", "http://8.8.8.8/", True),
        ("10.0.0.1", "http://127.0.0.1/", False),
        ("10.0.0.1", "http://169.254.169.254/", False),
        ("127.0.0.1", "http://127.0.0.2/", True),
        ("127.0.0.1", "http://10.0.0.1/", True),
        ("127.0.0.1", "http://169.254.169.254/", False),
        ("fe80::1", "http://127.0.0.1/", False),
    ],
)
def test_who_may_redirect_where(peer: str, place: str, allowed: bool) -> None:
    """Outwards and to equals; never inwards."""
    kinds = kinds_within_reach(peer, "http://mirror.example/")
    if allowed:
        require_within_reach(kinds, place, OUTSIDE)
        return
    with pytest.raises(FetchError):
        require_within_reach(kinds, place, OUTSIDE)


def test_nobody_gives_us_a_login(server: Server, fetcher: Fetcher) -> None:
    """User name and password in a redirection are not sent; ours stay with their host."""
    with_login = server.url.replace("//", "//me:secret@")
    (server.root / "b.xbps").write_bytes(CONTENT)
    server.faults["a.xbps"] = ("redirect", 1)
    server.redirect_to = server.url.replace("//", "//you:other@") + "/b.xbps"
    fetcher.fetch([wanted(f"{with_login}/a.xbps")])
    sent = [headers.get("Authorization") for _, headers in server.requests]
    assert sent[0] == sent[1]


@pytest.mark.parametrize(
    "place",
    ["file:///etc/passwd", "ftp://a/b", "//", "http://", "javascript:1", "gopher://a",
     "http://me:secret@[x/", "http://\uff11\uff12\uff17.0.0.1/", "http://a b/", "http://a:0/",
     "http://a:99999/", "http://a\u200b/"],
)  # fmt: skip
def test_a_redirection_to_what_is_no_url(server: Server, fetcher: Fetcher, place: str) -> None:
    """Is a fault of the server, in words, and shows no password."""
    server.faults["a.xbps"] = ("redirect", 99)
    server.redirect_to = place.encode().decode("latin-1")
    with pytest.raises(FetchError) as caught:
        fetcher.fetch([wanted(f"{server.url}/a.xbps")])
    assert caught.value.code == "E-FETCH-REDIRECT"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
@pytest.mark.parametrize(
    "value", ["a\r\n b", "a\r\n\tX-Evil: 1", "a\x00b", "a\x7fb", "\x1b[31m", "x" * 60000]
)
def test_what_a_server_says_is_not_sent_back_as_headers_of_our_own(
    server: Server, fetcher: Fetcher, header: str, value: str
) -> None:
    """A tag of several lines, or with control characters, is no tag."""
    (server.root / "x86_64-repodata").write_bytes(b"repodata")
    server.extra_headers = {header: value}
    location = Location.parse(server.url)
    for _ in range(2):
        found = fetcher.repodata(location, "x86_64")
        assert found is not None
        assert found.content == b"repodata"
    assert "X-Evil" not in server.requests[-1][1]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(CONTENT)),
        ("deflate", zlib.compress(CONTENT)),
        ("gzip, gzip, gzip", gzip.compress(CONTENT)),
        ("br", b"x"),
        ("zstd", b"x"),
        ("none of them", b"x"),
    ],
)
def test_nothing_is_unpacked_on_the_way(
    server: Server, fetcher: Fetcher, encoding: str, body: bytes
) -> None:
    """A server that compresses unasked sends a wrong file; one that only says so a right one."""
    server.extra_headers = {"Content-Encoding": encoding}
    fetched = fetcher.fetch([wanted(f"{server.url}/a.xbps")])
    assert next(iter(fetched.values())).read_bytes() == CONTENT
    (server.root / "b.xbps").write_bytes(body)
    item = Wanted("b.xbps", (f"{server.url}/b.xbps",), len(CONTENT), "0" * 64)
    with pytest.raises(VoidimgError):
        fetcher.fetch([item])


def test_a_bomb_stays_small(server: Server, fetcher: Fetcher) -> None:
    """Its own bytes are all that is read of it."""
    bomb = gzip.compress(bytes(2**26))
    (server.root / "x86_64-repodata").write_bytes(bomb)
    server.extra_headers = {"Content-Encoding": "gzip"}
    found = fetcher.repodata(Location.parse(server.url), "x86_64")
    assert found is not None
    assert found.content == bomb


@pytest.mark.parametrize(
    "said",
    ["bytes 0-1/2", "bytes 99999-100000/100001", "bytes */10240", "bytes 3000-", "lines 3-4/5", "",
     "bytes 3000-10239/99", "bytes -5-10239/10240", "bytes 3000-10239/10240, bytes 0-5/10240"],
)  # fmt: skip
def test_an_odd_range_never_makes_a_wrong_file(
    server: Server, fetcher: Fetcher, tmp_path: Path, said: str
) -> None:
    """Whatever a server says of the part that it sends: the right file comes, or an error."""
    item = wanted(f"{server.url}/a.xbps")
    part = Cache(tmp_path / "cache").part("incoming", f"{item.sha256}.part")
    part.write_bytes(CONTENT[:3000])
    server.extra_headers = {"Content-Range": said}
    assert fetcher.fetch([item])[item.sha256].read_bytes() == CONTENT
