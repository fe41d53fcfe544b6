"""Which packages each stage of a recipe needs, resolved from one state of the repositories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from voidimg.fetch import Wanted
from voidimg.pipeline.repositories import OpenRepository
from voidimg.pipeline.trust import SignedPackage
from voidimg.spec.model import Recipe
from voidimg.xbps.lock import Lock, LockedPackage, LockedPlatform, LockedStage, locked
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.resolver import Options, Transaction, resolve

InstallStage = Literal["rootfs", "platformfs"]
INSTALL_STAGES: tuple[InstallStage, ...] = ("rootfs", "platformfs")
"""The stages that have packages, in their order."""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """The packages of one stage in the order of installation, with what the stage asked for."""

    stage: InstallStage
    transaction: Transaction

    @property
    def installed_bytes(self) -> int:
        """The size of its files, as the index states it."""
        sizes = (step.entry.get("installed_size") for step in self.transaction.steps)
        return sum(size for size in sizes if isinstance(size, int))


def plan_stages(recipe: Recipe, repositories: Sequence[OpenRepository]) -> tuple[StagePlan, ...]:
    """Resolve every stage of `recipe`; a later stage builds on what the earlier ones installed.

    Raises:
        ResolveError: no consistent set exists; says what was asked for, by whom, and why not.
    """
    installed: dict[str, PlistDict] = {}
    plans = []
    options = Options(arch=recipe.arch)
    for stage in INSTALL_STAGES:
        requests = getattr(recipe, stage).packages
        found = resolve(requests, [one.repository for one in repositories], installed, options)
        plans.append(StagePlan(stage, found))
        for step in found.steps:
            installed[step.pkgname] = {**step.entry, "state": "installed"}
    return tuple(plans)


def make_lock(
    recipe: Recipe, repositories: Sequence[OpenRepository], stages: Sequence[StagePlan]
) -> Lock:
    """The lock of a recipe's `stages`: every package, with what selects and verifies its file.

    Raises:
        PackageError: an index entry lacks the architecture, size or SHA-256 of its file.
    """
    known = tuple(one.locked for one in repositories)
    packages = [
        locked(step, known, stage.stage, group)
        for group, stage in enumerate(stages)
        for step in stage.transaction.steps
    ]
    rootfs, platformfs = (
        LockedStage(group, stage.transaction.requests) for group, stage in enumerate(stages)
    )
    platform = LockedPlatform(recipe.platform, recipe.profile, recipe.arch, rootfs, platformfs)
    return Lock(known, tuple(packages), (platform,))


def signed_package(package: LockedPackage, repositories: Sequence[OpenRepository]) -> SignedPackage:
    """What to fetch for `package`, and the key that must have signed it."""
    repository = repositories[package.repository]
    urls = repository.location.file(package.file_name)
    return SignedPackage(
        Wanted(package.file_name, urls, package.size, package.sha256), repository.key
    )
