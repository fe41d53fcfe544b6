"""The same packages and date give the same bytes, whoever builds, wherever and however."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.command import arguments, environment, voidimg
from tests.http_server import serving
from tests.images import built_iso, live_words
from tests.integration.building import LOCK, build_words, left_in_work, published, sha256_of
from tests.integration.persons import as_somebody_else
from tests.testrepo import RepositoryFixture
from tests.void_mirror import Mirror

Finished = Callable[[str], Path]

ELSEWHERE = {
    "HOSTNAME": "elsewhere",
    "LANG": "tr_TR.UTF-8",
    "LC_ALL": "tr_TR.UTF-8",
    "PYTHONHASHSEED": "7",
    "SOURCE_DATE_EPOCH": "1",
    "TZ": "Asia/Kathmandu",
}


ONE_PROCESSOR = ("taskset", "--cpu-list", str(min(os.sched_getaffinity(0))))


def build_as_somebody_else(home: Path, words: list[str | Path], before: Sequence[str] = ()) -> None:
    """Build as another user, with another umask, time zone, locale, directory and environment.

    `before` are words before the command, such as of a program that runs it.
    """
    home.mkdir(exist_ok=True)
    ended = subprocess.run(
        [*before, *as_somebody_else(home, arguments(*words))],
        env=environment(ELSEWHERE),
        cwd="/",
        umask=0o077,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("compression", ["none", "zstd", "xz"])
def test_another_user_gets_the_same_bytes(
    compression: str, tiny: RepositoryFixture, finished: Finished, tmp_path: Path
) -> None:
    """Also with another directory, umask, time zone, locale, hash seed and number of jobs."""
    place = tmp_path / "home"
    build_as_somebody_else(place, build_words(tiny, place, compression=compression, jobs=1))
    assert published(place) == published(finished(compression))
    for path in (place / "out").rglob("void-*"):
        assert path.stat().st_mode & 0o777 == 0o644
        assert path.stat().st_uid == (1234 if os.geteuid() == 0 else os.geteuid())
    assert left_in_work(place) == []


def test_another_user_gets_the_same_raspberry_pi(
    whole: RepositoryFixture, mirror: Mirror, raspberry: Path, tmp_path: Path
) -> None:
    """140 packages with their scripts, capabilities and an image; from the mirror that is near."""
    place = tmp_path / "home"
    near = f"{mirror.behind.url}/"
    words = build_words(
        whole, place, platform="rpi-aarch64", compression="zstd:1", jobs=3, mirror=near
    )
    build_as_somebody_else(place, words)
    ours, theirs = published(raspberry), published(place)
    shutil.rmtree(place)
    assert theirs == ours
    assert len(ours) == 5


def test_another_user_gets_the_same_live_iso_from_its_lock(tmp_path: Path) -> None:
    """Initramfs, squashfs, loaders and tables, with one processor instead of all there are."""
    iso = built_iso()
    (lock,) = iso.parent.glob("*-live-console.lock.json")
    ours = {path.name: sha256_of(path) for path in (iso, lock)}
    place = tmp_path / "home"
    build_as_somebody_else(place, live_words(place, "--lock", lock), ONE_PROCESSOR)
    theirs = published(place)
    shutil.rmtree(place)
    assert theirs == ours


@pytest.mark.parametrize("kept", ["rootfs", "platformfs"])
def test_a_build_upon_a_partly_filled_cache_gives_the_same_bytes(
    kept: str, tiny: RepositoryFixture, finished: Finished, tmp_path: Path
) -> None:
    """What is in the store already does not change what comes after it."""
    for more in (["--artifact", kept], []):
        ended = voidimg(*build_words(tiny, tmp_path, *more, compression="zstd:1"))
        assert ended.returncode == 0, ended.stderr
    assert published(tmp_path) == published(finished("zstd:1"))


def test_over_http_it_is_the_same(
    tiny: RepositoryFixture, finished: Finished, tmp_path: Path
) -> None:
    """Only the lock tells where the packages came from."""
    with serving(tiny.path) as server:
        ended = voidimg(*build_words(tiny, tmp_path, location=server.url))
        assert ended.returncode == 0, ended.stderr
    found, expected = published(tmp_path), published(finished("none"))
    lock = (tmp_path / "out/20240314" / LOCK).read_text()
    assert server.url in lock
    assert (
        lock.replace(server.url, str(tiny.path))
        == (finished("none") / "out/20240314" / LOCK).read_text()
    )
    assert {**found, LOCK: ""} == {**expected, LOCK: ""}


def test_two_builds_at_once_share_a_cache(
    tiny: RepositoryFixture, finished: Finished, tmp_path: Path
) -> None:
    """Neither waits for, nor spoils, what the other makes."""
    words = build_words(tiny, tmp_path, compression="zstd")
    both = [
        subprocess.Popen(
            arguments(*words), env=environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert published(tmp_path) == published(finished("zstd"))
    assert left_in_work(tmp_path) == []


def test_an_unchanged_build_comes_from_the_store(
    tiny: RepositoryFixture, finished: Finished, tmp_path: Path
) -> None:
    """No namespace, no tree: the files are there already, and linked under their names."""
    place = finished("none")
    words = build_words(tiny, place)
    words[words.index(place / "out")] = tmp_path / "out"
    ended = voidimg(*words)
    assert ended.returncode == 0, ended.stderr
    assert "build: unchanged" in ended.stderr
    assert "install" not in ended.stderr
    assert ended.stdout.count("(unchanged)") == 4  # with the block map
    assert published(tmp_path) == published(place)
