"""A repository that is older than it was is told, or refused; so are old names of mirrors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import voidimg
from tests.unit.pipeline.shop import Shop
from voidimg.errors import FetchError
from voidimg.events import Event, Message
from voidimg.fetch import Location
from voidimg.pipeline.locks import lock_platforms
from voidimg.supply.sources import Sources
from voidimg.supply.void_mirrors import new_url, old_name_warnings

NEW, OLD = 1_700_000_000, 1_600_000_000


@pytest.fixture
def sources(shop: Shop, tmp_path: Path) -> Sources:
    """The shop as it is in its directory."""
    return Sources.parse(
        cache=tmp_path / "cache", repositories=[str(shop.path)], repo_keys=[shop.key_plist]
    )


def warnings(shop: Shop, sources: Sources) -> list[str]:
    """What is told while the board is locked."""
    events: list[Event] = []
    lock_platforms([shop.board()], sources, listener=events.append)
    return [one.text for one in events if isinstance(one, Message) and one.level == "warning"]


def test_an_older_state_is_told_each_time(shop: Shop, sources: Sources) -> None:
    """Also when the same was locked before and nothing is looked into; not once it is newer."""
    shop.date(NEW)
    assert warnings(shop, sources) == []
    shop.date(OLD)
    for _ in range(2):
        (told,) = warnings(shop, sources)
        assert "of 2023-11-14 22:13 UTC was seen before, now it is of 2020-09-13 12:26 UTC" in told
    shop.date(NEW + 1)
    assert warnings(shop, sources) == []


def test_an_older_state_is_refused_on_request(shop: Shop, sources: Sources) -> None:
    """With what to do; a cache that has seen nothing knows of nothing older."""
    strict = replace(sources, require_newer=True)
    shop.date(NEW)
    for _ in range(2):
        assert warnings(shop, strict) == []
    shop.date(OLD)
    with pytest.raises(FetchError, match="was seen before") as caught:
        warnings(shop, strict)
    assert caught.value.code == "E-FETCH-OLDER"
    assert "--require-newer" in str(caught.value.hint)
    assert warnings(shop, replace(strict, cache=sources.cache / "other")) == []


def test_the_command_refuses_an_older_state(shop: Shop, tmp_path: Path) -> None:
    """As a user types it."""
    shop.board()
    words: list[str | Path] = [
        "-q",
        "--cache",
        tmp_path / "cache",
        "lock",
        "board",
        "--profile",
        "little",
    ]
    words += ["--platforms-and-profiles", shop.root / "spec", "--require-newer"]
    words += ["-r", shop.path, "--repo-key", shop.key_plist, "-o"]
    shop.date(NEW)
    assert voidimg(*words, tmp_path / "one").returncode == 0
    shop.date(OLD)
    ended = voidimg(*words, tmp_path / "two")
    assert (ended.returncode, "E-FETCH-OLDER" in ended.stderr) == (5, True), ended.stderr
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize(
    ("url", "new"),
    [
        ("https://alpha.de.repo.voidlinux.org/current", "current"),
        ("http://alpha.de.repo.voidlinux.org/current/musl", "current/musl"),
        ("https://beta.de.repo.voidlinux.org/current/aarch64", "current/aarch64"),
        ("https://alpha.us.repo.voidlinux.org:443/current", "current"),
        ("https://ALPHA.DE.repo.voidlinux.org/current", "current"),
        ("https://repo.voidlinux.eu/current", "current"),
        ("https://auto.voidlinux.org/current", "current"),
        ("https://repo-default.voidlinux.org/current", None),
        ("https://repo-de.voidlinux.org/current", None),
        ("https://repo-fastly.voidlinux.org/current", None),
        ("https://mirrors.servercentral.com/voidlinux/current", None),
        ("https://alpha.de.repo.voidlinux.org.example.org/current", None),
    ],
)
def test_old_names_of_mirrors(url: str, new: str | None) -> None:
    """With what to write instead."""
    wanted = None if new is None else f"https://repo-default.voidlinux.org/{new}"
    assert new_url(url) == wanted
    told = old_name_warnings(Location.parse(url))
    assert len(told) == (new is not None)


def test_an_old_name_is_told_before_it_fails(tmp_path: Path, shop: Shop) -> None:
    """By the command, though the name itself may lead nowhere: nobody is asked for it here."""
    shop.board()
    words: list[str | Path] = [
        "--cache",
        tmp_path / "cache",
        "lock",
        "board",
        "--profile",
        "little",
        "--offline",
    ]
    words += ["--platforms-and-profiles", shop.root / "spec"]
    words += ["-r", "https://alpha.de.repo.voidlinux.org/current", "-o", tmp_path / "x"]
    ended = voidimg(*words)
    assert ended.returncode == 5
    assert "write https://repo-default.voidlinux.org/current" in ended.stderr


def test_repo_status_tells_of_an_older_state(shop: Shop, tmp_path: Path) -> None:
    """Also who only looks after repositories wants to know."""
    words: list[str | Path] = ["--cache", tmp_path / "cache", "repo", "status", shop.path]
    shop.date(NEW)
    assert voidimg(*words).stderr == ""
    shop.date(OLD)
    told = voidimg(*words)
    assert (told.returncode, "was seen before" in told.stderr) == (0, True)
    refused = voidimg(*words, "--require-newer")
    assert (refused.returncode, "E-FETCH-OLDER" in refused.stderr) == (5, True)
