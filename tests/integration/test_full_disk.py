"""A full disk is foreseen, or reported as a full disk; nothing half written stays."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.command import arguments, environment
from tests.integration.building import build_words, published
from tests.integration.small_disk import in_small_disk
from tests.testrepo import RepositoryFixture

MIB = 2**20


def build_on(
    disk: Path, size: int, step: str, words: list[str | Path]
) -> tuple[int, str, list[str]]:
    """Exit status, messages, and what is left on the small file system mounted at `disk`."""
    disk.mkdir()
    ended = subprocess.run(
        in_small_disk(disk, size, step, arguments(*words)),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    said, _, left = ended.stderr.rstrip().rpartition("\n")
    return ended.returncode, said, json.loads(left)


def test_too_little_room_is_foreseen(tiny: RepositoryFixture, tmp_path: Path) -> None:
    """Before a byte is fetched; the message says how much is needed and how much is there."""
    words = build_words(tiny, tmp_path)
    status, said, left = build_on(tmp_path / "cache", 2 * MIB, "", words)
    assert status == 12, said
    assert "[E-DISKFULL-FORESEEN]" in said
    assert "but only 2 MiB are free" in said
    assert "fetch ..." not in said
    assert not [name for name in left if name.startswith(("objects/", "work/"))]
    assert published(tmp_path) == {}


@pytest.mark.parametrize(
    "step",
    [
        "fetch",
        "rootfs: install",
        "unpack",
        "configure",
        "rootfs: set up",
        "rootfs: pack",
        "platformfs: pack",
        "image: set up",
        "image: write",
        "clean up",
    ],
)
def test_a_disk_that_fills_up_on_the_way_is_told(
    step: str, tiny: RepositoryFixture, tmp_path: Path
) -> None:
    """Whoever meets it, a program or a script too; the work directory is gone.

    Filling takes longer than the last writing step, the compression of a tiny image; it is the
    step before that meets the full disk there.
    """
    words = build_words(tiny, tmp_path)
    status, said, left = build_on(tmp_path / "cache", 200 * MIB, step, words)
    assert "Traceback" not in said
    if step == "clean up":  # all is made; only the memory of the plan does not fit any more
        assert status in (0, 12), said
    else:
        assert status == 12, said
        assert "[E-DISKFULL-FULL]" in said
        assert published(tmp_path) == {}
    assert [name for name in left if name.startswith("work/")] == []


def test_a_full_output_directory_is_told(tiny: RepositoryFixture, tmp_path: Path) -> None:
    """Outputs that fit are whole, the one that does not leaves nothing."""
    words = build_words(tiny, tmp_path)
    status, said, left = build_on(tmp_path / "out", 10 * MIB, "", words)
    assert status == 12, said
    assert "[E-DISKFULL-" in said
    assert "void-tiny-20240314.img" in said
    assert not [name for name in left if name.rpartition("/")[2].startswith(".")]
