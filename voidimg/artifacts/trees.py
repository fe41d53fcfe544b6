"""The trees of a system that is no live system: that of the ROOTFS, then of the PLATFORMFS; WSL's.

One tree goes through the stages: the packages of the PLATFORMFS are installed into the tree of the
ROOTFS once that has been packed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from voidimg.artifacts.kind import Part, PlannedStep, Step
from voidimg.artifacts.making import Making
from voidimg.errors import LayoutError
from voidimg.identity import Identity
from voidimg.rootfs import steps
from voidimg.rootfs.dracut import PROGRAMS as DRACUT
from voidimg.rootfs.dracut import run_dracut
from voidimg.rootfs.kernels import KERNELS, find_kernels
from voidimg.spec.model import Recipe
from voidimg.spec.stage_model import Stage

TREE = "tree"
"""The directory of the tree below the work directory."""


class RootfsTree(Part):
    """An installed system without what is for one platform only."""

    name = "rootfs"
    tree = TREE

    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """An empty tree, its packages, and what makes a system of them."""
        return system_steps("rootfs", recipe, recipe.rootfs)


ROOTFS_TREE = RootfsTree()


class PlatformfsTree(Part):
    """The tree of the ROOTFS with what its platform needs."""

    name = "platformfs"
    made_of = ROOTFS_TREE
    tree = TREE

    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """More packages, and what the platform sets."""
        stage = recipe.platformfs
        initramfs: tuple[Step, ...] = ()
        if recipe.boot.initramfs != "none":
            line = PlannedStep("platformfs", "make the initramfs with", (recipe.boot.initramfs,))
            initramfs = (Step("platformfs: initramfs", (line,), _make_initramfs),)
        return (
            Step("platformfs: install", package_lines("platformfs", stage), _install_platformfs),
            Step("platformfs: set up", change_lines("platformfs", stage), _set_up_platformfs),
            *initramfs,
        )


class WslTree(Part):
    """A system for WSL, from an empty tree."""

    name = "wsl"
    tree = TREE

    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """As that of a ROOTFS, with the packages and files for WSL."""
        return system_steps("wsl", recipe, recipe.wsl or Stage())


PLATFORMFS_TREE = PlatformfsTree()
WSL_TREE = WslTree()


def tree_of(making: Making) -> Path:
    """Where the tree is on the host."""
    return making.work / TREE


def system_steps(name: str, recipe: Recipe, stage: Stage) -> tuple[Step, ...]:
    """What makes a system in an empty tree: packages, accounts, host name, zone, then `stage`."""

    def install_system(making: Making) -> None:
        making.clear()
        steps.install_keys(tree_of(making), making.keys, epoch=making.epoch)
        install(making, name, locale=making.recipe.locale)

    def set_up(making: Making) -> None:
        set_up_system(making, tree_of(making), Identity(f"{name} {recipe.arch} {making.date}"))
        apply(making, stage)

    return (
        Step(f"{name}: install", install_lines(name, recipe, stage), install_system),
        Step(f"{name}: set up", set_up_lines(name, recipe, stage), set_up),
    )


_OF_THE_MACHINE = (*DRACUT, "/usr/bin/grub-mkconfig", "/usr/sbin/grub-mkconfig")
"""What hooks of kernels start, and what looks at the machine that it runs on: the builder's."""


def _install_platformfs(making: Making) -> None:
    # Where the recipe says who makes the initramfs, that comes last, for any machine.
    without = _OF_THE_MACHINE if making.recipe.boot.initramfs != "none" else ()
    install(making, "platformfs", without=without)


def _set_up_platformfs(making: Making) -> None:
    apply(making, making.recipe.platformfs)


def _make_initramfs(making: Making) -> None:
    kernels = find_kernels(tree_of(making))
    if not kernels:
        raise LayoutError(
            "there is no kernel to make an initramfs for: no directory of modules has its image in"
            " /boot",
            code="NO-KERNEL",
            where=KERNELS,
            hint="add the package of a kernel, such as linux, to [platformfs]",
        )
    for kernel in kernels:
        run_dracut(
            tree_of(making),
            kernel,
            (),
            kernel.initramfs,
            arch=making.recipe.arch,
            epoch=making.epoch,
        )
    steps.finish(tree_of(making), epoch=making.epoch, listener=making.listener)


def install(
    making: Making, stage: str, *, locale: str | None = None, without: Sequence[str] = ()
) -> None:
    """Install and configure the packages of `stage`; see `steps.install_stage`."""
    steps.install_stage(
        tree_of(making),
        making.packages[stage],
        arch=making.recipe.arch,
        epoch=making.epoch,
        scratch=making.work / "bootstrap",
        locale=locale,
        without=without,
        jobs=making.jobs,
        listener=making.listener,
    )


def set_up_system(
    making: Making, tree: Path, identity: Identity, hostname: str | None = None
) -> None:
    """Accounts, host name and time zone of the recipe; `hostname` in place of its own."""
    recipe = making.recipe
    steps.set_up_system(
        tree,
        users=recipe.users,
        hostname=recipe.hostname if hostname is None else hostname,
        timezone=recipe.timezone,
        identity=identity,
        date=making.date,
    )


def apply(making: Making, stage: Stage, context: Mapping[str, object] | None = None) -> None:
    """Edits, files, services and hooks of `stage`; then the tree is ready to be packed."""
    steps.apply_stage(
        tree_of(making),
        stage,
        render=lambda name: making.render(name, context),
        own=making.own_content,
        arch=making.recipe.arch,
        epoch=making.epoch,
        listener=making.listener,
    )
    steps.finish(tree_of(making), epoch=making.epoch, listener=making.listener)


# --- what these steps say of themselves ---


def install_lines(name: str, recipe: Recipe, stage: Stage) -> tuple[PlannedStep, ...]:
    """The packages of a stage that begins with an empty tree, and its locale."""
    lines = package_lines(name, stage)
    if recipe.locale is not None:
        lines += (PlannedStep(name, "generate the locale", (recipe.locale,)),)
    return lines


def set_up_lines(
    name: str, recipe: Recipe, stage: Stage, hostname: str | None = None
) -> tuple[PlannedStep, ...]:
    """What makes a system of installed packages."""
    return (
        PlannedStep(name, "set up accounts", tuple(user.name for user in recipe.users)),
        PlannedStep(name, "set the host name", (hostname or recipe.hostname,)),
        PlannedStep(name, "set the time zone", (recipe.timezone,)),
        *change_lines(name, stage),
    )


def package_lines(name: str, stage: Stage) -> tuple[PlannedStep, ...]:
    """The packages of a stage."""
    if not stage.packages:
        return ()
    return (PlannedStep(name, "install and configure", stage.packages),)


def change_lines(name: str, stage: Stage) -> tuple[PlannedStep, ...]:
    """What a stage changes in a tree, in the order of `Stage`."""
    parts = (
        ("edit", tuple(edit.path for edit in stage.edits)),
        ("write", tuple(file.path for file in stage.files)),
        ("enable services", stage.services),
        ("run the hooks", tuple(hook.name for hook in stage.hooks)),
    )
    return tuple(PlannedStep(name, what, details) for what, details in parts if details)
