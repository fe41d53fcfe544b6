"""Runs `voidimg release` for the set of the tiny board."""

from __future__ import annotations

from pathlib import Path

from tests.integration.building import DATE, SPEC, sha256_of
from tests.testrepo import RepositoryFixture

WAIVED = ("void-tiny-PLATFORMFS-20240314.tar", "void-tiny-20240314.img")
"""They hold no kernel that any board could start, which the lint says."""

ARTIFACTS = (
    "void-aarch64-ROOTFS-20240314.tar",
    "void-aarch64-own-ROOTFS-20240314.tar",
    *WAIVED,
)
SIDE_FILES = ("void-tiny-20240314.img.bmap",)
DOCUMENTS = ("manifest.json", "sha256sum.txt", "void-20240314.lock.json")


def release_words(
    repository: RepositoryFixture,
    place: Path,
    *more: str | Path,
    name: str | Path = "tiny",
    out: str = "out",
    waived: tuple[str, ...] = WAIVED,
) -> list[str | Path]:
    """What follows `voidimg` to release the set `name` with the cache and outputs below `place`."""
    words: list[str | Path] = ["--cache", place / "cache", "--out", place / out, "--jobs", "2"]
    words += ["release", name, "--platforms-and-profiles", SPEC, "--date", DATE]
    words += ["--compression", "none", "-r", repository.path, "--repo-key", repository.key_plist]
    for one in waived:
        words += ["--waive", f"lint:{one}=the tiny board starts nowhere"]
    return [*words, *(["--waived-by", "A. Tester"] if waived else []), *more]


def released(directory: Path) -> dict[str, str]:
    """Every file of an image set, hidden ones too, and its SHA-256."""
    return {path.name: sha256_of(path) for path in sorted(directory.iterdir())}
