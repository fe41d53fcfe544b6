"""The plan of a build: each part is made once, before what is made of it, and is what runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from voidimg.artifacts.kind import ArtifactKind
from voidimg.artifacts.plan import plan_parts, planned_steps
from voidimg.artifacts.registry import KINDS, artifact_kinds, kinds_of
from voidimg.catalog.catalog import Catalog
from voidimg.errors import UsageError
from voidimg.identity import ReleaseDate
from voidimg.pipeline.build import build
from voidimg.pipeline.forecast import forecast_build
from voidimg.pipeline.locks import lock_platforms
from voidimg.pipeline.options import BuildOptions
from voidimg.spec.model import Recipe

PI = Catalog().recipe("rpi-aarch64").recipe
LIVE = Catalog().recipe("x86_64").recipe


def names(recipe: Recipe, *wanted: str) -> list[str]:
    """The names of the steps, those of parts and of kinds."""
    return [
        step.name
        for planned in plan_parts(recipe, wanted)
        for step in (*planned.making, *planned.kinds)
    ]


def test_a_part_is_made_once_however_many_kinds_are_made_of_it() -> None:
    wanted = [name for name, kind in KINDS.items() if kind.why_not(PI) is None]
    steps = names(PI, *wanted)
    assert len(steps) == len(set(steps))
    order = ["rootfs: pack", "platformfs: install", "platformfs: pack", "image: write"]
    assert [step for step in steps if step in order] == order
    assert {"image: compress", "qcow2: pack"} <= set(steps[steps.index("image: write") :])


def test_what_is_not_asked_for_is_not_packed() -> None:
    steps = names(PI, "image")
    assert "rootfs: install" in steps
    assert "rootfs: pack" not in steps


def test_kinds_that_change_a_tree_get_a_copy_of_it() -> None:
    """But for the last one."""
    both = names(LIVE, "iso", "netboot")
    assert both.count("live: install") == 1
    assert both.count("live: copy") == 1
    assert both.index("live: copy") < both.index("iso: write") < both.index("netboot: write")
    assert "live: copy" not in names(LIVE, "iso")


@pytest.mark.parametrize("recipe", [PI, LIVE], ids=lambda recipe: str(recipe.platform))
def test_what_is_shown_is_what_runs(recipe: Recipe) -> None:
    """No line of the plan stands anywhere but in a step."""
    wanted = [name for name, kind in KINDS.items() if kind.why_not(recipe) is None]
    run = [
        line
        for planned in plan_parts(recipe, wanted)
        for step in (*planned.making, *planned.kinds)
        for line in step.lines
    ]
    shown = [line for line in planned_steps(recipe) if line.stage != "lock"]
    assert shown == list(dict.fromkeys(run))


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: str(kind.name))
def test_a_kind_says_all_that_is_asked_of_it(kind: ArtifactKind) -> None:
    assert kind.name in artifact_kinds()
    assert kind.title
    assert set(kind.own_stages) <= set(kind.stages)
    recipe = PI if kind.why_not(PI) is None else LIVE
    assert kind.steps(recipe)
    assert kinds_of(recipe, (kind.name,)) == (kind.name,)


def test_a_profile_of_live_systems_is_in_no_other_artifact(tmp_path: Path) -> None:
    """A ROOTFS of it would be the plain one under its name: every way to ask for one says so."""
    resolved = Catalog().recipe("x86_64", "xfce")
    options = BuildOptions.parse(
        cache=tmp_path / "cache", out=tmp_path, artifacts=["rootfs"], repositories=[str(tmp_path)]
    )
    asking: tuple[Callable[[], object], ...] = (
        lambda: kinds_of(resolved.recipe, ("rootfs", "platformfs"), only_live=resolved.only_live),
        lambda: forecast_build(resolved, options),
        lambda: build(resolved, ReleaseDate.parse("20240314"), options),
        lambda: lock_platforms([resolved], options, artifacts=["rootfs"]),
    )
    for ask in asking:
        with pytest.raises(UsageError) as caught:
            ask()
        assert caught.value.code == "E-USAGE-PROFILE-LIVE"
    assert kinds_of(resolved.recipe, ("rootfs", "iso"), only_live=resolved.only_live)
    assert not Catalog().recipe("x86_64", "base").only_live
