"""One image for all boots, and how `voidimg smoke` is typed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import voidimg
from tests.images import SPEC, built_image

PATIENCE = os.environ.get("VOIDIMG_TEST_PATIENCE", "2")
"""What boots of good images may take, in times of the platform's own limits."""


@dataclass(frozen=True, slots=True)
class Pristine:
    """A finished image, and its SHA-256 from before any boot."""

    path: Path
    sha256: str


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Pristine:
    """The image of rpi-aarch64, compressed, in a directory of its own."""
    built = built_image()
    path = tmp_path_factory.mktemp("image") / built.name
    shutil.copyfile(built, path)
    return Pristine(path, sha256_of(path))


@pytest.fixture
def raw_image(image: Pristine, tmp_path: Path) -> Path:
    """A copy of the image, not compressed, to do harm to."""
    raw = tmp_path / image.path.name.removesuffix(".zst")
    subprocess.run(["zstd", "-d", "-q", image.path, "-o", raw], check=True)
    return raw


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def smoke(image: Path, place: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `voidimg smoke` on `image`, its cache and logs in `place`, its verdict as JSON."""
    argv: list[str | Path] = ["--cache", place / "cache", "--out", place / "out", "smoke", image]
    argv += ["--platforms-and-profiles", SPEC, "--patience", PATIENCE, "--json", *words]
    return voidimg(*argv, timeout=3000)
