"""Which files that come from no package a recipe pins: they are named in the lock of the set."""

from __future__ import annotations

from collections.abc import Collection

from voidimg.spec.model import Recipe
from voidimg.spec.stages import PackageStage


def pinned_files(recipe: Recipe, stages: Collection[PackageStage]) -> dict[str, str]:
    """Path in the live system -> SHA-256, such as that of the installer.

    Only those of live systems are named: the lock has one list for a platform, and what is placed
    in other trees is not a program that somebody else wrote.
    """
    if recipe.live is None or "live" not in stages:
        return {}
    return {file.path: file.sha256 for file in recipe.live.files if file.sha256 is not None}
