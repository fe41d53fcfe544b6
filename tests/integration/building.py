"""Runs `voidimg build` for the tiny board and says what came of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.testrepo import RepositoryFixture

DATE = "20240314"
SPEC = Path(__file__).parent / "spec"
"""Platforms and profiles of these tests."""

NAMES = {
    "rootfs": "void-aarch64-ROOTFS-20240314.tar",
    "platformfs": "void-tiny-PLATFORMFS-20240314.tar",
    "image": "void-tiny-20240314.img",
}
"""Artifacts of the tiny board, without the suffix of the compression."""

BLOCK_MAP = "void-tiny-20240314.img.bmap"
LOCK = "void-tiny-20240314.lock.json"
SUFFIX = {"none": "", "xz": ".xz", "zstd": ".zst"}


def build_words(
    repository: RepositoryFixture,
    place: Path,
    *more: str | Path,
    location: str | Path | None = None,
    mirror: str | Path | None = None,
    platform: str = "tiny",
    compression: str = "none",
    jobs: int = 2,
    before: tuple[str | Path, ...] = (),
) -> list[str | Path]:
    """What follows `voidimg` to build `platform` with the cache and outputs below `place`.

    Args:
        repository: the packages and the key to trust.
        place: gets `cache` and `out`.
        more: further options of `build`.
        location: the repository's URL or directory when it is not where the fixture says.
        mirror: read the platform's own repositories from there instead.
        platform: what to build; the tiny board comes with its own profile.
        compression: of every artifact.
        jobs: how many things to do at once.
        before: further global options.
    """
    own: list[str | Path] = []
    if platform == "tiny":
        own = ["--platforms-and-profiles", SPEC, "--profile", "tiny"]
    words: list[str | Path] = ["--cache", place / "cache", "--out", place / "out"]
    words += ["--jobs", str(jobs), *before]
    words += ["build", platform, *own, "--date", DATE, "--compression", compression]
    words += ["-r", location or repository.path] if mirror is None else ["--mirror", mirror]
    return [*words, "--repo-key", repository.key_plist, *more]


def names_of(compression: str) -> set[str]:
    """The files that a build of the tiny board publishes."""
    suffix = SUFFIX[compression.partition(":")[0]]
    return {*(name + suffix for name in NAMES.values()), BLOCK_MAP, LOCK}


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def published(place: Path) -> dict[str, str]:
    """Every file below `out`, hidden ones too: its path in there and its SHA-256."""
    out = place / "out"
    return {
        str(path.relative_to(out / DATE)): sha256_of(path)
        for path in sorted(out.rglob("*"))
        if not path.is_dir()
    }


def left_in_work(place: Path) -> list[str]:
    """What builds left in the cache's work directory."""
    work = place / "cache" / "work"
    return sorted(str(path.relative_to(work)) for path in work.rglob("*")) if work.exists() else []
