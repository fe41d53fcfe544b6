"""The steps of a build in their order, from the kinds that are wanted: what is shown is run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from voidimg.artifacts.kind import ArtifactKind, KindName, Part, PlannedStep, Step
from voidimg.artifacts.making import Making
from voidimg.artifacts.registry import KINDS
from voidimg.errors import without_passwords
from voidimg.spec.model import Recipe
from voidimg.tree.copy import copy_tree


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """A part, the steps that make it, and those of the kinds that are made of it."""

    part: Part
    making: tuple[Step, ...]
    kinds: tuple[Step, ...]


def plan_parts(recipe: Recipe, wanted: Collection[KindName]) -> tuple[PlannedPart, ...]:
    """What makes the artifacts `wanted` of `recipe`, in order.

    Each part is made once, after the part that it changes and after the kinds that are made of
    that. Where several kinds change the tree of one part, all but the last get a copy of it.
    """
    kinds = [kind for name, kind in KINDS.items() if name in wanted]
    return tuple(
        PlannedPart(part, tuple(part.steps(recipe)), tuple(_kind_steps(part, kinds, recipe)))
        for part in _parts(kinds)
    )


def _parts(kinds: Sequence[ArtifactKind]) -> list[Part]:
    """The parts that `kinds` are made of, each behind the one that it changes."""
    found: list[Part] = []
    for kind in kinds:
        chain: list[Part] = []
        part: Part | None = kind.part
        while part is not None and part not in found:
            chain.append(part)
            part = part.made_of
        found += reversed(chain)
    return found


def _kind_steps(part: Part, kinds: Sequence[ArtifactKind], recipe: Recipe) -> Iterator[Step]:
    own = [kind for kind in kinds if kind.part is part]
    for kind in own:
        if part.changed_by_kinds and kind is not own[-1]:
            yield from _on_a_copy(part.tree, kind.steps(recipe))
        else:
            yield from kind.steps(recipe)


def _on_a_copy(tree: str, steps: Sequence[Step]) -> tuple[Step, ...]:
    """`steps`, after which the tree is what it was before."""
    kept = f"{tree}.kept"

    def keep(making: Making) -> None:
        copy_tree(making.work / tree, making.work / kept)

    def bring_back(making: Making) -> None:
        making.clear(but=(kept,))
        (making.work / kept).rename(making.work / tree)

    return (Step(f"{tree}: copy", (), keep), *steps, Step("", (), bring_back))


def planned_steps(
    recipe: Recipe,
    *,
    repositories: Sequence[str] = (),
    added: Sequence[str] = (),
    keys: Sequence[str] = (),
) -> tuple[PlannedStep, ...]:
    """What a build of all artifacts of `recipe` does, in the order in which it is done.

    Nothing is fetched to say it, so a size is given where the recipe fixes it. `repositories`,
    where there are any, are named in place of the platform's own; `added` before them; `keys`
    beside the platform's.
    """
    wanted = [name for name, kind in KINDS.items() if kind.why_not(recipe) is None]
    sources = tuple(map(without_passwords, (*added, *(repositories or recipe.repositories))))
    trusted = tuple(dict.fromkeys((*recipe.keys, *keys)))
    lines = [
        PlannedStep("lock", "resolve packages of all stages from", sources),
        PlannedStep("lock", "fetch and verify packages signed by", trusted),
        PlannedStep("lock", "make every system trust the keys", trusted),
    ]
    for planned in plan_parts(recipe, wanted):
        for step in (*planned.making, *planned.kinds):
            lines += [line for line in step.lines if line not in lines]
    return tuple(lines)
