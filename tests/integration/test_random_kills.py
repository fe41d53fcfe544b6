"""Every long verb killed by SIGKILL at random moments: nothing is left, and the next run is right.

`VOIDIMG_KILLS` says how many kills there are; the full number, 200, belongs to `make smoke`.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.command import voidimg
from tests.integration.building import SPEC, build_words, left_in_work, published
from tests.integration.killing import kill_after, mounts, users_of
from tests.integration.test_killed import left_in_cache
from tests.testrepo import RepositoryFixture
from voidimg.identity import ReleaseDate
from voidimg.signing.keys import create_release_key

_KILLS = int(os.environ.get("VOIDIMG_KILLS", "7"))
_COMPRESSION = "zstd:1"


@dataclass
class Killed:
    """A verb to kill: its words, what is to be the case after each kill, and after the last run."""

    words: list[str | Path]
    status: int
    unharmed: Callable[[], object] = lambda: None
    before: Callable[[], object] = lambda: None
    env: Mapping[str, str] = field(default_factory=dict)


def verbs(tiny: RepositoryFixture, finished: Path, place: Path) -> dict[str, Killed]:
    """Every verb that takes long, over its own copy of a finished image set."""
    own = Path(shutil.copytree(finished / "out", place / "set")) / "20240314"
    image = next(own.glob("*.img.zst"))
    key = create_release_key(ReleaseDate.parse("20240314"), place, passphrase=None)
    reading: list[str | Path] = ["--cache", place / "reading"]
    board: list[str | Path] = ["--platforms-and-profiles", SPEC, "--platform", "tiny-booted"]
    sums = own / "sha256sum.txt"
    building = build_words(tiny, place, compression=_COMPRESSION)
    right = published(finished)

    def only_whole_files() -> None:
        for name, digest in published(place).items():
            if not name.startswith(".voidimg-"):
                assert right[name] == digest, name

    def only_whole_sums() -> None:
        assert not sums.exists() or len(sums.read_bytes().splitlines()) == len(right)

    def start_anew() -> None:
        for name in ("cache", "out"):
            shutil.rmtree(place / name, ignore_errors=True)

    def unsign() -> None:
        for name in ("sha256sum.txt", "sha256sum.sig"):
            (own / name).unlink(missing_ok=True)

    sign: list[str | Path] = ["sign", own, "--key", key.secret_path]
    assert voidimg(*sign).returncode == 0
    return {
        "inspect": Killed([*reading, "inspect", image, "--json"], 0),
        "lint": Killed([*reading, "lint", image], 16),
        "smoke": Killed(
            [*reading, "--out", place / "logs", "smoke", image, *board, "--medium", "nvme"], 15
        ),
        "verify": Killed(["verify", own, "--key", key.public_path], 0),
        "sign": Killed(sign, 0, only_whole_sums, unsign),
        "build anew": Killed(building, 0, only_whole_files, start_anew),
        "build on": Killed(building, 0, only_whole_files),
    }


def kill_all(
    number: int, tiny: RepositoryFixture, finished: Path, place: Path
) -> dict[str, list[int]]:
    """Kill every verb in turn, `number` times together; the statuses by verb."""
    temporary = place / "tmp"
    temporary.mkdir()
    env = {"TMPDIR": str(temporary)}
    chance = random.Random(number)
    statuses: dict[str, list[int]] = {}
    table = verbs(tiny, finished, place)
    for count, (name, verb) in enumerate(table.items()):
        verb.before()
        begun = time.monotonic()
        ended = voidimg(*verb.words, env=env)
        took = time.monotonic() - begun
        assert ended.returncode == verb.status, (name, ended.stderr)
        before = mounts()
        for _ in range(number // len(table) + (count < number % len(table))):
            verb.before()
            status = kill_after(verb.words, chance.uniform(0.05, 1.0) * took, env)
            statuses.setdefault(name, []).append(status)
            assert mounts() == before, name
            assert users_of(place) == [], name
            assert all(path.name.startswith(".voidimg-") for path in temporary.iterdir()), name
            verb.unharmed()
        ended = voidimg(*verb.words, env=env)
        assert ended.returncode == verb.status, (name, ended.stderr)
        assert list(temporary.iterdir()) == [], name
    assert published(place) == published(finished)
    assert left_in_work(place) == []
    assert left_in_cache(place) == []
    return statuses


def test_kills_at_random_moments(
    tiny: RepositoryFixture, finished: Callable[[str], Path], tmp_path: Path
) -> None:
    """Some of them; most hit the verb while it runs."""
    statuses = kill_all(_KILLS, tiny, finished(_COMPRESSION), tmp_path)
    assert sum(len(found) for found in statuses.values()) == _KILLS
    killed = [status for found in statuses.values() for status in found if status == -9]
    assert len(killed) > _KILLS // 2


@pytest.mark.smoke
def test_two_hundred_kills(
    tiny: RepositoryFixture, finished: Callable[[str], Path], tmp_path: Path
) -> None:
    """The full number."""
    statuses = kill_all(200, tiny, finished(_COMPRESSION), tmp_path)
    assert sum(len(found) for found in statuses.values()) == 200
