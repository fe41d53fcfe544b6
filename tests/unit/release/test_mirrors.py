"""Mirrors of image sets beside their origin: every state by its name, and nothing that hangs."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import voidimg
from tests.http_server import Server, serving
from tests.unit.release.conftest import DATE, FILES
from voidimg.errors import FetchError, UsageError, VerifyError
from voidimg.identity import ReleaseDate
from voidimg.release.mirror_list import read_mirror_list
from voidimg.release.mirror_metrics import mirror_metrics
from voidimg.release.mirror_states import MirrorStatus
from voidimg.release.mirrors import (
    ExpectedSet,
    check_mirrors,
    expected_of_directory,
    expected_of_url,
    newest_of_mirrors,
    require_good,
)
from voidimg.signing.keys import ReleaseKey, create_release_key, read_public_key
from voidimg.signing.signing import sign_set

OLD = ReleaseDate.parse("20230628")
IMAGE = "void-rpi-aarch64-20240314.img.xz"


@pytest.fixture
def origin(tmp_path: Path, image_set: Path, key: ReleaseKey) -> Path:
    """The origin: two signed sets, the newer one current."""
    sign_set(image_set, key.secret_path)
    older = image_set.parent / str(OLD)
    older.mkdir()
    for name, content in FILES.items():
        (older / name.replace(str(DATE), str(OLD))).write_bytes(content + b"old")
    sign_set(older, create_release_key(OLD, tmp_path, passphrase=None).secret_path)
    (image_set.parent / "current").symlink_to(str(DATE))
    return image_set.parent


@pytest.fixture
def expected(origin: Path, key: ReleaseKey) -> ExpectedSet:
    """What every mirror should have."""
    return expected_of_directory(origin, None, read_public_key(key.public_path))


@pytest.fixture
def live(tmp_path: Path, origin: Path) -> Path:
    """A mirror of it: current is a second copy there."""
    top = tmp_path / "mirror" / "live"
    shutil.copytree(origin, top)
    assert not (top / "current").is_symlink()
    (top.parent / "current").mkdir()
    (top.parent / "current" / "otime").write_text(str(int(time.time()) - 90))
    return top


@pytest.fixture
def server(live: Path) -> Iterator[Server]:
    """Serves the mirror."""
    with serving(live.parent) as running:
        yield running


def _copied(live: Path, date: ReleaseDate, *names: str) -> None:
    """Put files of the set of `date` into current."""
    for name in names:
        shutil.copy(live / str(date) / name, live / "current" / name)


def _old_current(live: Path) -> None:
    shutil.rmtree(live / "current")
    shutil.copytree(live / str(OLD), live / "current")


def _not_there_yet(live: Path) -> None:
    _old_current(live)
    shutil.rmtree(live / str(DATE))


def _no_current(live: Path) -> None:
    shutil.rmtree(live / "current")


def _nothing(live: Path) -> None:
    for name in ("current", str(DATE), str(OLD)):
        shutil.rmtree(live / name)


def _old_sums_new_images(live: Path) -> None:
    _copied(live, OLD, "sha256sum.txt", "sha256sum.sig")


def _changed(name: str) -> Callable[[Path], None]:
    def change(live: Path) -> None:
        path = live / name
        path.write_bytes(path.read_bytes() + b"x")

    return change


def _garbled(live: Path) -> None:
    (live / "current" / "sha256sum.txt").write_text("nothing\n")


CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "as it should be": (lambda _live: None, "good", "which is current"),
    "not promoted yet": (_old_current, "old", "its current is the set of 20230628"),
    "not copied yet": (_not_there_yet, "old", "not yet that of 20240314"),
    "no current": (_no_current, "partial", "no current"),
    "nothing": (_nothing, "absent", "no image set"),
    "no dated directory": (lambda live: shutil.rmtree(live / str(DATE)), "partial", "no directory"),
    "an image is missing": (
        lambda live: (live / str(DATE) / IMAGE).unlink(), "partial", "not complete"
    ),
    "the signature is missing": (
        lambda live: (live / str(DATE) / "sha256sum.sig").unlink(), "partial", "not complete"
    ),
    "an image is missing in current": (
        lambda live: (live / "current" / IMAGE).unlink(), "between", "between two sets"
    ),
    "an old signature": (
        lambda live: _copied(live, OLD, "sha256sum.sig"), "between", "20230628"
    ),
    "old checksums": (lambda live: _copied(live, OLD, "sha256sum.txt"), "between", "20230628"),
    "no checksums": (
        lambda live: (live / "current" / "sha256sum.txt").unlink(), "between", "between two sets"
    ),
    "old checksums, new images": (_old_sums_new_images, "between", "between two sets"),
    "a longer image": (_changed(f"{DATE}/{IMAGE}"), "different bytes", "not the origin's"),
    "a longer image in current": (_changed(f"current/{IMAGE}"), "different bytes", "not the"),
    "other checksums": (_changed(f"{DATE}/sha256sum.txt"), "different bytes", "not the origin's"),
    "garbled checksums": (_garbled, "different bytes", "not the origin's"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_state(live: Path, server: Server, expected: ExpectedSet, name: str) -> None:
    """By names and sizes; a mirror says how old the state is that it copied."""
    change, state, words = CASES[name]
    change(live)
    (found,) = check_mirrors([f"{server.url}/live/"], expected)
    assert (found.state, found.what) == (state, found.what), found
    assert words in found.what
    assert found.lag_seconds is not None
    assert 90 <= found.lag_seconds < 200
    if state in ("partial", "between", "different bytes") and "old" not in name:
        at_fault = found.missing + found.different
        assert at_fault or "no" in name
    if state != "good":
        with pytest.raises(VerifyError if state == "different bytes" else FetchError):
            require_good([found])


def test_bytes_on_demand(live: Path, server: Server, expected: ExpectedSet) -> None:
    """A file of the right size with other bytes is seen only by reading it."""
    for place in (str(DATE), "current"):
        path = live / place / IMAGE
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"?")
        (quick,) = check_mirrors([f"{server.url}/live"], expected)
        assert quick.state == "good"
        (found,) = check_mirrors([f"{server.url}/live"], expected, read_bytes=True)
        assert (found.state, found.different) == ("different bytes", (f"{place}/{IMAGE}",))
        path.write_bytes(content)
    (found,) = check_mirrors([f"{server.url}/live"], expected, read_bytes=True)
    assert found.state == "good"


def test_many_mirrors_and_dead_ones_among_them(server: Server, expected: ExpectedSet) -> None:
    """In their order, and within the time of one: a mirror that hangs delays no other."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dead = f"http://127.0.0.1:{silent.getsockname()[1]}/live"
        urls = [dead, f"{server.url}/live", "http://127.0.0.1:9/live"] * 4
        began = time.monotonic()
        found = check_mirrors(urls, expected, timeout_seconds=2)
    assert time.monotonic() - began < 12
    assert [one.state for one in found] == ["unreachable", "good", "unreachable"] * 4
    assert [one.url for one in found] == urls


def test_what_does_not_answer_properly_is_unreachable(
    server: Server, expected: ExpectedSet
) -> None:
    """A page in place of the file, more than is taken, a server that forbids."""
    for fault in ("html", "forbidden", "status-503"):
        server.faults = {f"{DATE}/sha256sum.txt": (fault, 9)}
        (found,) = check_mirrors([f"{server.url}/live"], expected, timeout_seconds=5)
        assert found.state == "unreachable", fault


def test_without_an_origin_the_newest_set_counts(
    tmp_path: Path, live: Path, server: Server, origin: Path, key: ReleaseKey
) -> None:
    """Of those whose signature is good; an older mirror is told as such."""
    del key
    behind = tmp_path / "behind" / "live"
    shutil.copytree(live, behind)
    _old_current(behind)
    with serving(behind.parent) as other, pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)  # where the keys are
        urls = [f"{other.url}/live", f"{server.url}/live"]
        expected = newest_of_mirrors(urls, None)
        assert expected.date == str(DATE)
        assert [one.state for one in check_mirrors(urls, expected)] == ["old", "good"]
        (live / "current" / "sha256sum.txt").write_text("x")
        assert newest_of_mirrors(urls, None).date == str(OLD)
    del origin


def test_the_origin_may_be_a_server(server: Server, expected: ExpectedSet, key: ReleaseKey) -> None:
    """And a set of a date that is not current is looked for in its directory only."""
    trusted = read_public_key(key.public_path)
    asked = expected_of_url(f"{server.url}/live", None, trusted)
    assert (asked.date, asked.is_current, asked.signature, dict(asked.sizes)) == (
        expected.date, True, expected.signature, dict(expected.sizes)
    )  # fmt: skip
    older = read_public_key(key.public_path.with_name(f"void-release-{OLD}.pub"))
    asked = expected_of_url(f"{server.url}/live", OLD, older)
    assert (asked.date, asked.is_current) == (str(OLD), False)
    (found,) = check_mirrors([f"{server.url}/live"], asked)
    assert (found.state, found.current) == ("good", None)


def test_what_is_no_url_is_told_before_anything_is_asked(expected: ExpectedSet) -> None:
    """A path, a list too long."""
    for urls in (["/srv/live"], ["ftp://a.example"], ["http://127.0.0.1:9/live"] * 501):
        with pytest.raises(UsageError):
            check_mirrors(urls, expected)


def test_metrics_have_their_names(expected: ExpectedSet) -> None:
    """Base units, one sample a mirror, nothing invented for what is not known."""
    text = mirror_metrics(
        [
            MirrorStatus("http://a/li\"ve", "good", "", "20240314", 90),
            MirrorStatus("http://b", "different bytes", "", "20230628", None, ("x",), ("y", "z")),
            MirrorStatus("http://c", "unreachable", ""),
        ],
        expected,
    )  # fmt: skip
    lines = text.splitlines()
    assert 'voidimg_mirror_up{mirror="http://a/li\\"ve"} 1' in lines
    assert 'voidimg_mirror_up{mirror="http://c"} 0' in lines
    assert [line for line in lines if line.startswith("voidimg_mirror_lag")] == [
        'voidimg_mirror_lag_seconds{mirror="http://a/li\\"ve"} 90'
    ]
    assert 'voidimg_mirror_files_missing{mirror="http://b"} 1' in lines
    assert 'voidimg_mirror_files_different{mirror="http://b"} 2' in lines
    assert 'voidimg_current_date_seconds{mirror="http://b"} 1687910400' in lines
    assert f'voidimg_set_artifacts{{set="20240314"}} {len(FILES)}' in lines


def test_the_verb(tmp_path: Path, origin: Path, server: Server) -> None:
    """Against the output directory; the table, the JSON, the metrics, the exit status."""
    url = f"{server.url}/live"
    prom = tmp_path / "mirrors.prom"
    words = ("--out", origin, "mirror", "check", url, "--prometheus", prom)
    ended = voidimg(*words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "good" in ended.stdout
    assert "voidimg_mirror_up" in prom.read_text()
    shutil.rmtree(server.root / "live" / "current")
    ended = voidimg(*words, "--json", cwd=tmp_path)
    assert ended.returncode == 5
    (status,) = json.loads(ended.stdout)["mirrors"]
    assert status["state"] == "partial"
    assert "E-FETCH-MIRRORS" in ended.stderr


@pytest.mark.parametrize(
    ("content", "urls"),
    [
        (json.dumps([{"base_url": "https://a/", "enabled": True}, {"base_url": "https://b/void/"},
                     {"base_url": "https://c/", "enabled": False}, 7]),
         ("https://a/live", "https://b/void/live")),
        ("EU\thttps://a/\tFinland\t1\nNA\thttps://b/x\tUSA\t2\n",
         ("https://a/live", "https://b/x/live")),
        ("# ours\nhttps://a/sets\n\nhttps://b/live\n", ("https://a/sets", "https://b/live")),
    ],
)  # fmt: skip
def test_lists_of_mirrors(tmp_path: Path, content: str, urls: tuple[str, ...]) -> None:
    """In the forms of Void's own list, and as plain lines."""
    path = tmp_path / "list"
    path.write_text(content)
    assert read_mirror_list(path) == urls


@pytest.mark.parametrize("content", [b"", b"[]", b"[1", b"\xff\xfe", b"[" * 9999, b"{}\t"])
def test_what_lists_no_mirror_is_told(tmp_path: Path, content: bytes) -> None:
    """Whatever it is; nothing is asked then."""
    path = tmp_path / "list"
    path.write_bytes(content)
    if content == b"{}\t":  # a line that is no URL
        ended = voidimg("mirror", "check", "--list", path)
        assert (ended.returncode, "E-USAGE-URL" in ended.stderr) == (2, True)
        return
    with pytest.raises(UsageError) as caught:
        read_mirror_list(path)
    assert caught.value.code == "E-USAGE-MIRROR-LIST"


def test_the_top_of_a_mirror_is_not_where_its_sets_are(
    server: Server, expected: ExpectedSet
) -> None:
    """The likeliest mistake is told with what was meant."""
    (found,) = check_mirrors([server.url], expected)
    assert found.state == "absent"
    assert f"there is one at {server.url}/live" in found.what
