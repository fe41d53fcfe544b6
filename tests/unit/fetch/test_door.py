"""A cache is its user's alone, and nothing that is no cache is taken for one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import environment
from voidimg.errors import StoreError, UsageError
from voidimg.fetch import Cache
from voidimg.fetch.door import MARK, PARTS
from voidimg.fetch.upkeep import clear_cache, measure_cache, verify_cache
from voidimg.pipeline import workdir
from voidimg.pipeline.store import ArtifactStore

ROOT = os.geteuid() == 0
OTHER = 12345

Use = Callable[[Cache], object]
USES: dict[str, Use] = {
    "enter": Cache.enter,
    "look up": lambda cache: cache.find("0" * 64, 1),
    "keep": lambda cache: cache.keep_bytes(b"content"),
    "scratch": Cache.scratch,
    "measure": measure_cache,
    "verify": verify_cache,
    "clear": lambda cache: clear_cache(cache, max_bytes=0, older_seconds=0),
    "clear with work": lambda cache: workdir.clear_cache(cache, max_bytes=0),
}


@pytest.fixture(params=USES, ids=[name.replace(" ", "-") for name in USES])
def use(request: pytest.FixtureRequest) -> Use:
    return USES[request.param]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    made = Cache(tmp_path / "above" / "cache")
    made.keep_bytes(b"sound")
    return made


def snapshot(directory: Path) -> list[tuple[str, int, int]]:
    found = [directory, *sorted(directory.rglob("*"))]
    return [(str(one), one.lstat().st_mode, one.lstat().st_ino) for one in found]


def refused(cache: Cache, use: Use, code: str) -> None:
    before = snapshot(cache.directory)
    with pytest.raises((StoreError, UsageError)) as caught:
        use(Cache(cache.directory))
    assert caught.value.code.endswith(code)
    assert caught.value.hint
    assert snapshot(cache.directory) == before


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_new_cache_is_its_users_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        made = Cache(tmp_path / "above" / "cache")
        made.keep_bytes(b"content")
        made.scratch()
        with made.in_use():
            pass
        made.write_small(b"x", "signatures", "0" * 64)
    finally:
        os.umask(before)
    assert made.directory.parent.stat().st_mode & 0o777 == 0o755 & ~umask
    for path in [made.directory, *made.directory.rglob("*")]:
        assert path.stat().st_mode & 0o022 == 0, path
        if path.is_dir():
            assert path.stat().st_mode & 0o777 == 0o700, path


def test_the_mark_is_that_of_caches(cache: Cache) -> None:
    content = (cache.directory / MARK).read_bytes()
    assert content.startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702, 0o2777])
@pytest.mark.parametrize("part", ["", *PARTS, "users", "objects/ab"])
def test_others_can_write_nowhere(cache: Cache, mode: int, part: str) -> None:
    place = cache.directory / part
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.chmod(mode)
    refused(cache, Cache.enter, "CACHE-MODE")


def test_every_use_looks_at_the_mode(cache: Cache, use: Use) -> None:
    cache.directory.chmod(0o777)
    refused(cache, use, "CACHE-MODE")


def test_others_cannot_exchange_the_cache(cache: Cache, use: Use) -> None:
    cache.directory.parent.chmod(0o777)
    refused(cache, use, "CACHE-MODE")


def test_a_sticky_directory_may_be_above(cache: Cache, use: Use) -> None:
    cache.directory.parent.chmod(0o1777)
    use(Cache(cache.directory))


@pytest.mark.parametrize("part", ["", "..", *PARTS, "users"])
@pytest.mark.skipif(not ROOT, reason="gives a directory away")
def test_nothing_belongs_to_another(cache: Cache, part: str) -> None:
    place = cache.directory / part
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chown(place, OTHER, OTHER)
    refused(cache, Cache.enter, "CACHE-OWNER")


@pytest.mark.skipif(not ROOT, reason="gives a directory away")
def test_every_use_looks_at_the_owner(cache: Cache, use: Use) -> None:
    os.chown(cache.directory, OTHER, OTHER)
    refused(cache, use, "CACHE-OWNER")


@pytest.mark.skipif(not ROOT, reason="gives a directory away")
def test_a_link_of_another_leads_to_no_cache(cache: Cache, use: Use, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "link").symlink_to(cache.directory)
    os.chown(theirs, OTHER, OTHER)
    refused(Cache(theirs / "link"), use, "CACHE-OWNER")


def test_an_own_link_leads_to_an_own_cache(cache: Cache, use: Use, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(cache.directory)
    use(Cache(tmp_path / "link"))


@pytest.mark.parametrize("part", [*PARTS, "users"])
def test_no_part_is_a_link(cache: Cache, use: Use, part: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (victim / "ab").mkdir(parents=True)
    (victim / "ab" / "cd").write_text("precious")
    place = cache.directory / part
    if place.is_dir():
        place.rename(tmp_path / "aside")
    place.symlink_to(victim)
    refused(cache, use, "CACHE-OWNER")
    assert (victim / "ab" / "cd").read_text() == "precious"


def git(directory: Path) -> None:
    (directory / "objects" / "ab").mkdir(parents=True)
    (directory / "objects" / "ab" / ("c" * 38)).write_text("blob")
    (directory / "HEAD").write_text("ref: refs/heads/main\n")


def more(directory: Path) -> None:
    for name in ("gate", "objects", "photos"):
        (directory / name).mkdir()


FOREIGN: dict[str, Callable[[Path], object]] = {
    "a git directory": git,
    "a home": lambda directory: (directory / ".ssh").mkdir(parents=True),
    "objects of another": lambda directory: (directory / "objects" / "ab").mkdir(parents=True),
    "work of another": lambda directory: (directory / "work" / "thesis").mkdir(parents=True),
    "another's tag": lambda directory: (directory / MARK).write_text("Signature: of cargo\n"),
    "a link as its tag": lambda directory: (directory / MARK).symlink_to("/dev/zero"),
    "a directory as its tag": lambda directory: (directory / MARK).mkdir(),
    "a cache and more": more,
}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_what_is_no_cache_is_not_touched(tmp_path: Path, use: Use, foreign: str) -> None:
    directory = tmp_path / "foreign"
    directory.mkdir()
    FOREIGN[foreign](directory)
    refused(Cache(directory), use, "CACHE")


def test_a_file_is_no_cache(tmp_path: Path, use: Use) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(UsageError, match="no directory"):
        use(Cache(file))
    assert file.read_text() == "precious"


def test_a_cache_of_before_the_mark_is_one(cache: Cache) -> None:
    (cache.directory / MARK).unlink()
    cache.part("users", "x")
    with Cache(cache.directory).in_use():
        pass
    assert (cache.directory / MARK).exists()


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777, 0o1777])
def test_an_empty_directory_becomes_one(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "mounted"
    directory.mkdir()
    directory.chmod(mode)
    Cache(directory).enter()
    assert (directory / MARK).exists()
    assert directory.stat().st_mode & 0o022 == 0


@pytest.mark.parametrize("read", [measure_cache, verify_cache, clear_cache])
def test_looking_makes_no_cache(tmp_path: Path, read: Use) -> None:
    read(Cache(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


@pytest.mark.skipif(not ROOT, reason="gives files away")
@pytest.mark.parametrize("name", ["record.json", "content", "content.bmap"])
def test_the_artifacts_of_another_are_not_believed(cache: Cache, tmp_path: Path, name: str) -> None:
    store = ArtifactStore(cache)
    files = {}
    for role in ("", "bmap"):
        files[role] = tmp_path / f"made{role}"
        files[role].write_text("made")
    store.keep("k" * 64, files)
    assert store.find("k" * 64) is not None
    os.chown(cache.directory / "artifacts" / ("k" * 64) / name, OTHER, OTHER)
    assert store.find("k" * 64) is None


@pytest.mark.skipif(not ROOT, reason="gives files away")
def test_the_package_of_another_is_not_unpacked(cache: Cache) -> None:
    sha256 = cache.keep_bytes(b"package")
    os.chown(cache.object_path(sha256), OTHER, OTHER)
    assert cache.find(sha256, len(b"package")) is None
    assert not cache.object_path(sha256).exists()


def test_a_package_is_no_link(cache: Cache, tmp_path: Path) -> None:
    sha256 = cache.keep_bytes(b"package")
    path = cache.object_path(sha256)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert cache.find(sha256, len(b"package")) is None
    assert not os.path.lexists(path)
    assert (tmp_path / "elsewhere").read_bytes() == b"package"


def test_side_files_of_artifacts_are_verified_and_cleared_with_them(
    cache: Cache, tmp_path: Path
) -> None:
    files = {}
    for role in ("", "bmap"):
        files[role] = tmp_path / f"made{role}"
        files[role].write_text(f"made {role}")
    ArtifactStore(cache).keep("k" * 64, files)
    directory = cache.directory / "artifacts" / ("k" * 64)
    assert verify_cache(cache) == ()
    (directory / "content.bmap").write_text("changed")
    assert [one.path for one in verify_cache(cache, keep=True)] == [
        f"artifacts/{'k' * 64}/content.bmap"
    ]
    clear_cache(cache, max_bytes=0)
    assert not directory.exists()


COMMANDS = (
    ("cache", "gc", "--max", "0B"),
    ("cache", "verify"),
    ("cache", "size"),
    ("doctor",),
    ("build", "rpi-aarch64"),
    ("inspect", "missing.img.xz"),
)


@pytest.mark.parametrize("words", COMMANDS, ids=["-".join(words[:2]) for words in COMMANDS])
def test_the_command_leaves_what_is_no_cache(tmp_path: Path, words: tuple[str, ...]) -> None:
    directory = tmp_path / "project" / ".git"
    directory.mkdir(parents=True)
    git(directory)
    before = snapshot(directory)
    ended = subprocess.run(
        [sys.executable, "-m", "voidimg.cli", "--cache", str(directory), *words],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode not in (0, 1), ended.stderr
    assert "is no cache of voidimg" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert snapshot(directory) == before


def test_sizes_are_told_in_json(cache: Cache) -> None:
    assert json.dumps([one.as_json() for one in measure_cache(cache)])
