"""A repository does not go back: what was used before is remembered, and lying mirrors are left."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import voidimg
from tests.http_server import Server, serving
from tests.unit.pipeline.shop import Shop
from voidimg.errors import VerifyError
from voidimg.events import Event, Message
from voidimg.fetch import Cache, Location
from voidimg.fetch.upkeep import clear_cache
from voidimg.pipeline.locks import lock_platforms
from voidimg.supply.lock import Lock
from voidimg.supply.seen_versions import SeenVersions
from voidimg.supply.sources import Sources
from voidimg.supply.state import RepositoryState
from voidimg.supply.supply import plan_supply

AT = Location.parse("http://mirror.example/current http://second.example/current")


@pytest.fixture
def old(shop: Shop, tmp_path: Path) -> Path:
    """The repository as it was, before `lib` had its fault mended."""
    kept = tmp_path / "old"
    shutil.copytree(shop.path, kept)
    shop.put("lib", "1.1_1")
    return kept


@pytest.fixture
def mirrors(shop: Shop, old: Path) -> Iterator[list[Server]]:
    """A lying mirror that serves the old state, and four honest ones."""
    with ExitStack() as stack:
        yield [stack.enter_context(serving(root)) for root in (old, *[shop.path] * 4)]


def sources_of(shop: Shop, cache: Path, *servers: Server) -> Sources:
    return Sources.parse(
        cache=cache, repositories=[" ".join(one.url for one in servers)], repo_keys=[shop.key_plist]
    )


def lib_of(lock: Lock) -> list[str]:
    return [one.pkgver for one in lock.packages if one.name == "lib"]


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("strict", [False, True])
def test_one_lying_mirror_among_four_honest_ones(
    shop: Shop, old: Path, mirrors: list[Server], tmp_path: Path, place: int, strict: bool
) -> None:
    """Its date is the youngest, its packages are signed: it is named and left all the same."""
    lying, *honest = mirrors
    for path in old.glob("*-repodata"):
        os.utime(path, (time.time() + 80000,) * 2)
    servers = [*honest[:place], lying, *honest[place:]]
    sources = sources_of(shop, tmp_path / "cache", *servers)
    if strict:
        sources = replace(sources, require_consistent=True, max_age_seconds=86400)
    events: list[Event] = []
    lock = lock_platforms([shop.board()], sources, listener=events.append)
    assert lib_of(lock) == ["lib-1.1_1"]
    (left,) = [e.text for e in events if isinstance(e, Message) and e.level == "warning"]
    assert lying.url in left


@pytest.mark.parametrize("known", ["alone", "among others"])
def test_going_back_is_refused_and_taken_only_on_demand(
    shop: Shop, old: Path, tmp_path: Path, known: str
) -> None:
    """By the one mirror that was used, or by one of several; what is newer is taken instead."""
    with serving(shop.path) as server, serving(old) as other:
        first = (server,) if known == "alone" else (other, server, server)
        lock_platforms([shop.board()], sources_of(shop, tmp_path / "cache", *first))
        if known == "alone":
            server.root = old
        after = sources_of(shop, tmp_path / "cache", server if known == "alone" else other)
        with pytest.raises(VerifyError, match=r"lib-1\.0_1 after lib-1\.1_1") as caught:
            lock_platforms([shop.board()], after)
        assert caught.value.code == "E-VERIFY-OLDER"
        assert "--allow-older-repodata" in str(caught.value)
        events: list[Event] = []
        asked = replace(after, allow_older=True)
        lock = lock_platforms([shop.board()], asked, listener=events.append)
        assert lib_of(lock) == ["lib-1.0_1"]
        told = [e.text for e in events if isinstance(e, Message) and e.level == "warning"]
        assert any("taken as asked for" in text for text in told)
        assert lib_of(lock_platforms([shop.board()], after)) == ["lib-1.0_1"]  # it is the state now


def test_the_cache_knows_better_than_the_first_mirror(
    shop: Shop, old: Path, tmp_path: Path
) -> None:
    """Between two the user's order decides, but not against what was used before."""
    with serving(shop.path) as server, serving(old) as other:
        events: list[Event] = []
        lock_platforms([shop.board()], sources_of(shop, tmp_path / "cache", server))
        both = sources_of(shop, tmp_path / "cache", other, server)
        lock = lock_platforms([shop.board()], both, listener=events.append)
        assert lib_of(lock) == ["lib-1.1_1"]
        (left,) = [e.text for e in events if isinstance(e, Message) and e.level == "warning"]
        assert f"mirror left: {other.url}/aarch64-repodata: its repodata is older" in left
        assert server.url not in left
        strict = replace(both, require_consistent=True)
        state = RepositoryState(strict, events.append)
        assert len(plan_supply(shop.board().recipe, state).fetch()) == 4
        told = [e.text for e in events if isinstance(e, Message) and e.level == "warning"]
        assert len(told) == 2  # once a run, though it is asked twice; and it is no change
        without = replace(both, offline=True)
        assert lib_of(lock_platforms([shop.board()], without)) == ["lib-1.1_1"]


def test_what_is_remembered_outlives_the_downloads(shop: Shop, old: Path, tmp_path: Path) -> None:
    """All that can be fetched again is cleared away; the versions stay."""
    with serving(shop.path) as server:
        sources = sources_of(shop, tmp_path / "cache", server)
        lock_platforms([shop.board()], sources)
        clear_cache(Cache(tmp_path / "cache"), older_seconds=0)
        assert not list((tmp_path / "cache" / "repodata").glob("*/content"))
        server.root = old
        with pytest.raises(VerifyError):
            lock_platforms([shop.board()], sources)


def test_a_directory_of_ones_own_may_go_back(shop: Shop, old: Path, tmp_path: Path) -> None:
    """Who builds packages also takes them back."""
    sources = Sources.parse(cache=tmp_path / "cache", repo_keys=[shop.key_plist])
    for path, expected in ((shop.path, "lib-1.1_1"), (old, "lib-1.0_1")):
        place = tmp_path / "repository"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(path, place)
        local = replace(sources, repositories=(Location.parse(str(place)),))
        assert lib_of(lock_platforms([shop.board()], local)) == [expected]


def index(**versions: str) -> dict[str, dict[str, object]]:
    return {name: {"pkgver": f"{name}-{version}"} for name, version in versions.items()}


@pytest.mark.parametrize(
    ("then", "now", "older"),
    [
        ("1.0_1", "1.0_1", False),
        ("1.0_1", "1.0_2", False),
        ("1.0_2", "1.0_1", True),
        ("2.0_1", "1.9.9_9", True),
        ("1.0_1", "1.0rc1_1", True),
        ("1.10_1", "1.9_1", True),
        ("1.0_1", "1.0.0_1", False),
        ("1.0_1", "", True),
    ],
)
def test_versions_are_compared_as_xbps_does(
    tmp_path: Path, then: str, now: str, older: bool
) -> None:
    """By number, not by text; a change of writing alone is no step back."""
    seen = SeenVersions(Cache(tmp_path))
    seen.remember(AT, "aarch64", "0" * 64, index(a=then, b="1_1"))  # type: ignore[arg-type]
    later = index(a=now, b="1_1", c="1_1")
    if not older:
        seen.require_not_older(AT, "aarch64", later, "x")  # type: ignore[arg-type]
        return
    with pytest.raises(VerifyError, match=f"a-{then}"):
        seen.require_not_older(AT, "aarch64", later, "x")  # type: ignore[arg-type]


def test_a_version_may_be_reverted(tmp_path: Path) -> None:
    """By a package that says so of the very version; what is gone is remembered."""
    seen = SeenVersions(Cache(tmp_path))
    seen.remember(AT, "aarch64", "0" * 64, index(a="2_1"))  # type: ignore[arg-type]
    seen.remember(AT, "aarch64", "1" * 64, index(b="1_1"))  # type: ignore[arg-type]
    back: dict[str, object] = {"pkgver": "a-1_1", "reverts": ["2_1"]}
    seen.require_not_older(AT, "aarch64", {"a": back}, "x")  # type: ignore[dict-item]
    for other in (["2_2"], [], "2_1", [2]):
        entry = {**back, "reverts": other}
        with pytest.raises(VerifyError):
            seen.require_not_older(AT, "aarch64", {"a": entry}, "x")  # type: ignore[dict-item]


def test_each_mirror_and_architecture_has_a_record(tmp_path: Path) -> None:
    """In whatever order mirrors are named; the user name is no part of it; junk counts as none."""
    seen = SeenVersions(Cache(tmp_path))
    seen.remember(AT, "aarch64", "0" * 64, index(a="2_1"))  # type: ignore[arg-type]
    older = index(a="1_1")
    for text in (*AT.urls, f"{AT.urls[1]} {AT.urls[0]}", "http://me:secret@mirror.example/current"):
        with pytest.raises(VerifyError):
            seen.require_not_older(Location.parse(text), "aarch64", older, "x")  # type: ignore[arg-type]
    seen.require_not_older(AT, "x86_64", older, "x")  # type: ignore[arg-type]
    for junk in (b"", b"[]", b"null", b'{"sha256": 1}', b'{"sha256": "", "versions": []}', b"\xff"):
        for path in (tmp_path / "versions").iterdir():
            path.write_bytes(junk)
        seen.require_not_older(AT, "aarch64", older, "x")  # type: ignore[arg-type]


def test_the_command_refuses_and_obeys(shop: Shop, old: Path, tmp_path: Path) -> None:
    """As a user types it: lock, mirror goes back, lock again; no password is shown or kept."""
    shop.board()
    with serving(shop.path) as server:
        url = server.url.replace("//", "//me:secret@")
        own = ("--platforms-and-profiles", shop.root / "spec")
        words: list[str | Path] = [
            "--cache", tmp_path / "cache", "lock", "board", *own, "--profile", "little",
            "-r", url, "--repo-key", shop.key_plist, "-o", tmp_path / "lock.json",
        ]  # fmt: skip
        assert voidimg(*words).returncode == 0
        server.root = old
        refused = voidimg(*words, "--update")
        assert refused.returncode == 6
        assert "lib-1.0_1 after lib-1.1_1" in refused.stderr
        taken = voidimg(*words, "--update", "--allow-older-repodata")
        assert taken.returncode == 0, taken.stderr
        assert "taken as asked for" in taken.stderr
    assert "lib-1.0_1" in (tmp_path / "lock.json").read_text()
    assert "secret" not in refused.stderr + taken.stderr + taken.stdout
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"me:secret" not in path.read_bytes()


def test_the_status_of_a_mirror_says_that_it_went_back(
    shop: Shop, old: Path, tmp_path: Path
) -> None:
    """As a finding, which `--require-consistent` makes an error; and nothing is forgotten by it."""
    with serving(shop.path) as server:
        sources = sources_of(shop, tmp_path / "cache", server)
        lock_platforms([shop.board()], sources)
        words: list[str | Path] = ["--cache", tmp_path / "cache", "repo", "status", server.url]
        words += ["--arch", "aarch64"]
        assert "older" not in voidimg(*words).stderr
        server.root = old
        for _ in range(2):
            told = voidimg(*words)
            assert told.returncode == 0, told.stderr
            assert "lib-1.0_1 after lib-1.1_1" in told.stderr
        assert voidimg(*words, "--require-consistent").returncode != 0
        with pytest.raises(VerifyError):
            lock_platforms([shop.board()], sources)
