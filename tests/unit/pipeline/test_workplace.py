"""What killed builds left goes when the cache is cleared; what others work on stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import environment, voidimg_json
from voidimg.events import ignore
from voidimg.fetch import Cache
from voidimg.pipeline.workdir import clear_cache, workplace

_BUILD = """
import sys
from pathlib import Path
from voidimg.events import ignore
from voidimg.fetch import Cache
from voidimg.pipeline.workdir import workplace
with workplace(Cache(Path(sys.argv[1])), ignore) as work:
    (work / "tree").mkdir()
    (work / "tree" / "file").write_bytes(bytes(range(256)) * 400)
    print(work, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def build(cache: Cache) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process that works in the cache, and where."""
    words = [sys.executable, "-c", _BUILD, str(cache.directory)]
    with subprocess.Popen(
        words, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_clearing_removes_the_work_of_killed_builds_only(
    cache: Cache, build: tuple[subprocess.Popen[str], Path]
) -> None:
    """While its build runs it stays, whatever the limits say; then it goes without a limit."""
    process, work = build
    assert clear_cache(cache, max_bytes=0) == ()
    assert (work / "tree/file").is_file()
    process.kill()
    process.wait()
    assert (work / "tree/file").is_file()
    with workplace(cache, ignore) as own:  # clears up itself
        assert not work.exists()
        (own / "file").write_text("mine")
        assert clear_cache(cache) == ()
        assert (own / "file").exists()


def test_the_command_says_how_much_work_it_cleared(
    cache: Cache, build: tuple[subprocess.Popen[str], Path]
) -> None:
    """Files and bytes, as of everything else."""
    process, work = build
    process.kill()
    process.wait()
    answer = voidimg_json("--cache", cache.directory, "cache", "gc", "--json")
    assert [one["content"] for one in answer["contents"]] == ["work under way"]
    assert answer["files"] == 2  # the file and the lock
    assert answer["bytes"] >= 256 * 400
    assert not work.exists()
