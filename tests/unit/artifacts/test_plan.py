"""The plan of a build: each part is made once, before what is made of it, and is what runs."""

from __future__ import annotations

import pytest

from voidimg.artifacts.kind import ArtifactKind
from voidimg.artifacts.plan import plan_parts, planned_steps
from voidimg.artifacts.registry import KINDS, artifact_kinds, kinds_of
from voidimg.catalog.catalog import Catalog
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
