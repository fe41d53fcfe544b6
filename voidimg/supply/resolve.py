"""Which packages each stage of a recipe needs, resolved from one state of the repositories."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from voidimg.errors import SpecError, raise_all
from voidimg.fetch import Wanted
from voidimg.spec.live_model import Live
from voidimg.spec.model import Recipe
from voidimg.spec.problems import in_order
from voidimg.spec.stages import LIVE_TREE, TREES, PackageStage
from voidimg.supply.lock import Lock, LockedPackage, LockedPlatform, LockedStage, locked
from voidimg.supply.opened import OpenRepository
from voidimg.supply.pinned import pinned_files
from voidimg.supply.trust import SignedPackage
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.resolve.errors import Problems
from voidimg.xbps.resolve.resolver import Options, Transaction, resolve
from voidimg.xbps.resolve.transaction import after, installs

_DEFAULT_KERNEL = "linux"
_BASE_OF_KERNELS = "linux-base"
_IN_ANY_CASE = ("E-RESOLVE-MISSING", "E-RESOLVE-BAD-DEPENDENCY")
"""Problems that do not depend on what is installed before."""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """The packages of one stage in the order of installation, with what the stage asked for."""

    stage: PackageStage
    transaction: Transaction

    @property
    def installed_bytes(self) -> int:
        """The size of its files, as the index states it."""
        sizes = (step.entry.get("installed_size") for step in self.transaction.steps)
        return sum(size for size in sizes if isinstance(size, int))


def plan_stages(
    recipe: Recipe, repositories: Sequence[OpenRepository], stages: Collection[PackageStage]
) -> tuple[StagePlan, ...]:
    """Resolve `stages` of `recipe`; a later one builds on what the earlier ones of its tree have.

    Raises:
        ResolveError: no consistent set exists; says what was asked for, by whom, and why not.
            Of several, of any stages, come all in a `CollectedError`.
        SpecError: a service of a live system comes without its package.
    """
    plans: list[StagePlan] = []
    problems = Problems()
    for tree in TREES:
        wanted = [stage for stage in tree if stage in stages]
        plans += _plan_tree(recipe, repositories, wanted, problems)
    for plan in plans:
        if plan.stage == "live" and recipe.live is not None:
            _require_services(recipe.live, {one.pkgname for one in plan.transaction.steps})
    problems.raise_all()
    return tuple(plans)


def _plan_tree(
    recipe: Recipe,
    repositories: Sequence[OpenRepository],
    stages: Sequence[PackageStage],
    problems: Problems,
) -> list[StagePlan]:
    """The plans of `stages`, which install into one tree, as far as there are any.

    After a stage without a plan nobody knows what is installed: of a later one then only is told
    what it lacks in any case.
    """
    plans: list[StagePlan] = []
    installed: dict[str, PlistDict] = {}
    for tried, stage in enumerate(stages):
        requests, options = stage_requests(recipe, stage), stage_options(recipe, stage)
        with problems.noted(_IN_ANY_CASE if len(plans) < tried else ()):
            found = resolve(requests, [one.repository for one in repositories], installed, options)
            plans.append(StagePlan(stage, found))
            installed = after(installed, found.steps)
    return plans


def stage_requests(recipe: Recipe, stage: PackageStage) -> tuple[str, ...]:
    """The packages that `stage` asks for."""
    if stage == "rootfs":
        return recipe.rootfs.packages
    if stage == "platformfs":
        return recipe.platformfs.packages
    if stage == "wsl":
        return () if recipe.wsl is None else recipe.wsl.packages
    live, kernel = _live_kernel(recipe)
    if stage == "live-build":
        return (*live.build_packages, live.initramfs)
    if stage == "netboot-build":
        return () if live.netboot is None else live.netboot.build_packages
    kernels = (kernel,) if kernel == _DEFAULT_KERNEL else (kernel, _BASE_OF_KERNELS)
    return (*live.packages, *kernels)


def stage_options(recipe: Recipe, stage: PackageStage) -> Options:
    """How the packages of `stage` are to be resolved."""
    if stage not in LIVE_TREE or _live_kernel(recipe)[1] == _DEFAULT_KERNEL:
        return Options(arch=recipe.arch)
    # base-system asks for the default kernel, and only one can be there.
    return Options(arch=recipe.arch, ignorepkg=frozenset({_DEFAULT_KERNEL}))


def _live_kernel(recipe: Recipe) -> tuple[Live, str]:
    live = recipe.live
    if live is None or live.kernel is None:  # checked with the recipe
        raise AssertionError(f"{recipe.platform} with {recipe.profile} is no live system")
    return live, live.kernel


def _require_services(live: Live, packages: Collection[str]) -> None:
    """Raise for services whose known package is not among `packages`, before any is fetched."""
    errors = [
        SpecError(
            f"the service {service} is enabled without its package {package}",
            code="SERVICE-PACKAGE",
            where=f"live.services: {service}",
            hint=f"add {package} to the packages of [live], or remove the service",
        )
        for service in live.services
        if (package := live.service_packages.get(service, "")) and package not in packages
    ]
    raise_all(in_order(errors), "services without their packages")


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
        for step in installs(stage.transaction.steps)
    ]
    files = tuple(sorted(pinned_files(recipe, [stage.stage for stage in stages]).items()))
    platform = LockedPlatform(
        recipe.platform, recipe.profile, recipe.arch, files=files
    ).with_stages(
        {
            stage.stage: LockedStage(group, stage.transaction.requests)
            for group, stage in enumerate(stages)
        }
    )
    return Lock(known, tuple(packages), (platform,))


def signed_package(package: LockedPackage, repositories: Sequence[OpenRepository]) -> SignedPackage:
    """What to fetch for `package`, and the key that must have signed it."""
    repository = repositories[package.repository]
    urls = repository.location.file(package.file_name)
    return SignedPackage(
        Wanted(package.file_name, urls, package.size, package.sha256), repository.key
    )
