"""How long each artifact took when it was last made, and how large it became."""

from __future__ import annotations

from dataclasses import dataclass

from voidimg.fetch import Cache
from voidimg.release.remembered import recall, remember
from voidimg.release.rows import PlannedArtifact


@dataclass(frozen=True, slots=True)
class LastRun:
    """`seconds` are those of the job that made it, maybe with others; `size` is in bytes."""

    seconds: float
    size: int


def last_run(cache: Cache, planned: PlannedArtifact) -> LastRun | None:
    """When the artifact was last made from this cache; None when it never was."""
    found = recall(cache, _key(planned))
    if not isinstance(found, list) or len(found) != 2:
        return None
    return LastRun(float(found[0]), int(found[1]))


def note_run(cache: Cache, planned: PlannedArtifact, seconds: float, size: int) -> None:
    """Remember that making the artifact took `seconds`; 0 means that it was there already."""
    if seconds:
        remember(cache, _key(planned), [round(seconds, 3), size])


def _key(planned: PlannedArtifact) -> object:
    recipe = planned.resolved.recipe
    return ["last", planned.kind, recipe.platform, recipe.profile]
