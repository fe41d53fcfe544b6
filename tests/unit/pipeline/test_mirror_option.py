"""`--mirror`: the platform's own repositories from another server, in every verb that resolves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import voidimg
from tests.http_server import Server, serving
from tests.unit.pipeline.shop import Shop
from voidimg.errors import FetchError, UsageError, VerifyError
from voidimg.events import Event, Message
from voidimg.fetch import Location
from voidimg.pipeline.locks import explain_package, lock_platforms
from voidimg.pipeline.options import BuildOptions
from voidimg.supply.pin import sources_to_update
from voidimg.supply.sources import Sources
from voidimg.supply.state import RepositoryState
from voidimg.supply.status import repository_status
from voidimg.supply.supply import LockedSupply, plan_supply
from voidimg.xbps.repository.local import read_repodata
from voidimg.xbps.repository.repodata import Repodata

OWN = "https://repo-default.voidlinux.org/current/aarch64"


@pytest.fixture
def top(shop: Shop, tmp_path: Path) -> Path:
    """A mirror whose `current/aarch64` is the shop."""
    top = tmp_path / "mirror"
    (top / "current").mkdir(parents=True)
    (top / "current" / "aarch64").symlink_to(shop.path)
    return top


@pytest.fixture
def server(top: Path) -> Iterator[Server]:
    with serving(top) as running:
        yield running


def sources(shop: Shop, place: Path, *mirrors: str | Path) -> Sources:
    """The board's own repositories from `mirrors`."""
    words = [str(mirror) for mirror in mirrors]
    return Sources.parse(cache=place / "cache", mirrors=words, repo_keys=[shop.key_plist])


def test_a_lock_does_not_say_which_mirror(
    shop: Shop, server: Server, top: Path, tmp_path: Path
) -> None:
    """By HTTP, from a directory, from several: the same bytes, under the names of Void's own."""
    boards = [shop.board(), shop.board("board-musl")]
    choices: list[tuple[str | Path, ...]]
    choices = [(server.url,), (top,), (server.url, f"{server.url}/nowhere"), (f"file://{top}",)]
    found = [
        lock_platforms(boards, sources(shop, tmp_path / str(number), *mirrors)).encode()
        for number, mirrors in enumerate(choices)
    ]
    assert set(found) == {found[0]}
    assert {one["url"] for one in json.loads(found[0])["repositories"]} == {OWN}
    assert any(path == "/current/aarch64/aarch64-musl-repodata" for path, _ in server.requests)


def test_a_copy_with_staged_packages_is_read_as_the_server_is(
    shop: Shop, server: Server, top: Path, tmp_path: Path
) -> None:
    """XBPS takes staged packages of directories; a mirror in a directory is none of those."""
    before = read_repodata(shop.path, "aarch64")
    shop.put("lib", "2.0_1", archs=["aarch64"])
    after = read_repodata(shop.path, "aarch64")
    staged = Repodata(before.index, {"lib": after.index["lib"]}, after.meta)
    (shop.path / "aarch64-repodata").write_bytes(staged.encode())
    served = lock_platforms([shop.board()], sources(shop, tmp_path / "a", server.url))
    copied = lock_platforms([shop.board()], sources(shop, tmp_path / "b", top))
    assert served.encode() == copied.encode()
    assert "lib-1.0_1" in [one.pkgver for one in copied.packages]


def test_packages_come_from_the_mirror_with_a_lock_too(
    shop: Shop, server: Server, top: Path, tmp_path: Path
) -> None:
    """Also when the mirror is another one than that which the lock was made with."""
    board = shop.board()
    lock = lock_platforms([board], sources(shop, tmp_path / "a", top))
    state = RepositoryState(sources(shop, tmp_path / "b", server.url), lambda _event: None)
    supply = LockedSupply(board.recipe, lock, state, tmp_path / "x.lock.json")
    assert len(supply.fetch()) == 4
    assert all(path.startswith("/current/aarch64/") for path, _ in server.requests)
    local = RepositoryState(sources(shop, tmp_path / "c", top), lambda _event: None)
    assert len(LockedSupply(board.recipe, lock, local, tmp_path / "x.lock.json").fetch()) == 4
    assert len(plan_supply(board.recipe, state).fetch()) == 4


def test_an_update_asks_the_mirror(shop: Shop, server: Server, tmp_path: Path) -> None:
    """Whether the lock was made with it, with another, or from quite other repositories."""
    board = shop.board()
    asked = sources(shop, tmp_path, server.url)
    for old_sources in (asked, replace(asked, mirrors=(), repositories=_named(shop))):
        old = lock_platforms([board], old_sources)
        new = lock_platforms([board], sources_to_update(old, [board], asked))
        assert {one.url for one in new.repositories} == {OWN}


def _named(shop: Shop) -> tuple[Location, ...]:
    return Sources.parse(cache=shop.root, repositories=[str(shop.path)]).repositories


def test_a_lock_of_other_repositories_has_no_use_for_mirrors(
    shop: Shop, top: Path, tmp_path: Path
) -> None:
    """Told before anything is asked for."""
    board = shop.board()
    asked = sources(shop, tmp_path, top)
    lock = lock_platforms([board], replace(asked, mirrors=(), repositories=_named(shop)))
    state = RepositoryState(asked, lambda _event: None)
    with pytest.raises(UsageError, match="no package of the lock is from the platform's own"):
        LockedSupply(board.recipe, lock, state, tmp_path / "x.lock.json")


def test_a_mirror_without_the_repository_is_named(
    shop: Shop, server: Server, tmp_path: Path
) -> None:
    """By its own URL or path, not by the name of what it should be a copy of."""
    (tmp_path / "bare").mkdir()
    for mirror, code in ((f"{server.url}/x", "NO-ARCH"), (tmp_path / "bare", "NO-DIRECTORY")):
        with pytest.raises(FetchError) as caught:
            lock_platforms([shop.board()], sources(shop, tmp_path, mirror))
        assert caught.value.code == f"E-FETCH-{code}"
        assert caught.value.where == f"{mirror}/current/aarch64"


def test_a_key_that_nobody_vouched_for_is_refused_where_it_was_read(
    shop: Shop, top: Path, tmp_path: Path
) -> None:
    """The mirror is at fault, not Void's own server."""
    with pytest.raises(VerifyError) as caught:
        lock_platforms([shop.board()], replace(sources(shop, tmp_path, top), repo_keys=()))
    assert caught.value.code == "E-VERIFY-UNTRUSTED-KEY"
    assert str(top) in str(caught.value.where)


def test_added_repositories_stay_where_they_are(shop: Shop, server: Server, tmp_path: Path) -> None:
    """A mirror is of the platform's own alone."""
    other = Shop(tmp_path / "other")
    other.put("own")
    asked = Sources.parse(
        cache=tmp_path / "cache",
        mirrors=[server.url],
        added=[str(other.path)],
        repo_keys=[shop.key_plist],
    )
    lock = lock_platforms([shop.board(rootfs=["base", "own"])], asked)
    assert [one.url for one in lock.repositories] == [str(other.path), OWN]


def test_a_repository_that_the_mirror_lacks_is_told(
    shop: Shop, server: Server, tmp_path: Path
) -> None:
    """Of two own repositories the mirror has one."""
    board = shop.board()
    both = replace(
        board,
        recipe=board.recipe.model_copy(update={"repositories": (OWN, f"{OWN}/nonfree")}),
    )
    events: list[Event] = []
    asked = sources(shop, tmp_path, server.url)
    lock_platforms([both], asked, listener=events.append)
    (warning,) = [one.text for one in events if isinstance(one, Message)]
    assert f"{server.url}/current/aarch64/nonfree has nothing for aarch64" in warning


def test_mirrors_and_other_repositories_exclude_each_other(tmp_path: Path) -> None:
    """In the Python API as in the command."""
    with pytest.raises(UsageError, match="-r replaces them"):
        BuildOptions.parse(
            cache=tmp_path, out=tmp_path, mirrors=["http://m"], repositories=["http://r"]
        )


def test_a_mirror_that_lags_is_named(shop: Shop, server: Server, top: Path, tmp_path: Path) -> None:
    """It is the mirror that is old, and not the repository that it is a copy of."""
    (shop.path / "otime").write_text("1600000000\n")
    shop.date(1_600_000_000)
    for mirror in (server.url, str(top)):
        asked = replace(sources(shop, tmp_path, mirror), max_age_seconds=3600)
        events: list[Event] = []
        lock_platforms([shop.board()], asked, listener=events.append)
        told = [one.text for one in events if isinstance(one, Message)]
        assert len(told) == 2
        assert all(f"{mirror}/current/aarch64" in text for text in told)
        assert not any(OWN in text for text in told)


def test_why_and_status(shop: Shop, server: Server, tmp_path: Path) -> None:
    """The other readers of repositories; the status is of the mirror, and says so."""
    asked = sources(shop, tmp_path, server.url)
    assert explain_package(shop.board(), "lib", asked).step.repository == OWN
    (found,), _ = repository_status([OWN], ["aarch64"], asked)
    assert (found.url, found.packages) == (f"{server.url}/current/aarch64", 4)


@pytest.mark.parametrize(
    "words",
    [
        ["lock", "board", "--profile", "little", "-o", "x.json"],
        ["why", "board", "lib", "--profile", "little"],
        ["show", "board", "--profile", "little", "--plan"],
        ["repo", "status", OWN, "--arch", "aarch64"],
        ["build", "board", "--profile", "little"],
    ],
    ids=lambda words: words[0],
)
def test_the_verbs_take_it(words: list[str], shop: Shop, server: Server, tmp_path: Path) -> None:
    """Each asks the mirror, and nobody else; the build fails where it has no shell to run."""
    shop.board()
    more: list[str | Path] = [] if words[0] == "repo" else ["--repo-key", shop.key_plist]
    if words[0] != "repo":
        more += ["--platforms-and-profiles", shop.root / "spec"]
    ended = voidimg(
        "--cache", tmp_path / "c", *words, *more, "--mirror", server.url,
        cwd=tmp_path,
        env={"http_proxy": "", "https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"},
    )  # fmt: skip
    assert (ended.returncode == 0) == (words[0] != "build"), ended.stderr
    assert "E-FETCH" not in ended.stderr
    assert any(path == "/current/aarch64/aarch64-repodata" for path, _ in server.requests)
    if words[0] in ("show", "repo"):
        assert f"{server.url}/current/aarch64" in ended.stdout
