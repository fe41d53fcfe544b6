"""Which index is taken of those that mirrors serve: nothing a server says of its own counts."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http_server import Server, serving
from voidimg.errors import FetchError, PackageError
from voidimg.events import Event, Message
from voidimg.fetch import Cache, Fetcher, Location, RepodataFile
from voidimg.fetch.choice import ballots, is_decided

NAME = "x86_64-repodata"
PAST = 1_700_000_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    root = tmp_path / "served"
    root.mkdir()
    with serving(root) as running:
        yield running


class Asking:
    """A fetcher and what it warned of."""

    def __init__(self, cache: Path, *, offline: bool = False, judge_seconds: float = 5):
        self.events: list[Event] = []
        self.fetcher = Fetcher(
            Cache(cache),
            listener=self.events.append,
            pause=lambda _seconds: None,
            offline=offline,
            judge_seconds=judge_seconds,
        )

    def index(self, server: Server, names: str) -> RepodataFile:
        found = self.fetcher.repodata(mirrors(server, names), "x86_64")
        assert found is not None
        return found

    def warnings(self) -> list[str]:
        return [e.text for e in self.events if isinstance(e, Message) and e.level == "warning"]


@pytest.fixture
def asking(tmp_path: Path) -> Asking:
    return Asking(tmp_path / "cache")


def mirrors(server: Server, names: str) -> Location:
    return Location.parse(" ".join(f"{server.url}/{name}" for name in names))


def publish(server: Server, name: str, content: bytes, epoch: int = PAST) -> None:
    path = server.root / name / NAME
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (epoch, epoch))


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("ahead", [-86400, 0, 3600, 86000, 10 * 365 * 86400])
def test_one_lying_mirror_rolls_nobody_back(
    server: Server, asking: Asking, place: int, ahead: int
) -> None:
    """Wherever it stands among four honest ones, and whatever date it states."""
    names = "abcde"
    for name in names:
        publish(server, name, b"honest")
    liar = names[place]
    publish(server, liar, b"old and full of holes", int(time.time()) + ahead)
    found = asking.index(server, names)
    assert found.content == b"honest"
    honest = [f"{server.url}/{name}" for name in names if name != liar]
    assert list(found.location.urls) == honest
    (warning,) = asking.warnings()
    assert f"mirror left: {server.url}/{liar}/{NAME}: it serves another index" in warning


def test_between_two_the_user_decides(server: Server, asking: Asking) -> None:
    """The one that is named first is taken; the other one is named in a warning."""
    publish(server, "a", b"one", PAST)
    publish(server, "b", b"two", PAST + 86400)
    assert asking.index(server, "ab").content == b"one"
    assert asking.index(server, "ba").content == b"two"
    assert [text for text in asking.warnings() if f"{server.url}/a/" in text]


def test_dead_mirrors_have_no_voice(server: Server, asking: Asking) -> None:
    """Of the living ones most decide."""
    for name, content in zip("cde", (b"odd", b"even", b"even"), strict=True):
        publish(server, name, content)
    found = asking.index(server, "abcde")
    assert found.content == b"even"
    assert [url[-1] for url in found.location.urls] == ["d", "e", "a", "b"]


def test_an_index_that_is_refused_has_no_voice(server: Server, asking: Asking) -> None:
    """Though most mirrors serve it; a mirror that failed at first is asked again then."""
    for name, content in zip("abc", (b"bad", b"bad", b"good"), strict=True):
        publish(server, name, content)
    server.faults[f"c/{NAME}"] = ("drop", 1)

    def check(content: bytes, where: str) -> None:
        if content == b"bad":
            raise PackageError("it is bad", code="REPODATA", where=where)

    found = asking.fetcher.repodata(mirrors(server, "abc"), "x86_64", check)
    assert found is not None
    assert found.content == b"good"
    assert sum("it is bad" in text for text in asking.warnings()) == 2
    (server.root / "c" / NAME).unlink()
    with pytest.raises(FetchError, match="it is bad") as caught:
        asking.fetcher.repodata(mirrors(server, "abc"), "x86_64", check)
    assert caught.value.code == "E-FETCH-ALL-MIRRORS"


def test_without_a_network_the_same_one_is_taken(server: Server, tmp_path: Path) -> None:
    """What most mirrors had, not what the first one had."""
    for name, content in zip("abc", (b"odd", b"even", b"even"), strict=True):
        publish(server, name, content)
    for name in "abc":
        Asking(tmp_path / "cache").index(server, name)
    assert Asking(tmp_path / "cache").index(server, "abc").content == b"even"
    assert Asking(tmp_path / "cache", offline=True).index(server, "abc").content == b"even"


def test_a_slow_mirror_does_not_hold_up_the_vote(server: Server, tmp_path: Path) -> None:
    """It is left once the others agree, or when it takes much longer than the first."""
    for name in "abc":
        publish(server, name, bytes(2000))
    server.faults[f"a/{NAME}"] = ("drip", 9)
    began = time.monotonic()
    found = Asking(tmp_path / "cache", judge_seconds=1).index(server, "abc")
    assert [url[-1] for url in found.location.urls] == ["b", "c", "a"]
    found = Asking(tmp_path / "other", judge_seconds=1).index(server, "ab")
    assert [url[-1] for url in found.location.urls] == ["b", "a"]
    assert time.monotonic() - began < 15


def test_a_date_in_the_future_is_no_date(server: Server, asking: Asking, tmp_path: Path) -> None:
    """Neither of a server nor of a file."""
    publish(server, "a", b"index", int(time.time()) + 3600)
    assert asking.index(server, "a").modified_epoch is None
    found = asking.fetcher.repodata(Location.parse(str(server.root / "a")), "x86_64")
    assert found is not None
    assert found.modified_epoch is None


@pytest.mark.parametrize("etag", ['"another"', hashlib.sha256(b"index").hexdigest()[:16]])
def test_an_index_is_no_younger_than_we_saw_it_first(
    server: Server, tmp_path: Path, etag: str
) -> None:
    """A mirror that dates the same bytes anew each day does not make them young."""
    now = int(time.time())
    publish(server, "a", b"index", now - 100)
    assert Asking(tmp_path / "cache").index(server, "a").modified_epoch == now - 100
    (stamp,) = (tmp_path / "cache" / "repodata").glob("*/stamp.json")
    known = json.loads(stamp.read_text())
    assert now - 60 <= int(known["seen"]) <= now + 60
    stamp.write_text(json.dumps({**known, "seen": str(PAST), "etag": etag}))
    publish(server, "a", b"index", now - 10)
    assert Asking(tmp_path / "cache").index(server, "a").modified_epoch == PAST
    assert json.loads(stamp.read_text())["seen"] == str(PAST)


@pytest.mark.parametrize("epoch", [0, PAST + 1000, PAST + 10**9])
def test_who_agrees_dates_together(server: Server, asking: Asking, epoch: int) -> None:
    """One mirror alone makes an index neither young nor ancient."""
    for name, one in zip("abc", (epoch, PAST, PAST), strict=True):
        publish(server, name, b"index", one)
    assert asking.index(server, "abc").modified_epoch == PAST


def test_votes_are_counted_by_content() -> None:
    """The most votes first, then the order of the user; half is not more than half."""
    served = {"b": "1", "c": "2", "d": "2"}
    assert [one.urls for one in ballots("abcd", served)] == [("c", "d"), ("b",)]
    assert not is_decided(served, 4)
    assert is_decided(served, 3)
    assert not is_decided({}, 1)
