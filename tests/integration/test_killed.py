"""A build that is killed leaves nothing behind, and the next one goes on to the same bytes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import voidimg
from tests.integration.building import build_words, left_in_work, published
from tests.integration.killing import mounts, run_until, users_of
from tests.testrepo import RepositoryFixture

STEPS = [
    ("repositories", 1),
    ("resolve", 1),
    ("fetch", 1),
    ("rootfs: install", 1),
    ("pre scripts", 1),
    ("bootstrap", 1),
    ("unpack", 1),
    ("configure", 1),
    ("configure", 2),
    ("rootfs: set up", 1),
    ("rootfs: pack", 1),
    ("platformfs: install", 1),
    ("pre scripts", 2),
    ("unpack", 2),
    ("configure", 3),
    ("configure", 4),
    ("platformfs: set up", 1),
    ("platformfs: pack", 1),
    ("image: set up", 1),
    ("image: write", 1),
    ("image: block map", 1),
    ("image: compress", 1),
    ("clean up", 1),
]
"""Every step of a build of the tiny board, and which one of its name."""


def test_every_step_is_in_the_table(tiny: RepositoryFixture, tmp_path: Path) -> None:
    """A step that is added to the build is killed too."""
    ended = voidimg(*build_words(tiny, tmp_path))
    assert ended.returncode == 0, ended.stderr
    started = [line[:-4] for line in ended.stderr.splitlines() if line.endswith(" ...")]
    counted = [(name, started[: at + 1].count(name)) for at, name in enumerate(started)]
    assert counted == STEPS


@pytest.mark.parametrize(("step", "count"), STEPS)
def test_a_killed_build_leaves_nothing(
    step: str,
    count: int,
    tiny: RepositoryFixture,
    finished: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    """No mount, loop device, process or half-written file; the next run clears up and succeeds."""
    words = build_words(tiny, tmp_path)
    before = mounts()
    status = run_until(words, "StepStarted", step, count, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert mounts() == before
    assert users_of(tmp_path) == []
    assert published(tmp_path) == {}
    ended = voidimg(*words)
    assert ended.returncode == 0, ended.stderr
    assert published(tmp_path) == published(finished("none"))
    assert left_in_work(tmp_path) == []
    assert left_in_cache(tmp_path) == []


def left_in_cache(place: Path) -> list[Path]:
    """Files of the cache that are neither complete nor in use."""
    return [
        path
        for path in (place / "cache").rglob("*")
        if path.suffix in (".new", ".part") or path.name.startswith(".")
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_a_build_that_is_asked_to_stop_stops(
    number: signal.Signals, tiny: RepositoryFixture, tmp_path: Path
) -> None:
    """It ends at once, without a traceback, and nothing is left."""
    words = build_words(tiny, tmp_path)
    status = run_until(words, "StepStarted", "image: write", 1, number)
    assert status in (130, -signal.SIGTERM)
    assert users_of(tmp_path) == []
    assert published(tmp_path) == {}
    if number == signal.SIGINT:
        assert left_in_work(tmp_path) == []
