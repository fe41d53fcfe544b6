"""Mirrors that lag behind, servers that ask for patience, and downloads that take too long."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.command import environment
from tests.http_server import Server, serving
from voidimg.errors import CollectedError, FetchError, PackageError
from voidimg.events import Event, Message, Progress
from voidimg.fetch import Cache, Fetcher, Location, Wanted

CONTENT = bytes(range(256)) * 4000
MONDAY = 1_700_000_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    root = tmp_path / "served"
    for mirror, epoch in (("old", MONDAY), ("new", MONDAY + 86400)):
        (root / mirror).mkdir(parents=True)
        repodata = root / mirror / "x86_64-repodata"
        repodata.write_bytes(mirror.encode())
        os.utime(repodata, (epoch, epoch))
        (root / mirror / "a.xbps").write_bytes(CONTENT)
    with serving(root) as running:
        yield running


class Watched:
    """A fetcher that does not sleep, with what it told and how long it would have slept."""

    def __init__(self, cache: Path, total_seconds: float = 60, *, offline: bool = False):
        self.events: list[Event] = []
        self.pauses: list[float] = []
        self.fetcher = Fetcher(
            Cache(cache),
            listener=self.events.append,
            pause=self.pauses.append,
            stall_seconds=5,
            total_seconds=total_seconds,
            offline=offline,
        )

    def warnings(self) -> list[str]:
        return [e.text for e in self.events if isinstance(e, Message) and e.level == "warning"]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "cache")


def location(server: Server, *mirrors: str) -> Location:
    return Location.parse(" ".join(f"{server.url}/{mirror}" for mirror in mirrors))


def wanted(server: Server, name: str = "old/a.xbps") -> Wanted:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    return Wanted("a.xbps", (f"{server.url}/{name}",), len(CONTENT), sha256)


def test_mirrors_of_one_state_are_all_kept(server: Server, watched: Watched) -> None:
    """In the order in which they were given; a dead one comes last, and is named."""
    (server.root / "old" / "x86_64-repodata").write_bytes(b"new")
    server.faults["old/x86_64-repodata"] = ("drop", 1)
    found = watched.fetcher.repodata(location(server, "old", "new"), "x86_64")
    assert found is not None
    assert found.location.urls == (f"{server.url}/new", f"{server.url}/old")
    (warning,) = watched.warnings()
    assert f"mirror left: {server.url}/old/x86_64-repodata: the connection broke" in warning


def refuse_new(content: bytes, where: str) -> None:
    """Takes only what the old mirror has."""
    if content != b"old":
        raise PackageError("damaged", code="REPODATA", where=where)


def test_a_damaged_index_is_that_of_its_mirror(server: Server, watched: Watched) -> None:
    """The next one is taken, and what was damaged is not kept for a later answer 304."""
    at = location(server, "new")
    with pytest.raises(PackageError, match="damaged"):
        watched.fetcher.repodata(at, "x86_64", refuse_new)
    assert watched.fetcher.repodata(at, "x86_64") is not None
    assert "If-None-Match" not in server.requests[-1][1]
    found = watched.fetcher.repodata(location(server, "new", "old"), "x86_64")
    assert found is not None
    assert found.content == b"new"  # kept, and not sent again
    assert "If-None-Match" in dict(server.requests)["/new/x86_64-repodata"]
    (server.root / "new" / "x86_64-repodata").write_bytes(b"newer")
    found = watched.fetcher.repodata(location(server, "new", "old"), "x86_64", refuse_new)
    assert found is not None
    assert found.content == b"old"
    assert f"mirror left: {server.url}/new/x86_64-repodata: damaged" in watched.warnings()[-1]


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("7", 7, 7),
        ("99999", 60, 60),
        ("0", 0.5, 0.5),
        ("soon", 0.5, 0.5),
        ("-5", 0.5, 0.5),
        ("\x1f7", 7, 7),
        ("now", 0.5, 1),
        ("Fri, 31 Dec 2100 23:59:59 GMT", 60, 60),
    ],
)
def test_a_busy_server_is_given_time_within_bounds(
    server: Server, tmp_path: Path, asked: str, least: float, most: float
) -> None:
    """Retry-After as seconds or date; nonsense and too little are a short pause, too much a minute.

    The whole download ends in its time all the same.
    """
    watched = Watched(tmp_path / "cache", total_seconds=600)
    # made here: the name of a test must not have the time in it
    server.retry_after = formatdate(None, usegmt=True) if asked == "now" else asked
    server.faults["a.xbps"] = ("busy", 1)
    item = wanted(server)
    assert watched.fetcher.fetch([item])[item.sha256].read_bytes() == CONTENT
    assert len(watched.pauses) == 1
    assert least <= watched.pauses[0] <= most


def test_a_server_that_stays_busy_is_left(server: Server, watched: Watched) -> None:
    """After the third time."""
    server.faults["a.xbps"] = ("busy", 99)
    with pytest.raises(FetchError, match="503") as caught:
        watched.fetcher.fetch([wanted(server)])
    assert caught.value.code == "E-FETCH-STATUS"
    assert len(server.requests) == 3


def test_all_downloads_together_end_in_time(server: Server, tmp_path: Path) -> None:
    """A server that is slow, but not slow enough to be left, does not hold a build for ever."""
    watched = Watched(tmp_path / "cache", total_seconds=1.5)
    server.faults["a.xbps"] = ("slow", 99)
    with pytest.raises(FetchError) as caught:
        watched.fetcher.fetch([wanted(server)])
    assert caught.value.code == "E-FETCH-TIME-LIMIT"
    (part,) = (tmp_path / "cache" / "incoming").glob("*.part")
    assert 0 < part.stat().st_size < len(CONTENT)
    server.faults.clear()
    again = Watched(tmp_path / "cache")
    again.fetcher.fetch([wanted(server)])
    assert server.requests[-1][1]["Range"].startswith("bytes=")


def test_progress_is_told_within_a_big_file(server: Server, watched: Watched) -> None:
    """Rising to the whole, and only once there."""
    server.faults["a.xbps"] = ("slow", 1)
    watched.fetcher.fetch([wanted(server)])
    told = [event.done for event in watched.events if isinstance(event, Progress)]
    assert len(told) > 5
    assert told == sorted(told)
    assert told[-1] == len(CONTENT)
    assert told.count(len(CONTENT)) == 1


def test_all_missing_files_are_named(server: Server, watched: Watched) -> None:
    """Not only the first one that is asked for."""
    items = [
        Wanted(name, (f"{server.url}/{name}",), 5, hashlib.sha256(name.encode()).hexdigest())
        for name in ("one.xbps", "two.xbps")
    ]
    with pytest.raises(CollectedError) as caught:
        watched.fetcher.fetch(items)
    assert [error.code for error in caught.value.errors] == ["E-FETCH-NOT-FOUND"] * 2


def test_offline_nobody_is_asked(server: Server, tmp_path: Path) -> None:
    """Only the cache is; what it lacks is an error in words."""
    offline = Watched(tmp_path / "cache", offline=True)
    at = location(server, "new")
    with pytest.raises(FetchError) as caught:
        offline.fetcher.repodata(at, "x86_64")
    assert caught.value.code == "E-FETCH-OFFLINE"
    with pytest.raises(FetchError) as caught:
        offline.fetcher.fetch([wanted(server)])
    assert caught.value.code == "E-FETCH-OFFLINE"
    assert server.requests == []
    found = Watched(tmp_path / "cache").fetcher.repodata(at, "x86_64")
    assert offline.fetcher.repodata(at, "x86_64") == found


def test_a_proxy_of_the_environment_is_asked(
    server: Server, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every host but those of no_proxy."""
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    away = "http://mirror.invalid/old/a.xbps"
    item = replace(wanted(server), urls=(away,))
    assert watched.fetcher.fetch([item])[item.sha256].read_bytes() == CONTENT
    watched.fetcher.repodata(location(server, "new"), "x86_64")
    assert [path for path, _ in server.requests] == [away, "/new/x86_64-repodata"]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody knows, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2200, 1, 1, tzinfo=UTC))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_tls_with_a_certificate_of_ones_own(
    tmp_path: Path, server: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown it is refused; named in SSL_CERT_FILE it is good, and limits hold as without TLS."""
    monkeypatch.setenv("no_proxy", "*")
    with serving(server.root, certificate) as secure:
        with pytest.raises(FetchError, match="SSL_CERT_FILE") as caught:
            Watched(tmp_path / "cache").fetcher.fetch([wanted(secure)])
        assert caught.value.code == "E-FETCH-TLS"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        watched = Watched(tmp_path / "cache")
        secure.faults["a.xbps"] = ("endless-interim", 3)
        with pytest.raises(FetchError) as caught:
            watched.fetcher.fetch([wanted(secure)])
        assert caught.value.code == "E-FETCH-ENDLESS"
        item = wanted(secure)
        assert watched.fetcher.fetch([item])[item.sha256].read_bytes() == CONTENT


def test_a_proxy_is_told_who_asks(
    server: Server, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy may be named without its scheme, and with a user whom no message shows."""
    monkeypatch.setenv("http_proxy", server.url.removeprefix("http://"))
    away = "http://mirror.invalid/old"
    item = replace(wanted(server), urls=(f"{away}/a.xbps",))
    assert watched.fetcher.fetch([item])[item.sha256].read_bytes() == CONTENT
    assert "Proxy-Authorization" not in server.requests[-1][1]
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:secret@"))
    assert watched.fetcher.repodata(Location.parse(away), "x86_64") is not None
    sent = base64.b64encode(b"me:secret").decode()
    assert server.requests[-1][1]["Proxy-Authorization"] == f"Basic {sent}"
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    with pytest.raises(FetchError) as caught:
        watched.fetcher.repodata(Location.parse(away), "x86_64")
    assert caught.value.code == "E-FETCH-PROXY"
    assert "secret" not in str(caught.value)


def test_hosts_without_proxy_may_have_users(
    server: Server, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user name in the URL does not change which host it is."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with_login = server.url.replace("//", "//me:secret@")
    assert watched.fetcher.repodata(Location.parse(f"{with_login}/new"), "x86_64") is not None


def test_a_disk_that_is_full_is_told(server: Server, tmp_path: Path) -> None:
    """Met on the way, not foreseen: one error in words; with room again the download goes on."""
    code = """
import sys
from pathlib import Path
from voidimg.errors import DiskFullError
from voidimg.events import StepStarted
from voidimg.fetch import Cache, Fetcher, Wanted

url, sha256, size, directory = sys.argv[1:]
filler = Path(directory, "filler")

def fill(event):
    if isinstance(event, StepStarted):
        with filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)) == 4096:
                if file.tell() >= 2**20 * 5 // 2:
                    return

item = Wanted("a.xbps", (url,), int(size), sha256)
try:
    Fetcher(Cache(Path(directory)), listener=fill).fetch([item])
except DiskFullError as error:
    print(error.code)
filler.unlink()
print(Fetcher(Cache(Path(directory))).fetch([item])[sha256].stat().st_size)
"""
    mount = 'mount -t tmpfs -o size=3m tmpfs "$0" && exec "$@"'
    place = tmp_path / "small"
    place.mkdir()
    item = wanted(server)
    words = [sys.executable, "-c", code, item.urls[0], item.sha256, str(item.size), str(place)]
    ended = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, place, *words],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stderr == ""
    assert ended.stdout.split() == ["E-DISKFULL-FULL", str(len(CONTENT))]
    assert "Range" in server.requests[-1][1]
