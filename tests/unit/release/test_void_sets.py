"""Void's own sets: exactly the files that Void publishes, under its names."""

from __future__ import annotations

import pytest

from voidimg.catalog.catalog import Catalog
from voidimg.disk.compress import parse_compression
from voidimg.identity import ReleaseDate
from voidimg.release.rows import planned_artifacts

PC = ("x86_64", "x86_64-musl", "i686")
ARM_LIVE = ("aarch64", "aarch64-musl", "asahi", "asahi-musl")
ARM = ("armv6l", "armv6l-musl", "armv7l", "armv7l-musl", "aarch64", "aarch64-musl")
WSL = ("x86_64", "x86_64-musl", "aarch64", "aarch64-musl")


def live(date: str, platforms: tuple[str, ...]) -> set[str]:
    """As on Void's mirrors: two flavours of each."""
    return {f"void-live-{one}-{date}-{end}.iso" for one in platforms for end in ("base", "xfce")}


def march_2024(date: str) -> set[str]:
    """The files of the set of 14 March 2024."""
    return {
        *live(date, PC),
        *(f"void-{arch}-ROOTFS-{date}.tar.xz" for arch in (*PC, *ARM)),
        *(f"void-rpi-{arch}-PLATFORMFS-{date}.tar.xz" for arch in ARM),
        *(f"void-rpi-{arch}-{date}.img.xz" for arch in ARM),
    }


def february_2025(date: str) -> set[str]:
    """Those of the set of 2 February 2025."""
    return march_2024(date) | live(date, ARM_LIVE)


def current(date: str) -> set[str]:
    """Those that Void's workflow makes today."""
    return february_2025(date) | {f"void-{arch}-{date}.wsl" for arch in WSL}


@pytest.mark.parametrize(
    ("name", "date", "count", "files"),
    [
        ("void-20240314", "20240314", 27, march_2024("20240314")),
        ("void-20250202", "20250202", 35, february_2025("20250202")),
        ("void-current", "20260901", 39, current("20260901")),
    ],
)
def test_a_set_has_the_files_of_void(name: str, date: str, count: int, files: set[str]) -> None:
    """Neither more nor fewer, and each once."""
    whole = Catalog().resolved_set(name)
    planned = planned_artifacts(whole, ReleaseDate.parse(date), parse_compression("xz"))
    assert len(planned) == len(files) == count
    assert {one.name for one in planned} == files
