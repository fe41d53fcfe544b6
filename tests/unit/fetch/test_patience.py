"""Slow, silent and dead mirrors: each costs little, and all together they end in time."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.http_server import Fault, Server, serving
from voidimg.errors import FetchError
from voidimg.events import Event, Message
from voidimg.fetch import Cache, Fetcher, Wanted
from voidimg.fetch.patience import Bound, seconds_for, spoken
from voidimg.fetch.standing import STRIKES, Standing

CONTENT = bytes(range(256)) * 4000
DEAD = "http://127.0.0.1:9"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    root = tmp_path / "served"
    for mirror in "ab":
        (root / mirror).mkdir(parents=True)
        (root / mirror / "a.xbps").write_bytes(CONTENT)
    with serving(root) as running:
        yield running


class Asking:
    """A fetcher with little patience, and what it told."""

    def __init__(
        self,
        cache: Path,
        *,
        total: float = 60,
        idle: float = 60,
        judge: float = 1,
        stall: float = 3,
    ):
        self.events: list[Event] = []
        self.fetcher = Fetcher(
            Cache(cache),
            jobs=1,
            listener=self.events.append,
            pause=lambda _seconds: None,
            stall_seconds=stall,
            total_seconds=total,
            idle_seconds=idle,
            judge_seconds=judge,
        )

    def messages(self, level: str) -> list[str]:
        return [e.text for e in self.events if isinstance(e, Message) and e.level == level]


def several(bases: Sequence[str], count: int, root: Path) -> list[Wanted]:
    """Small files that all mirrors in `root` have, at each of `bases`."""
    found = []
    for number in range(count):
        content = f"file {number}".encode()
        for mirror in root.iterdir():
            (mirror / f"{number}.xbps").write_bytes(content)
        urls = tuple(f"{base}/{number}.xbps" for base in bases)
        sha256 = hashlib.sha256(content).hexdigest()
        found.append(Wanted(f"{number}.xbps", urls, len(content), sha256))
    return found


def large(*bases: str) -> Wanted:
    urls = tuple(f"{base}/a.xbps" for base in bases)
    return Wanted("a.xbps", urls, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@contextmanager
def silent(count: int) -> Iterator[list[str]]:
    """URLs of so many servers that take connections and say nothing."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        yield [f"http://127.0.0.1:{one.getsockname()[1]}/x" for one in sockets]


@pytest.mark.parametrize(
    "fault", ["drop", "status-503", "truncate", "html", "flip", "redirect-loop"]
)
def test_a_mirror_that_fails_is_not_asked_for_every_file(
    server: Server, tmp_path: Path, fault: Fault
) -> None:
    """It is remembered: told once, asked next only if all the others fail."""
    asking = Asking(tmp_path / "cache")
    server.faults["/a/a.xbps"] = (fault, 999)
    for number in range(40):
        server.faults[f"/a/{number}.xbps"] = (fault, 999)
    items = several((f"{server.url}/a", f"{server.url}/b"), 40, server.root)
    assert len(asking.fetcher.fetch(items)) == 40
    assert len({path for path, _ in server.requests if path.startswith("/a/")}) == 1
    (warning,) = asking.messages("warning")
    assert f"mirror left: {server.url}/a/" in warning


def test_a_host_that_is_dead_is_so_for_all_its_repositories(server: Server, tmp_path: Path) -> None:
    """No connection at all: the next repository on it is not tried first either."""
    standing = Standing()
    standing.failed(f"{DEAD}/one/a", FetchError("no", code="CONNECT", where=""), 0, 1)
    standing.failed("http://odd/one/a", FetchError("no", code="STALLED", where=""), 0, 1)
    good = "http://good/two/a"
    assert standing.ordered([f"{DEAD}/two/a", good]) == [good, f"{DEAD}/two/a"]
    assert standing.ordered(["http://odd/two/a", good]) == ["http://odd/two/a", good]
    asking = Asking(tmp_path / "cache")
    items = several((f"{DEAD}/x", f"{server.url}/b"), 30, server.root)
    assert len(asking.fetcher.fetch(items)) == 30
    assert len(asking.messages("warning")) == 1


def test_a_missing_file_is_not_the_fault_of_its_mirror(server: Server, tmp_path: Path) -> None:
    """The next file is asked for there first all the same."""
    asking = Asking(tmp_path / "cache")
    items = several((f"{server.url}/a", f"{server.url}/b"), 3, server.root)
    (server.root / "a" / "0.xbps").unlink()
    asking.fetcher.fetch(items)
    asked = [path for path, _ in server.requests]
    assert asked == ["/a/0.xbps", "/b/0.xbps", "/a/1.xbps", "/a/2.xbps"]


def test_a_mirror_that_failed_is_asked_when_the_others_fail(server: Server, tmp_path: Path) -> None:
    """And once it works again it is as good as any."""
    asking = Asking(tmp_path / "cache")
    server.faults["/a/0.xbps"] = ("drop", 1)
    server.faults["/b/1.xbps"] = ("drop", 99)
    items = several((f"{server.url}/a", f"{server.url}/b"), 3, server.root)
    asking.fetcher.fetch(items)
    asked = [path for path, _ in server.requests]
    assert asked == ["/a/0.xbps", "/b/0.xbps", "/b/1.xbps", "/a/1.xbps", "/a/2.xbps"]


def test_a_mirror_that_failed_too_often_is_not_asked(server: Server) -> None:
    """Unless there is no other."""
    standing = Standing()
    urls = ["http://bad/a", "http://good/a"]
    for _ in range(STRIKES):
        standing.failed(urls[0], FetchError("no", code="STALLED", where=""), 0, 1)
    assert standing.ordered(urls) == urls[1:]
    assert standing.ordered(urls[:1]) == urls[:1]
    standing.succeeded(urls[0], 10**6, 1)
    assert standing.ordered(urls) == urls


def test_a_drip_is_left_for_a_fast_mirror(server: Server, tmp_path: Path) -> None:
    """One that is fast enough never to stall; the file goes on where it was, the next ones too."""
    asking = Asking(tmp_path / "cache")
    server.faults["/a/a.xbps"] = ("just-enough", 9)
    began = time.monotonic()
    item = large(f"{server.url}/a", f"{server.url}/b")
    assert asking.fetcher.fetch([item])[item.sha256].read_bytes() == CONTENT
    assert time.monotonic() - began < 10
    assert [path for path, _ in server.requests] == ["/a/a.xbps", "/b/a.xbps"]
    assert server.requests[1][1]["Range"].startswith("bytes=")
    (warning,) = asking.messages("warning")
    assert "another mirror may be faster" in warning
    asking.fetcher.fetch(several((f"{server.url}/a", f"{server.url}/b"), 5, server.root))
    assert {path[:3] for path, _ in server.requests[2:]} == {"/b/"}


def test_a_drip_is_good_enough_when_there_is_nothing_else(server: Server, tmp_path: Path) -> None:
    """Alone, or beside a mirror that fails: it is slow, but it is there."""
    item = large(f"{server.url}/a", f"{DEAD}/x")
    server.faults["/a/a.xbps"] = ("just-enough", 9)
    with pytest.raises(FetchError, match="time for downloads"):
        Asking(tmp_path / "cache", total=5).fetcher.fetch([item])
    (part,) = (tmp_path / "cache" / "incoming").glob("*.part")
    assert part.stat().st_size > 15000  # it came all the time
    server.faults.clear()
    assert Asking(tmp_path / "cache").fetcher.fetch([item])


def test_a_mirror_that_begins_fast_and_then_drips_is_given_up(
    server: Server, tmp_path: Path
) -> None:
    """What came at first does not make up for what does not come later."""
    server.faults["/a/a.xbps"] = ("burst-then-drip", 9)
    began = time.monotonic()
    with pytest.raises(FetchError) as caught:
        Asking(tmp_path / "cache", stall=1).fetcher.fetch([large(f"{server.url}/a")])
    assert caught.value.code == "E-FETCH-STALLED"
    assert time.monotonic() - began < 30


def test_a_mirror_that_thinks_for_long_is_left(server: Server, tmp_path: Path) -> None:
    """Before each of many small files, never so long that it stalls."""
    for number in range(30):
        server.faults[f"/a/{number}.xbps"] = ("thinking", 9)
    asking = Asking(tmp_path / "cache", judge=3)
    began = time.monotonic()
    asking.fetcher.fetch(several((f"{server.url}/a", f"{server.url}/b"), 30, server.root))
    assert time.monotonic() - began < 10
    assert sum(path.startswith("/a/") for path, _ in server.requests) == 1


def test_many_silent_mirrors_end_in_time(server: Server, tmp_path: Path) -> None:
    """Nobody waits for each of them thrice: the whole has a bound, which is told, and ends."""
    with silent(100) as bases:
        asking = Asking(tmp_path / "cache", idle=4, judge=0.5)
        began = time.monotonic()
        with pytest.raises(FetchError) as caught:
            asking.fetcher.fetch(several(bases, 3, server.root))
        assert time.monotonic() - began < 12
    assert caught.value.code == "E-FETCH-TIME-LIMIT"
    assert "no mirror sent anything for 4 seconds; until then: " in str(caught.value)
    assert "the server stopped answering" in str(caught.value)
    assert len(str(caught.value)) < 2000
    assert any("or 4 seconds without progress" in text for text in asking.messages("note"))


def test_behind_silent_mirrors_a_good_one_is_found(server: Server, tmp_path: Path) -> None:
    """For the first file they cost a little each; for the others nothing."""
    with silent(5) as bases:
        asking = Asking(tmp_path / "cache", judge=0.3)
        began = time.monotonic()
        asking.fetcher.fetch(several((*bases, f"{server.url}/b"), 20, server.root))
        assert time.monotonic() - began < 8
    assert len(asking.messages("warning")) == 5


def test_the_bound_follows_the_size() -> None:
    """Little is not waited for as long as much; words for people say it."""
    assert seconds_for(0, 21600) == 900
    assert 900 < seconds_for(10**8, 21600) < 21600
    assert seconds_for(10**12, 21600) == 21600
    assert [spoken(one) for one in (0.5, 4, 600, 3600, 5400, 21600)] == [
        "0.5 seconds",
        "4 seconds",
        "10 minutes",
        "1 hour",
        "1 hour 30 minutes",
        "6 hours",
    ]


def test_progress_puts_off_the_end_but_not_for_ever() -> None:
    """The idle time begins anew, the whole does not."""
    bound = Bound(100, 0.0)
    with pytest.raises(FetchError, match="no mirror sent anything"):
        bound.require("http://mirror/x")
    with pytest.raises(FetchError, match="time for downloads is used up"):
        Bound(0, 100).require("http://mirror/x")
    later = Bound(100, 50)
    later.progressed()
    later.require("http://mirror/x")
    assert 0 < later.left_seconds <= 50
