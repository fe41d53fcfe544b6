"""Fetching against a real server on loopback that fails in every way a mirror does."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.http_server import Fault, Server, serving
from voidimg.errors import DiskFullError, FetchError, UsageError, VerifyError, VoidimgError
from voidimg.events import Event, Message
from voidimg.fetch import Cache, Fetcher, Location, Wanted
from voidimg.fetch.http import _redirected

CONTENT = bytes(range(256)) * 400

PATIENT_SECONDS = 60.0
"""What no fetch waits for unless a server stops, however busy the machine is."""

_STOPPING: tuple[Fault, ...] = ("drip", "drip-chunk-size", "drip-head", "stall")


def stall_seconds(fault: Fault) -> float:
    """How long to wait for a server that has `fault`: not long for those that stop."""
    return 1.0 if fault in _STOPPING else PATIENT_SECONDS


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    root = tmp_path / "served"
    root.mkdir()
    (root / "a.xbps").write_bytes(CONTENT)
    (root / "a.xbps.sig2").write_bytes(b"signature")
    (root / "x86_64-repodata").write_bytes(b"repodata")
    with serving(root) as running:
        yield running


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    return patient(tmp_path)


def patient(place: Path, seconds: float = PATIENT_SECONDS) -> Fetcher:
    """A fetcher that tries again at once, and gives a server up after `seconds` of silence."""
    cache = Cache(place / "cache")
    return Fetcher(cache, jobs=2, pause=lambda _s: None, stall_seconds=seconds)


def wanted(*urls: str, content: bytes = CONTENT) -> Wanted:
    return Wanted("a.xbps", urls, len(content), hashlib.sha256(content).hexdigest())


def fetched(fetcher: Fetcher, item: Wanted) -> bytes:
    return fetcher.fetch([item])[item.sha256].read_bytes()


def test_a_file_is_fetched_once(server: Server, fetcher: Fetcher) -> None:
    """The second time it comes from the cache, without a request."""
    item = wanted(server.url + "/a.xbps")
    assert fetched(fetcher, item) == CONTENT
    assert fetched(fetcher, item) == CONTENT
    assert [path for path, _ in server.requests] == ["/a.xbps"]


def test_a_cut_download_goes_on_where_it_broke(server: Server, fetcher: Fetcher) -> None:
    """The retry asks for the missing half only."""
    server.faults["a.xbps"] = ("truncate", 1)
    assert fetched(fetcher, wanted(server.url + "/a.xbps")) == CONTENT
    assert server.requests[1][1]["Range"] == f"bytes={len(CONTENT) // 2}-"


def test_a_server_that_ignores_ranges_costs_only_time(server: Server, fetcher: Fetcher) -> None:
    """The file is taken from its beginning again."""
    server.faults["a.xbps"] = ("truncate", 1)
    server.faults["/a.xbps"] = ("ignore-range", 0)
    item = wanted(server.url + "/a.xbps")
    assert fetched(fetcher, item) == CONTENT


def test_wrong_bytes_of_an_interrupted_try_are_not_blamed_on_the_next(
    server: Server, fetcher: Fetcher, tmp_path: Path
) -> None:
    """A resumed file with a wrong SHA-256 is fetched again from its beginning."""
    item = wanted(server.url + "/a.xbps")
    part = Cache(tmp_path / "cache").part("incoming", f"{item.sha256}.part")
    part.write_bytes(b"x" * 1000)
    assert fetched(fetcher, item) == CONTENT
    assert "Range" not in server.requests[-1][1]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("drop", "E-FETCH-TRUNCATED"),
        ("drip", "E-FETCH-STALLED"),
        ("drip-chunk-size", "E-FETCH-STALLED"),
        ("drip-head", "E-FETCH-STALLED"),
        ("endless-interim", "E-FETCH-ENDLESS"),
        ("endless-trailers", "E-FETCH-ENDLESS"),
        ("forbidden", "E-FETCH-FORBIDDEN"),
        ("html", "E-FETCH-HTML"),
        ("html-typed-binary", "E-FETCH-HTML"),
        ("long", "E-FETCH-LENGTH"),
        ("redirect-loop", "E-FETCH-REDIRECT"),
        ("short-length", "E-FETCH-TRUNCATED"),
        ("stall", "E-FETCH-TIMEOUT"),
        ("status-503", "E-FETCH-STATUS"),
        ("truncate", "E-FETCH-TRUNCATED"),
    ],
)
def test_every_fault_has_its_name(server: Server, tmp_path: Path, fault: Fault, code: str) -> None:
    """A mirror that never works is reported as what it does, with its URL."""
    fetcher = patient(tmp_path, stall_seconds(fault))
    server.faults["a.xbps"] = (fault, 99)
    with pytest.raises(FetchError) as caught:
        fetched(fetcher, wanted(server.url + "/a.xbps"))
    assert caught.value.code == code
    assert server.url in str(caught.value)


@pytest.mark.parametrize("place", ["/a.xbps", "b.xbps"])
def test_redirections_are_followed(server: Server, fetcher: Fetcher, place: str) -> None:
    """To whole and to relative URLs; mirrors distribute their load so."""
    (server.root / "dir").mkdir()
    (server.root / "dir" / "b.xbps").write_bytes(CONTENT)
    server.faults["dir/a.xbps"] = ("redirect", 1)
    server.redirect_to = place
    assert fetched(fetcher, wanted(server.url + "/dir/a.xbps")) == CONTENT
    assert len(server.requests) == 2


@pytest.mark.parametrize("place", ["http://[", "http://127.0.0.1:99999/", "file:///etc/passwd"])
def test_a_redirection_to_nowhere_is_a_fault_of_the_server(
    server: Server, fetcher: Fetcher, place: str
) -> None:
    """It is named and the next mirror can be taken."""
    server.faults["a.xbps"] = ("redirect", 99)
    server.redirect_to = place
    with pytest.raises(FetchError, match=server.url) as caught:
        fetched(fetcher, wanted(server.url + "/a.xbps"))
    assert caught.value.code == "E-FETCH-REDIRECT"


def test_a_redirection_does_not_give_up_encryption() -> None:
    """Nor takes credentials to another host, port or scheme."""
    away = _redirected("https://me:secret@a.example/x", "//b.example/y")
    assert away == "https://b.example/y"
    assert _redirected("https://me:secret@a.example/x/", "y") == "https://me:secret@a.example/x/y"
    assert _redirected("http://me:secret@a.example/", "https://a.example/") == "https://a.example/"
    with pytest.raises(FetchError, match="from https to http"):
        _redirected("https://a.example/x", "http://a.example/x")


def test_a_length_that_is_no_number_is_passed_over(server: Server, fetcher: Fetcher) -> None:
    """What Python takes for a digit need not be one."""
    server.faults["a.xbps"] = ("odd-length", 1)
    assert fetched(fetcher, wanted(server.url + "/a.xbps")) == CONTENT


def test_a_flipped_byte_is_never_taken(server: Server, fetcher: Fetcher) -> None:
    """The SHA-256 of the index decides; nothing is left in the cache."""
    server.faults["a.xbps"] = ("flip", 99)
    item = wanted(server.url + "/a.xbps")
    with pytest.raises(VerifyError, match="expected SHA-256") as caught:
        fetched(fetcher, item)
    assert caught.value.code == "E-VERIFY-SHA256"
    server.faults.clear()
    assert fetched(fetcher, item) == CONTENT


@pytest.mark.parametrize("fault", ["flip", "html", "truncate", "stall", "long", "status-503"])
def test_the_next_mirror_is_taken(tmp_path: Path, server: Server, fault: Fault) -> None:
    """A bad mirror is named in a warning and left; the download goes on elsewhere."""
    (server.root / "second").mkdir()
    (server.root / "second" / "b.xbps").write_bytes(CONTENT)
    server.faults["a.xbps"] = (fault, 99)
    events: list[Event] = []
    fetcher = Fetcher(
        Cache(tmp_path / "cache"),
        listener=events.append,
        pause=lambda _s: None,
        stall_seconds=stall_seconds(fault),
    )
    item = wanted(server.url + "/a.xbps", server.url + "/second/b.xbps")
    assert fetched(fetcher, item) == CONTENT
    warnings = [e.text for e in events if isinstance(e, Message) and e.level == "warning"]
    assert len(warnings) == 1
    assert server.url + "/a.xbps" in warnings[0]


def test_no_server_at_all(fetcher: Fetcher) -> None:
    """A closed port is a connection failure, a name nobody knows a DNS failure."""
    with pytest.raises(FetchError) as caught:
        fetched(fetcher, wanted("http://127.0.0.1:9/a.xbps"))
    assert caught.value.code == "E-FETCH-CONNECT"
    with pytest.raises(FetchError) as caught:
        fetched(fetcher, wanted("http://mirror.invalid/a.xbps"))
    assert caught.value.code == "E-FETCH-DNS"


def test_repodata_is_asked_for_conditionally(server: Server, fetcher: Fetcher) -> None:
    """An unchanged index is not sent twice; a changed one is taken."""
    location = Location.parse(server.url)
    first = fetcher.repodata(location, "x86_64")
    again = fetcher.repodata(location, "x86_64")
    assert first is not None
    assert again == first
    assert "If-None-Match" in server.requests[1][1]
    (server.root / "x86_64-repodata").write_bytes(b"newer")
    newer = fetcher.repodata(location, "x86_64")
    assert newer is not None
    assert newer.content == b"newer"


def test_a_damaged_kept_repodata_is_not_believed(
    server: Server, fetcher: Fetcher, tmp_path: Path
) -> None:
    """A kept copy that is not what its stamp says is fetched whole."""
    location = Location.parse(server.url)
    fetcher.repodata(location, "x86_64")
    for kept in (tmp_path / "cache" / "repodata").glob("*/content"):
        kept.write_bytes(b"damaged")
    found = fetcher.repodata(location, "x86_64")
    assert found is not None
    assert found.content == b"repodata"


def test_a_repository_without_the_architecture_is_none(server: Server, fetcher: Fetcher) -> None:
    """Void's three repository URLs may always be given together."""
    assert fetcher.repodata(Location.parse(server.url), "armv6l") is None
    assert fetcher.repodata(Location.parse(str(server.root)), "armv6l") is None


def test_a_missing_directory_is_an_error(fetcher: Fetcher, tmp_path: Path) -> None:
    """A mistyped -r is not an empty repository."""
    with pytest.raises(FetchError) as caught:
        fetcher.repodata(Location.parse(str(tmp_path / "nowhere")), "x86_64")
    assert caught.value.code == "E-FETCH-NO-DIRECTORY"


def test_local_packages_are_verified_too(server: Server, fetcher: Fetcher) -> None:
    """A directory is no more trusted than a mirror."""
    path = str(server.root / "a.xbps")
    assert fetched(fetcher, wanted(path)) == CONTENT
    with pytest.raises(VerifyError):
        fetched(fetcher, wanted(path, content=CONTENT[:-1] + b"x"))
    with pytest.raises(VerifyError):
        fetched(fetcher, wanted(path, content=CONTENT[:-1]))
    with pytest.raises(FetchError, match="listed in the index"):
        fetched(fetcher, wanted(path + ".gone", content=b"other"))


def test_signatures_come_from_beside_the_package(server: Server, fetcher: Fetcher) -> None:
    """They are kept by the package's SHA-256; a missing one is told."""
    item = wanted(server.url + "/a.xbps")
    assert fetcher.signatures([item]) == {item.sha256: b"signature"}
    fetcher.signature(item)
    assert [path for path, _ in server.requests] == ["/a.xbps.sig2"]
    other = wanted(server.url + "/a.xbps", content=b"other")
    (server.root / "a.xbps.sig2").unlink()
    with pytest.raises(FetchError) as caught:
        fetcher.signature(other)
    assert caught.value.code == "E-FETCH-NOT-FOUND"
    assert "is in the index, but nobody signed it" in str(caught.value)
    assert str(caught.value.where).endswith("/a.xbps.sig2")


def refuse_damaged(content: bytes, where: str) -> None:
    """What a check of content does with all that is not `signature` or `repodata`."""
    if content not in (b"signature", b"repodata"):
        raise VerifyError("damaged", code="SIGNATURE", where=where)


def test_a_damaged_signature_is_that_of_its_mirror(
    server: Server, tmp_path: Path, fetcher: Fetcher
) -> None:
    """The mirror is named and left, and so is a damaged one that was kept."""
    (server.root / "second").mkdir()
    (server.root / "second" / "a.xbps.sig2").write_bytes(b"signature")
    server.faults["a.xbps.sig2"] = ("flip", 1)
    item = wanted(server.url + "/a.xbps", server.url + "/second/a.xbps")
    events: list[Event] = []
    listening = Fetcher(Cache(tmp_path / "cache"), listener=events.append, pause=lambda _s: None)
    assert listening.signature(item, refuse_damaged) == b"signature"
    (warning,) = [
        event.text for event in events if isinstance(event, Message) and event.level == "warning"
    ]
    assert f"mirror left: {server.url}/a.xbps.sig2: damaged" in warning
    kept = tmp_path / "cache" / "signatures" / item.sha256
    kept.write_bytes(b"damaged")
    assert fetcher.signature(item, refuse_damaged) == b"signature"
    assert kept.read_bytes() == b"signature"
    kept.write_bytes(b"damaged")
    server.faults["a.xbps.sig2"] = ("flip", 9)
    with pytest.raises(VerifyError, match="no mirror gave the file") as caught:
        fetcher.signature(item, refuse_damaged)
    assert caught.value.code == "E-VERIFY-SIGNATURE"
    offline = Fetcher(Cache(tmp_path / "cache"), offline=True)
    with pytest.raises(VerifyError, match="damaged"):
        offline.signature(item, refuse_damaged)


def test_a_file_that_every_mirror_has_wrong_is_no_failure_of_the_network(
    server: Server, fetcher: Fetcher
) -> None:
    """It is a wrong file, told as such, and beside the other wrong ones."""
    server.faults["a.xbps"] = ("flip", 99)
    with pytest.raises(VerifyError) as caught:
        fetched(fetcher, wanted(server.url + "/a.xbps", server.url + "//a.xbps"))
    assert caught.value.code == "E-VERIFY-SHA256"


def test_an_index_that_is_wrong_about_sizes_does_no_harm(
    server: Server, fetcher: Fetcher, tmp_path: Path
) -> None:
    """A sound file stays in the cache for those who know its size; a damaged one does not."""
    item = wanted(server.url + "/a.xbps")
    fetched(fetcher, item)
    with pytest.raises(VerifyError):
        fetcher.fetch([replace(item, size=item.size + 1, urls=(str(server.root / "a.xbps"),))])
    assert fetched(fetcher, item) == CONTENT
    assert [path for path, _ in server.requests] == ["/a.xbps"]
    kept = Cache(tmp_path / "cache").object_path(item.sha256)
    kept.chmod(0o644)
    kept.write_bytes(b"short")
    assert fetched(fetcher, item) == CONTENT


def test_a_file_that_was_changed_in_the_cache_is_fetched_again(
    server: Server, tmp_path: Path
) -> None:
    """Of the same size too, which nothing but its SHA-256 tells; with a warning."""
    events: list[Event] = []
    fetcher = Fetcher(Cache(tmp_path / "cache"), listener=events.append)
    item = wanted(server.url + "/a.xbps")
    fetched(fetcher, item)
    kept = Cache(tmp_path / "cache").object_path(item.sha256)
    kept.chmod(0o644)
    kept.write_bytes(CONTENT[:-1] + b"?")
    assert fetched(fetcher, item) == CONTENT
    (warning,) = [
        event.text for event in events if isinstance(event, Message) and event.level == "warning"
    ]
    assert "a.xbps in the cache was damaged" in warning
    kept.chmod(0o644)
    kept.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(FetchError) as caught:
        Fetcher(Cache(tmp_path / "cache"), offline=True).fetch([item])
    assert caught.value.code == "E-FETCH-OFFLINE"


def test_the_first_failure_ends_the_other_downloads(server: Server, fetcher: Fetcher) -> None:
    """Who stops does not wait for what is large and slow; what came of it is kept."""
    large = b"large" * 100_000
    (server.root / "large").write_bytes(large)
    server.faults["large"] = ("slow", 1)
    server.faults["a.xbps"] = ("forbidden", 1)
    slow = wanted(server.url + "/large", content=large)
    with pytest.raises(FetchError) as caught:
        fetcher.fetch([slow, wanted(server.url + "/a.xbps")])
    assert caught.value.code == "E-FETCH-FORBIDDEN"
    assert fetched(fetcher, slow) == large
    assert [path for path, _ in server.requests].count("/large") == 2


def test_going_on_takes_little_memory(server: Server, fetcher: Fetcher, tmp_path: Path) -> None:
    """What an earlier try brought is hashed in pieces."""
    large = bytes(2**25)
    (server.root / "large").write_bytes(large)
    item = wanted(server.url + "/large", content=large)
    part = Cache(tmp_path / "cache").part("incoming", f"{item.sha256}.part")
    part.write_bytes(large[:-10])
    del large
    tracemalloc.start()
    try:
        fetcher.fetch([item])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert server.requests[-1][1]["Range"] == f"bytes={2**25 - 10}-"
    # the server, in this very process, reads the file too
    assert most < 2**25 * 2


def test_a_full_disk_is_foreseen(server: Server, fetcher: Fetcher) -> None:
    """An impossible size is refused before the first request."""
    item = Wanted("a.xbps", (server.url + "/a.xbps",), 2**60, "0" * 64)
    with pytest.raises(DiskFullError) as caught:
        fetcher.fetch([item])
    assert caught.value.code == "E-DISKFULL-FORESEEN"
    assert server.requests == []


def test_two_fetchers_share_a_cache(server: Server, tmp_path: Path) -> None:
    """Side by side, the file is transferred once and both have it."""
    item = wanted(server.url + "/a.xbps")
    results: list[bytes] = []

    def fetch() -> None:
        results.append(fetched(Fetcher(Cache(tmp_path / "cache")), item))

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert results == [CONTENT] * 4
    assert len(server.requests) == 1


@pytest.mark.parametrize("text", ["ftp://host/x", "http://", "https:///path", "http://a /b"])
def test_what_is_not_a_repository(text: str) -> None:
    """Other schemes, and mirrors mixed with directories, are refused."""
    with pytest.raises(UsageError):
        Location.parse(text)


def test_credentials_are_not_shown() -> None:
    """User names and passwords stay out of messages and locks."""
    assert Location.parse("http://me:secret@host/x").name == "http://host/x"


def test_credentials_are_sent_to_their_host(server: Server, fetcher: Fetcher) -> None:
    """As Basic authentication, percent-encoding undone; not to where the host redirects to."""
    with_login = server.url.replace("//", "//me:s%40fe@")
    with serving(server.root) as other:
        server.faults["a.xbps"] = ("redirect", 1)
        server.redirect_to = other.url + "/a.xbps"
        assert fetched(fetcher, wanted(with_login + "/a.xbps")) == CONTENT
        sent = base64.b64encode(b"me:s@fe").decode()
        assert server.requests[0][1]["Authorization"] == f"Basic {sent}"
        assert "me:" not in server.requests[0][1]["Host"]
        assert "Authorization" not in other.requests[0][1]


@pytest.mark.parametrize("fault", ["truncate", "short-length", "flip", "stall", "html"])
def test_no_failure_shows_credentials(server: Server, tmp_path: Path, fault: Fault) -> None:
    """Of whatever kind, with one mirror or several, with and without a network."""
    with_login = server.url.replace("//", "//me:secret@")
    server.faults["a.xbps"] = (fault, 99)
    events: list[Event] = []
    for offline in (False, True):
        fetcher = Fetcher(
            Cache(tmp_path / "cache"),
            listener=events.append,
            pause=lambda _s: None,
            stall_seconds=stall_seconds(fault),
            offline=offline,
        )
        for item in (
            wanted(with_login + "/a.xbps"),
            wanted(with_login + "/a.xbps", with_login + "//a.xbps"),
        ):
            with pytest.raises(VoidimgError) as caught:
                fetcher.fetch([item])
            assert "secret" not in json.dumps(caught.value.as_json()) + str(caught.value)
    assert not any("secret" in event.text for event in events if isinstance(event, Message))
