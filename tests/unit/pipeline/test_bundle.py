"""Bundles take the place of bundles alone; nothing is removed for its name."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.pipeline.shop import Shop
from voidimg import atomic
from voidimg.errors import UsageError
from voidimg.pipeline.locks import lock_platforms
from voidimg.supply.bundle import Bundle, require_bundle_place
from voidimg.supply.sources import Sources


@pytest.fixture
def sources(shop: Shop, tmp_path: Path) -> Sources:
    """The shop's repository and key, and a cache."""
    for name in ("base", "lib", "kernel"):
        shop.put(name)
    return Sources.parse(
        cache=tmp_path / "cache", repositories=[str(shop.path)], repo_keys=[shop.key_plist]
    )


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """An empty directory for bundles."""
    directory = tmp_path / "here"
    directory.mkdir()
    return directory


def _bundle(shop: Shop, sources: Sources, place: Path) -> None:
    lock_platforms([shop.board(rootfs=["base"], platformfs=["lib"])], sources, bundle=place)


def _content(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", ["ssh", "[a-z]*", "*", "?", ".ssh", "a.b", "kept"])
@pytest.mark.parametrize("times", [1, 2])
def test_neighbours_stay_whatever_they_are_called(
    name: str, times: int, shop: Shop, sources: Sources, here: Path
) -> None:
    """Neither a pattern in the name of a bundle nor a likeness of names removes anything."""
    neighbours = {".ssh.bak/id": "x", ".config.d/conf": "x", f".{name}.1/y": "z",
                  ".kept.old/a": "b",
                  ".voidimg-0123/file": "x", f".voidimg-{'a' * 32}/thesis.tex": "mine",
                  f".voidimg-{'b' * 32}/mark": "voidimg of another",
                  f"{name}.old/x": "y", "ssh.bak": "w"}  # fmt: skip
    for path, content in neighbours.items():
        (here / path).parent.mkdir(parents=True, exist_ok=True)
        (here / path).write_text(content)
    before = _content(here)
    for _ in range(times):
        _bundle(shop, sources, here / name)
    shutil.rmtree(here / name)
    assert _content(here) == before


def _git(place: Path) -> None:
    (place / "keys").mkdir(parents=True)
    (place / ".git").mkdir()
    (place / "lock.json").write_text("{}")


def _add(path: str, content: str = "mine") -> Callable[[Path], object]:
    def add(place: Path) -> None:
        (place / path).parent.mkdir(exist_ok=True)
        (place / path).write_text(content)

    return add


def _link_keys(place: Path) -> None:
    shutil.rmtree(place / "keys")
    (place / "keys").symlink_to("/etc")


FOREIGN: dict[str, Callable[[Path], object]] = {
    "a project with lock.json and keys": _git,
    "a file beside the lock": _add("README"),
    "a hidden file": _add(".gitignore"),
    "a file among the packages": _add("repository-0/notes.txt"),
    "a key of another kind": _add("keys/id_ed25519"),
    "another directory": _add("src/main.py"),
    "a lock that is none": _add("lock.json", "{}"),
    "a lock of something else": _add("lock.json", '{"lockfileVersion": 3}'),
    "a directory like a repository": _add("repository-x/file"),
    "a link instead of keys": _link_keys,
    "a link among the packages": lambda place: (
        (place / "repository-0" / "x-1.0_1.noarch.xbps").symlink_to("/etc/passwd")
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_holds_something_else_is_not_replaced(
    kind: str, shop: Shop, sources: Sources, here: Path
) -> None:
    """Told before anything is fetched; everything stays."""
    place = here / "kept"
    if kind != "a project with lock.json and keys":
        _bundle(shop, sources, place)
    FOREIGN[kind](place)
    before = _content(place)
    with pytest.raises(UsageError) as caught:
        _bundle(shop, sources, place)
    assert caught.value.code == "E-USAGE-BUNDLE"
    assert _content(place) == before
    assert os.listdir(here) == ["kept"]


def test_a_link_leads_to_the_bundle_that_is_replaced(
    shop: Shop, sources: Sources, here: Path
) -> None:
    """The link stays a link."""
    _bundle(shop, sources, here / "real")
    (here / "link").symlink_to("real")
    shop.put("lib", "2.0_1")
    _bundle(shop, sources, here / "link")
    assert (here / "link").is_symlink()
    assert (here / "real" / "repository-0" / "lib-2.0_1.noarch.xbps").exists()
    assert sorted(os.listdir(here)) == ["link", "real"]


_KILLED = """
import os, signal, sys
from pathlib import Path
from voidimg import atomic
if sys.argv[2] == "two steps":
    atomic._renamed = lambda *_: False
    renamed = Path.rename
    def rename(path, target):
        renamed(path, target)
        if Path(target).name == "old":
            os.kill(os.getpid(), signal.SIGKILL)
    Path.rename = rename
with atomic.replacing_directory(Path(sys.argv[1]), lambda path: None) as new:
    (new / "file").write_text("new")
    if sys.argv[2] == "half":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("when", ["half", "two steps"])
def test_a_killed_run_leaves_what_was_there(when: str, here: Path) -> None:
    """The next run clears away what it left, and gives back what it had moved."""
    place = here / "[kept]*"
    place.mkdir()
    (place / "file").write_text("old")
    ended = subprocess.run([sys.executable, "-c", _KILLED, place, when])
    assert ended.returncode == -signal.SIGKILL
    assert len(os.listdir(here)) == (2 if when == "half" else 1)
    atomic.remove_abandoned(here)
    assert os.listdir(here) == [place.name]
    assert (place / "file").read_text() == "old"


def test_without_exchange_the_directory_is_replaced_in_two_steps(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on file systems that cannot let two names change places."""
    monkeypatch.setattr(atomic, "_renamed", lambda *_: False)
    (here / "place").mkdir()
    (here / "place" / "old").write_text("")
    with atomic.replacing_directory(here / "place", lambda _: None) as new:
        (new / "new").write_text("")
    assert os.listdir(here / "place") == ["new"]
    assert os.listdir(here) == ["place"]


def test_what_is_added_at_the_last_moment_comes_back(here: Path) -> None:
    """What is judged after it changed places returns to its own when it may not be removed."""
    place = here / "place"
    place.mkdir()
    asked = []

    def refuse_the_second(path: Path) -> None:
        asked.append(path)
        if len(asked) == 1:
            (place / "late").write_text("mine")
        else:
            require_bundle_place(path)

    with pytest.raises(UsageError), atomic.replacing_directory(place, refuse_the_second) as new:
        (new / "new").write_text("")
    assert os.listdir(place) == ["late"]
    assert os.listdir(here) == ["place"]


def test_only_plain_repositories_are_of_a_bundle(shop: Shop, sources: Sources, here: Path) -> None:
    """Other directories with such names are not looked into."""
    _bundle(shop, sources, here / "kept")
    (here / "kept" / "repository-extra").mkdir()
    found = Bundle.at(here / "kept")
    assert found is not None
    assert [path.name for path in found.repositories()] == ["repository-0"]
