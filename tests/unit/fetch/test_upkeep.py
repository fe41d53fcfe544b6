"""The cache is measured, checked and cleared while others use it, and whatever is killed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import environment
from tests.http_server import Server, serving
from voidimg.fetch import Cache, Fetcher, Wanted
from voidimg.fetch.upkeep import clear_cache, measure_cache, verify_cache

DAY_NS = 86400 * 10**9


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    root = tmp_path / "served"
    root.mkdir()
    for number in range(8):
        (root / str(number)).write_bytes(bytes([number]) * 20_000)
    with serving(root) as running:
        yield running


def keep(cache: Cache, content: bytes, days: float = 0) -> Path:
    """Put a package with this content into the cache, last used so many days ago."""
    sha256 = hashlib.sha256(content).hexdigest()
    path = cache.object_path(sha256)
    path.write_bytes(content)
    cache.write_small(b"signature", "signatures", sha256)
    return aged(path, days)


def aged(path: Path, days: float) -> Path:
    when = time.time_ns() - int(days * DAY_NS)
    os.utime(path, ns=(when, when))
    return path


def keep_artifact(cache: Cache, key: str, days: float = 0) -> Path:
    """An artifact with its record."""
    path = cache.part("artifacts", key, "content")
    path.write_bytes(key.encode())
    record = {"size": len(key), "sha256": hashlib.sha256(key.encode()).hexdigest(), "mtime_ns": 0}
    said = json.dumps({"files": {"": record}, "warnings": []}).encode()
    aged(cache.write_small(said, "artifacts", key, "record.json"), days)
    return path


def keep_block(cache: Cache, content: bytes, days: float = 0) -> Path:
    path = cache.part("blocks", "ab", content.hex())
    path.write_bytes(hashlib.sha256(content).digest() + content)
    return aged(path, days)


def test_size_by_what_it_holds(cache: Cache) -> None:
    """An empty cache too; blocks on disk, not bytes."""
    assert sum(use.size for use in measure_cache(cache)) == 0
    keep(cache, b"x" * 10_000)
    keep_artifact(cache, "key")
    found = {use.content: use for use in measure_cache(cache)}
    assert found["packages"].files == 2
    assert found["packages"].size >= 10_000
    assert found["artifacts"].files == 2


def test_damage_of_every_kind_is_found_and_removed(cache: Cache) -> None:
    """Flipped, shortened, unreadable records; what is whole stays."""
    whole = [keep(cache, b"whole"), keep_artifact(cache, "whole"), keep_block(cache, b"whole")]
    damaged = [keep(cache, b"a"), keep_artifact(cache, "b"), keep_block(cache, b"c")]
    for path in damaged:
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    odd = keep_artifact(cache, "odd")
    odd.with_name("record.json").write_text("{")
    index = cache.write_small(b"index", "repodata", "k", "content")
    cache.write_small(b'{"sha256": "00"}', "repodata", "k", "stamp.json")
    expected = {str(path.relative_to(cache.directory)) for path in (*damaged, odd, index)}
    assert {one.path for one in verify_cache(cache, keep=True)} == expected
    assert all(path.exists() for path in damaged)
    assert {one.path for one in verify_cache(cache, jobs=2)} == expected
    assert not any(path.exists() for path in (*damaged, odd, index))
    assert all(path.exists() for path in whole)
    assert verify_cache(cache) == ()


def test_without_limits_only_leftovers_go(cache: Cache) -> None:
    """Files that killed runs were writing, old downloads, artifacts without a record."""
    whole = [keep(cache, b"old", 900), keep_artifact(cache, "old", 900)]
    young = cache.part("incoming", "a.part")
    young.write_bytes(b"half")
    left = [cache.part("incoming", "x.new"), cache.part("incoming", "b.part")]
    left += [
        cache.part("artifacts", "unfinished", "content"),
        cache.part("blocks", "ab", "c.1.part"),
    ]
    for path in left:
        path.write_bytes(b"left")
        aged(path, 8)
    removed = clear_cache(cache)
    assert sum(use.files for use in removed) == 4
    assert not any(path.exists() for path in left)
    assert not (cache.directory / "artifacts" / "unfinished").exists()
    assert young.exists()
    assert all(path.exists() for path in whole)


def test_a_download_is_removed_before_anyone_can_go_on_with_it(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opens it meanwhile waits for its lock, then sees that it is gone."""
    part = cache.part("incoming", "a.part")
    part.write_bytes(b"half")
    aged(part, 8)
    locked: list[bool] = []
    unlink = Path.unlink

    def look(path: Path, missing_ok: bool = False) -> None:
        if path == part:
            with path.open("r+b") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    locked.append(False)
                except BlockingIOError:
                    locked.append(True)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", look)
    clear_cache(cache)
    assert locked == [True]
    assert not part.exists()


def test_what_was_unused_for_longest_goes_first(cache: Cache) -> None:
    """Of every kind, until the rest fits."""
    paths = [
        keep(cache, b"1" * 40_000, 5),
        keep_artifact(cache, "2", 4),
        keep_block(cache, b"3", 3),
        keep(cache, b"4" * 40_000, 2),
    ]
    clear_cache(cache, max_bytes=60_000)
    assert [path.exists() for path in paths] == [False, True, True, True]
    clear_cache(cache, older_seconds=int(2.5 * 86400))
    assert [path.exists() for path in paths] == [False, False, False, True]
    clear_cache(cache, max_bytes=0)
    assert not any(path.exists() for path in paths)
    assert list((cache.directory / "signatures").iterdir()) == []


def test_what_a_build_uses_stays(cache: Cache, server: Server) -> None:
    """Everything it looked up since it began, but not what it never touched."""
    used, unused = keep(cache, b"used", 9), keep(cache, b"unused", 9)
    with cache.in_use():
        sha256 = hashlib.sha256(b"used").hexdigest()
        assert cache.find(sha256, 4) == used
        clear_cache(cache, max_bytes=0)
        assert used.exists()
        assert not unused.exists()
    clear_cache(cache, max_bytes=0)
    assert not used.exists()


def test_a_download_under_way_stays(cache: Cache) -> None:
    """Its lock is held; without one it goes."""
    part = cache.part("incoming", "a.part")
    part.write_bytes(b"half")
    aged(part, 30)
    with part.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        clear_cache(cache, max_bytes=0)
        assert part.exists()
    clear_cache(cache, max_bytes=0)
    assert not part.exists()


def started(code: str, cache: Cache, *words: str) -> subprocess.Popen[str]:
    """Another process that runs `code` with the directory of the cache as first word."""
    return subprocess.Popen(
        [sys.executable, "-c", code, str(cache.directory), *words],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_killed_build_protects_nothing(cache: Cache) -> None:
    """Its lock ended with it, and what is left of it goes."""
    path = keep(cache, b"used")
    code = """
import sys, time
from pathlib import Path
from voidimg.fetch import Cache
with Cache(Path(sys.argv[1])).in_use():
    print("ready", flush=True)
    time.sleep(60)
"""
    process = started(code, cache)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.utime(path)
    clear_cache(cache, max_bytes=0)
    assert path.exists()
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    clear_cache(cache, max_bytes=0)
    assert not path.exists()
    assert list((cache.directory / "users").iterdir()) == []


def test_builds_and_clearing_side_by_side(cache: Cache, server: Server) -> None:
    """A build that was given a file can read it, however often the cache is emptied meanwhile."""
    items = [
        Wanted(
            str(number),
            (f"{server.url}/{number}",),
            20_000,
            hashlib.sha256(bytes([number]) * 20_000).hexdigest(),
        )
        for number in range(8)
    ]
    ended = threading.Event()
    problems: list[BaseException] = []

    def empty() -> None:
        while not ended.is_set():
            clear_cache(cache, max_bytes=0)

    def fetch() -> None:
        try:
            for _ in range(6):
                with cache.in_use():
                    files = Fetcher(cache, jobs=2).fetch(items)
                    time.sleep(0.005)
                    assert [len(path.read_bytes()) for path in files.values()] == [20_000] * 8
        except BaseException as problem:  # noqa: BLE001 (told by the test)
            problems.append(problem)

    emptying = threading.Thread(target=empty)
    builds = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in (emptying, *builds):
        thread.start()
    for thread in builds:
        thread.join(60)
    ended.set()
    emptying.join(60)
    assert problems == []


def test_clearing_that_is_killed_does_no_harm(cache: Cache) -> None:
    """Whatever is left is whole, and the next run clears the rest."""
    code = """
import sys
from pathlib import Path
from voidimg.fetch import Cache
from voidimg.fetch.upkeep import clear_cache
print("ready", flush=True)
clear_cache(Cache(Path(sys.argv[1])), max_bytes=0)
"""
    for pause in (0.0, 0.01, 0.03):
        for number in range(150):
            keep(cache, f"{pause} {number}".encode(), 1)
            keep_artifact(cache, f"{pause} {number}", 1)
        process = started(code, cache)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
        assert verify_cache(cache) == ()
    clear_cache(cache, max_bytes=0)
    kept = [path for path in cache.directory.rglob("*") if path.is_file()]
    assert sorted(path.name for path in kept) == ["CACHEDIR.TAG", "gate"]


def test_builds_that_end_while_others_begin(tmp_path: Path) -> None:
    """A build takes its mark away without asking; whoever looks for marks then is not disturbed."""
    cache = Cache(tmp_path / "cache")
    failures: list[BaseException] = []

    def begin_and_end() -> None:
        try:
            for _ in range(150):
                with cache.in_use():
                    pass
        except BaseException as error:  # noqa: BLE001 - the test shows what a thread met
            failures.append(error)

    threads = [threading.Thread(target=begin_and_end) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert failures == []
