"""The shipped set `nightly` as a CI releases it: built, linted, booted, and signed elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.boot.conftest import PATIENCE
from tests.command import PROJECT, voidimg
from tests.images import DATE, PLACE
from tests.testrepo import provide
from tests.void_mirror import AARCH64, lay_out_mirror
from voidimg.release.manifest import read_manifest

OWN = PROJECT / "tests" / "integration" / "nightly"
"""The shipped profile, packed quickly."""

pytestmark = pytest.mark.smoke


def test_the_set_of_every_night_is_booted_and_published(tmp_path: Path) -> None:
    """Each artifact in one way at least; what was booted is what is listed; three persons do it."""
    arm, pc = provide(), provide(arch="x86_64", live=True)
    lay_out_mirror(tmp_path / "mirror", {AARCH64: [arm], "current": [pc]})
    words: list[str | Path] = ["--cache", PLACE / "cache", "--out", tmp_path / "out"]
    words += ["release", "nightly", "--date", DATE, "--compression", "zstd:1"]
    words += ["--platforms-and-profiles", OWN, "--patience", PATIENCE]
    words += ["--mirror", tmp_path / "mirror"]
    words += ["--repo-key", arm.key_plist, "--repo-key", pc.key_plist]
    ended = voidimg(*words, timeout=3000)
    assert ended.returncode == 0, ended.stderr
    directory = tmp_path / "out" / DATE
    said = read_manifest(directory)
    assert [one.name for one in said.artifacts] == [
        f"void-live-x86_64-{DATE}-base.iso",
        f"void-rpi-aarch64-{DATE}.img.zst",
        f"void-x86_64-disk-{DATE}.img.zst",
    ]
    for one in said.artifacts:
        assert [boot.verdict for boot in one.smoke] == ["passed"], one.name
        assert [boot.sha256 for boot in one.smoke] == [one.sha256]
        assert list(one.why_not_publishable()) == []
    assert voidimg("keygen", DATE, "--no-passphrase", cwd=tmp_path).returncode == 0
    signed = voidimg("sign", directory, cwd=tmp_path)
    assert signed.returncode == 0, signed.stderr
    promoted = voidimg("--out", tmp_path / "out", "promote", DATE, cwd=tmp_path)
    assert promoted.returncode == 0, promoted.stderr
