"""Images that boots, measurements and other tests share: made once, and again when inputs change.

What an image is made of decides whether it is made: the product's own cache knows that.
"""

from __future__ import annotations

from pathlib import Path

from tests.command import PROJECT, voidimg_json
from tests.testrepo import provide
from tests.testrepo.provision import RepositoryFixture
from tests.testrepo.target import Arch

DATE = "20240314"
PLACE = PROJECT / "build" / "images"
SPEC = Path(__file__).parent / "boot" / "spec"
"""Profiles of images that can be watched and typed into by the serial console."""


def built_image(
    platform: str = "rpi-aarch64", *, kind: str = "image", compression: str = "zstd:1"
) -> Path:
    """The image of `platform` from the test repository, or the artifact `kind`; only to be read.

    Another run may put a newer one in its place: copy it where it has to stay the same for long.
    """
    repository = repository_of(platform)
    artifacts = voidimg_json(
        *("--quiet", "--cache", PLACE / "cache", "--out", PLACE / "out"),
        *("build", platform, "--date", DATE, "--compression", compression, "--json", "--replace"),
        *("--artifact", kind),
        *("-r", repository.path, "--repo-key", repository.key_plist),
    )
    wanted = (kind, "")
    (path,) = [Path(one["path"]) for one in artifacts if (one["kind"], one["role"]) == wanted]
    return path


def repository_of(platform: str) -> RepositoryFixture:
    """The test repository that has what `platform` needs; for rpi-aarch64 the smaller one."""
    if platform == "aarch64-disk":
        return provide(arch="aarch64", live=True)
    return provide(arch="x86_64" if platform == "x86_64-disk" else "aarch64")


def live_words(
    place: Path, *more: str | Path, profile: str = "live-console", platform: Arch = "x86_64"
) -> list[str | Path]:
    """What follows `voidimg` to build a live ISO with the cache and outputs below `place`.

    By default it is the base system with its menus on the serial port; `more` are further options.
    """
    repository = provide(arch=platform, live=True)
    words: list[str | Path] = ["--quiet", "--cache", place / "cache", "--out", place / "out"]
    words += ["build", platform, "--profile", profile, "--artifact", "iso"]
    words += ["--date", DATE, "--platforms-and-profiles", SPEC, "--replace"]
    return [*words, "-r", repository.path, "--repo-key", repository.key_plist, *more]


def built_iso(profile: str = "live-console", *, platform: Arch = "x86_64") -> Path:
    """The live ISO of `live_words`, its lock beside it; only to be read, as `built_image`."""
    words = live_words(PLACE, "--json", profile=profile, platform=platform)
    (artifact,) = voidimg_json(*words, timeout=2400)
    return Path(artifact["path"])
