"""What a file system cannot keep is named before work starts."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests.command import arguments
from tests.http_server import serving
from tests.mounted import give_default_acl, run_mounted
from tests.unit.pipeline.shop import Shop
from voidimg import work_filesystem
from voidimg.errors import StoreError
from voidimg.work_filesystem import CACHE_NEEDS, TREE_NEEDS, lacks, require_properties

_TRY = (
    "import sys; from pathlib import Path; from voidimg.work_filesystem import lacks; "
    "print(*(one.name for one in lacks(Path(sys.argv[1]))))"
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts something")


@pytest.mark.parametrize(
    ("setting", "lacking"),
    [
        ("plain", ""),
        ("overlay", ""),
        ("noexec", "execution"),
        ("nosymfollow", "links"),
        ("one-id", "owners"),
        ("acl", "plain rights"),
    ],
)
def test_a_lack_has_a_name(setting: str, lacking: str, tmp_path: Path) -> None:
    """Each in a real mount; nothing is left in it."""
    words: list[str | Path] = [sys.executable, "-c", _TRY, tmp_path]
    ended = run_mounted(setting, tmp_path, words)
    assert (ended.stdout.strip(), ended.returncode) == (lacking, 0), ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "status", "words"),
    [
        ("noexec", 11, "E-STORE-FILESYSTEM"),
        ("nosymfollow", 11, "lacks links"),
        ("acl", 11, "setfacl -k"),
        ("read-only", 11, "Read-only file system"),
        ("full", 12, "E-DISKFULL"),
    ],
)
def test_a_build_is_refused_before_anything_is_fetched(
    setting: str, status: int, words: str, shop: Shop, tmp_path: Path
) -> None:
    """By the command itself, with the cache in the mount; the same when it is asked again."""
    shop.board()
    cache = tmp_path / "cache"
    cache.mkdir()
    with serving(shop.path) as server:
        command = arguments("--cache", cache, "--out", tmp_path / "out", "build", "board")
        command += ["--profile", "little", "--platforms-and-profiles", str(shop.root / "spec")]
        command += ["-r", server.url, "--repo-key", str(shop.key_plist)]
        ended = run_mounted(setting, cache, command)
        assert (ended.returncode, words in ended.stderr) == (status, True), ended.stderr
        assert server.requests == []
    assert not (tmp_path / "out").exists()


def test_a_lock_needs_less(shop: Shop, tmp_path: Path) -> None:
    """Nothing is executed for it, so noexec is well."""
    shop.board()
    cache = tmp_path / "cache"
    cache.mkdir()
    command = arguments("--cache", cache, "lock", "board", "-o", tmp_path / "x.json")
    command += ["--profile", "little", "--platforms-and-profiles", str(shop.root / "spec")]
    command += ["-r", str(shop.path), "--repo-key", str(shop.key_plist)]
    ended = run_mounted("noexec", cache, command)
    assert ended.returncode == 0, ended.stderr


def test_all_lacks_are_told_at_once(tmp_path: Path) -> None:
    """With the directory, and for each of them what was seen; a cache alone needs less."""
    give_default_acl(tmp_path)
    with pytest.raises(StoreError, match="plain rights") as caught:
        require_properties(tmp_path)
    assert caught.value.code == "E-STORE-FILESYSTEM"
    require_properties(tmp_path, CACHE_NEEDS)


def test_what_killed_trials_left_is_removed(tmp_path: Path) -> None:
    """And that of one under way is not."""
    left = tmp_path / f".voidimg-{'0' * 32}"
    (left / "names").mkdir(parents=True)
    (left / "mark").write_text(f"voidimg {'0' * 32}\n")
    with work_filesystem._place(tmp_path) as busy:
        assert lacks(tmp_path, TREE_NEEDS) == ()
        assert busy.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_others_is_taken_for_a_trial(tmp_path: Path) -> None:
    """Whatever it is called, and though nobody holds it."""
    others = ("probe.results", f".voidimg-{'0' * 31}", f".voidimg-{'1' * 32}")
    for name in others:
        (tmp_path / name).mkdir()
        (tmp_path / name / "measured").write_text("x")
    assert lacks(tmp_path, TREE_NEEDS) == ()
    assert {path.name for path in tmp_path.iterdir()} == set(others)
    assert all((tmp_path / name / "measured").exists() for name in others)


def test_it_takes_no_time(tmp_path: Path) -> None:
    """The best of some runs, for the machine may be busy."""
    taken = []
    for _ in range(5):
        started = time.monotonic()
        lacks(tmp_path)
        taken.append(time.monotonic() - started)
    assert min(taken) < 0.05
