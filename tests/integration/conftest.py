"""Repositories and finished builds that several tests look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import voidimg
from tests.integration.building import build_words, names_of, published
from tests.testrepo import RepositoryFixture, provide, provide_tiny
from tests.void_mirror import AARCH64, Mirror, lay_out_mirror, serving_mirror


@pytest.fixture(scope="session")
def whole() -> RepositoryFixture:
    """The whole repository."""
    return provide()


@pytest.fixture(scope="session")
def tiny() -> RepositoryFixture:
    """The tiny repository."""
    return provide_tiny()


@pytest.fixture(scope="session")
def finished(
    tiny: RepositoryFixture, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Compression -> the place of an undisturbed build of the tiny board; only to be looked at."""
    places: dict[str, Path] = {}

    def place_of(compression: str) -> Path:
        if compression not in places:
            place = tmp_path_factory.mktemp("finished")
            ended = voidimg(*build_words(tiny, place, compression=compression))
            assert ended.returncode == 0, ended.stderr
            assert published(place).keys() == names_of(compression)
            places[compression] = place
        return places[compression]

    return place_of


@pytest.fixture(scope="session")
def mirror(whole: RepositoryFixture, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """A mirror of Void, with the whole repository and, for musl, the tiny one."""
    top = tmp_path_factory.mktemp("mirror")
    lay_out_mirror(top, {AARCH64: [whole, provide_tiny(musl=True)]})
    with serving_mirror(top) as running:
        yield running


@pytest.fixture(scope="session")
def raspberry(
    whole: RepositoryFixture, mirror: Mirror, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The place of a finished build of rpi-aarch64, all artifacts; only to be looked at.

    The platform is the shipped one as it is: its packages come from the mirror.
    """
    place = tmp_path_factory.mktemp("raspberry")
    words = build_words(
        whole, place, platform="rpi-aarch64", compression="zstd:1", mirror=mirror.url
    )
    ended = voidimg(*words)
    assert ended.returncode == 0, ended.stderr
    return place
