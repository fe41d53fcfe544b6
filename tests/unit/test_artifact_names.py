"""File names of artifacts: Void's own exactly, others apart from them, all read back as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voidimg.artifacts.kind import ArtifactKind, profile_of
from voidimg.artifacts.registry import KINDS, read_name
from voidimg.catalog.catalog import Catalog
from voidimg.spec.model import Recipe

PLATFORMS = [entry.name for entry in Catalog().platforms()]
SUFFIXES = st.sampled_from(["", ".xz", ".zst"])
DATES = st.sampled_from(["20240314", "20240314rc1", "20250202r2"])
PROFILES = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,2}", fullmatch=True)


def recipe_of(platform: str, profile: str | None) -> Recipe:
    recipe = Catalog().recipe(platform).recipe
    return recipe if profile is None else recipe.model_copy(update={"profile": profile})


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: str(kind.name))
@given(
    platform=st.sampled_from(["rpi-aarch64", "rpi-aarch64-musl", "x86_64", "x86_64-musl"]),
    profile=st.none() | PROFILES,
    date=DATES,
    suffix=SUFFIXES,
)
def test_names_are_read_back_as_they_were_written(
    kind: ArtifactKind, platform: str, profile: str | None, date: str, suffix: str
) -> None:
    recipe = recipe_of(platform, profile)
    expected = recipe.profile if kind.name == "iso" else profile_of(recipe)
    for name in kind.file_names(recipe, date, suffix).values():
        found = read_name(Path("out") / name)
        assert found is not None
        form, said = found
        assert form is kind
        assert (said.subject, said.date, said.profile) == (kind.subject(recipe), date, expected)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: str(kind.name))
def test_two_profiles_of_one_platform_never_have_the_same_name(kind: ArtifactKind) -> None:
    names = {
        kind.file_names(recipe_of("x86_64", profile), "20240314", ".xz")[""]
        for profile in (None, "xfce", "kiosk")
    }
    assert len(names) == 3


@given(profile=PROFILES)
def test_a_rootfs_of_another_profile_is_not_found_by_the_pattern_of_incus(profile: str) -> None:
    """distrobuilder takes the first name that its pattern fits."""
    pattern = re.compile(r"void-aarch64(?:-musl)?-ROOTFS-.*\.tar\.xz")
    own, other = recipe_of("rpi-aarch64", None), recipe_of("rpi-aarch64", profile)
    names = [KINDS["rootfs"].file_names(one, "20240314", ".xz")[""] for one in (own, other)]
    assert [pattern.fullmatch(name) is not None for name in names] == [True, False]


@pytest.mark.parametrize(
    "name", ["void.img", "my-20240314.img.xz", "void-rpi-20240314.img.gz", "void-20240314.img"]
)
def test_other_names_say_nothing(name: str) -> None:
    assert read_name(Path(name)) is None
