"""Proxies as the environment names them, and what it may name by mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import voidimg
from voidimg.errors import FetchError
from voidimg.fetch import Cache, Fetcher, Location
from voidimg.fetch.proxy import proxy_for

URL = "http://mirror.example/current"

BROKEN = (
    "socks5://127.0.0.1:1080", "socks4a://127.0.0.1:1080", "socks5h://me:secret@127.0.0.1",
    "ftp://127.0.0.1:9", "http://", "://", "http:///", "http://:8080", "http://host:port",
    "http://host:99999", "http://host:-1", "http://host:0", "http://[", "http://[::1",
    "http://ho st:1", "http://host:1/path", "http://host:1?x", "http://me:secret@host:x",
    "http://me:se/cret@host:1", "me:secret@", "host:1:2", "\u00fcber:1", "%zz%",
    "http://a\x01b:1", "http://me:secret@[x", "http://host\udcff:1",
    "http://me:secret\udcff@host:x", "http://me:secret\udcff@host:1",
)  # fmt: skip
SOUND = (
    "", "http://host:8080", "host:8080", "host", "http://me:p%40ss@host:1/", "https://h:1",
    "http://[::1]:8080",
)  # fmt: skip
JUNK = ("*,", ",,,", "[", "::", "*.*", "(", "a" * 10000, "\udcff", "host:port")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
@pytest.mark.parametrize("value", BROKEN)
def test_a_proxy_that_is_none_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """By the variable that names it, without its password."""
    monkeypatch.setenv(name, value)
    fetcher = Fetcher(Cache(tmp_path / "cache"), pause=lambda _s: None)
    with pytest.raises(FetchError, match=name) as caught:
        fetcher.repodata(Location.parse(URL), "x86_64")
    assert caught.value.code == "E-FETCH-PROXY"
    assert "cret" not in str(caught.value)
    str(caught.value).encode()  # it can be shown


@pytest.mark.parametrize("value", SOUND)
def test_a_proxy_that_is_one(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """With and without scheme, port and user; an empty one is none."""
    monkeypatch.setenv("http_proxy", value)
    expected = value if not value or "://" in value else f"http://{value}"
    assert proxy_for(URL) == (expected or None)


@pytest.mark.parametrize("junk", JUNK)
def test_junk_in_no_proxy_matches_nothing_or_all(
    monkeypatch: pytest.MonkeyPatch, junk: str
) -> None:
    """But is no failure."""
    monkeypatch.setenv("http_proxy", "http://host:1")
    monkeypatch.setenv("no_proxy", junk)
    assert proxy_for(URL) in (None, "http://host:1")


def test_one_proxy_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """All_proxy is what is left when the scheme has none of its own."""
    monkeypatch.setenv("all_proxy", "http://all:1")
    assert proxy_for(URL) == "http://all:1"
    monkeypatch.setenv("http_proxy", "http://own:1")
    assert proxy_for(URL) == "http://own:1"
    monkeypatch.setenv("no_proxy", "mirror.example")
    assert proxy_for(URL) is None


def test_the_command_says_so_too(tmp_path: Path) -> None:
    """In one line, with the status of failures to fetch."""
    ended = voidimg(
        "--cache", tmp_path, "repo", "status", URL, "--arch", "aarch64",
        env={"http_proxy": "socks5://me:secret@127.0.0.1:1080"},
    )  # fmt: skip
    assert ended.returncode == 5
    assert "Traceback" not in ended.stderr
    assert "http_proxy names 'socks5://127.0.0.1:1080'" in ended.stderr
