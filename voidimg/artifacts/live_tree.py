"""The tree of a live system, and what is taken and made of it: initramfs, loaders, squashfs.

ISO and netboot tarball are made of the same tree; each packs a copy of its own when both are asked
for, since the packages that only build it leave the tree before it is packed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voidimg.artifacts.kind import Part, PlannedStep, Step
from voidimg.artifacts.making import Making
from voidimg.artifacts.trees import install_lines, set_up_lines, set_up_system
from voidimg.errors import LayoutError, SpecError, storing
from voidimg.identity import Identity, ReleaseDate
from voidimg.live.efi import make_esp
from voidimg.live.initramfs import find_kernel, make_initramfs
from voidimg.live.iso_plan import check_volume_id
from voidimg.live.media import SYSLINUX
from voidimg.live.menus import Menu, check_menu_words
from voidimg.live.recipe_menu import (
    DEVICE_TREES,
    FONT,
    MEMTEST,
    SPEECH,
    SPLASH,
    live_menu,
    menu_before_build,
)
from voidimg.live.squashfs import SquashfsOptions, probe_squashfs, write_squashfs
from voidimg.rootfs import steps
from voidimg.rootfs.accounts import check_live_account, crypt_password
from voidimg.rootfs.dracut import PROGRAMS
from voidimg.rootfs.kernels import Kernel
from voidimg.rootfs.locale import (
    check_generated,
    check_keymap,
    check_layouts,
    check_session,
)
from voidimg.rootfs.script_runner import TreeScripts
from voidimg.spec.live_model import Live
from voidimg.spec.model import Recipe
from voidimg.spec.volume_id import volume_id_of
from voidimg.tree import beneath
from voidimg.tree.copy_out import take_file, take_files
from voidimg.tree.tree import Tree
from voidimg.xbps.install.install import choose_alternative, remove

_MODULE = "live/dracut/"
"""Where the templates have our dracut module; ``*.j2`` are rendered, the rest is copied."""

_PARTS = "parts"


@dataclass(slots=True)
class LiveParts:
    """What has been taken from the tree of a live system, and made of it, in `directory`.

    `others` are optional files: their path on the ISO -> the copy.
    """

    directory: Path
    kernel: Kernel
    esp: Path | None = None
    others: dict[str, Path] = field(default_factory=dict)

    @property
    def kernel_file(self) -> Path:
        """The copy of the kernel."""
        return self.directory / self.kernel.name

    @property
    def initrd(self) -> Path:
        """The initramfs."""
        return self.directory / "initrd"

    @property
    def squashfs(self) -> Path:
        """The packed root."""
        return self.directory / "squashfs.img"


class LiveTree(Part):
    """The tree of a live system with the packages that build its media."""

    name = "live"
    tree = "live"
    changed_by_kinds = True

    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """An empty tree, its packages, what makes a live system of them, then what builds media."""
        live = live_of(recipe)
        kernel = () if live.kernel is None else (live.kernel,)
        chosen = tuple(f"{group}={package}" for group, package in sorted(live.alternatives.items()))
        lines = (
            PlannedStep("live", "install the kernel", kernel),
            *install_lines("live", recipe, live),
            *((PlannedStep("live", "choose the alternatives", chosen),) if chosen else ()),
        )
        build_line = PlannedStep(
            "live", "make the initramfs with", (*live.build_packages, live.initramfs)
        )
        return (
            Step("live: install", lines, _install_system),
            Step("live: set up", set_up_lines("live", recipe, live, recipe.live_hostname), _set_up),
            Step(
                "live-build: install", (build_line,), lambda making: install(making, "live-build")
            ),
        )


LIVE_TREE = LiveTree()


def tree_of(making: Making) -> Path:
    """Where the tree is on the host."""
    return making.work / LIVE_TREE.tree


def parts_of(making: Making) -> LiveParts:
    """What has been taken from the tree so far."""
    found = making.noted["live parts"]
    if not isinstance(found, LiveParts):
        raise TypeError("nothing has been taken from the live tree yet")
    return found


def no_live(recipe: Recipe) -> str | None:
    """Why `recipe` has no artifact of a live system; None when it has."""
    return None if recipe.live is not None else "its platform or profile file has no [live]"


def live_of(recipe: Recipe) -> Live:
    """The live system of `recipe`.

    Raises:
        LayoutError: it has none.
    """
    if recipe.live is None:
        raise LayoutError(
            f"{recipe.platform} with {recipe.profile} is no live system",
            code="NO-LIVE",
            where="live",
        )
    return recipe.live


def medium_id(making: Making) -> str:
    """The volume id by which the medium is found."""
    return volume_id_of(making.recipe, str(making.date))


def probe_live(recipe: Recipe, date: ReleaseDate) -> None:
    """Raise for what would keep a live system of `recipe` from being made, before work starts.

    Raises:
        LayoutError: squashfs knows no such options, an ISO has no such volume id, or a loader would
            change what the menu says.
        ToolError: mksquashfs or its compressor is missing.
    """
    live = live_of(recipe)
    check_volume_id(volume_id_of(recipe, str(date)))
    check_menu_words(menu_before_build(recipe, str(date)))
    probe_squashfs(_squashfs_options(live))


# --- the tree ---


def install(making: Making, stage: str, *, locale: str | None = None) -> None:
    """Install and configure the packages of `stage`."""
    steps.install_stage(
        tree_of(making),
        making.packages[stage],
        arch=making.recipe.arch,
        epoch=making.epoch,
        scratch=making.work / "bootstrap",
        locale=locale,
        # The kernel's hook would make an initramfs that no live system has: ours is made
        # below, and the installer makes that of the installed system.
        without=PROGRAMS,
        jobs=making.jobs,
        listener=making.listener,
    )


def _identity(making: Making) -> Identity:
    recipe = making.recipe
    return Identity(f"iso {recipe.platform} {recipe.profile} {making.date}")


def _install_system(making: Making) -> None:
    making.clear()
    steps.install_keys(tree_of(making), making.keys, epoch=making.epoch)
    install(making, "live", locale=making.recipe.locale)
    for group, package in sorted(live_of(making.recipe).alternatives.items()):
        choose_alternative(tree_of(making), package, group)


def _set_up(making: Making) -> None:
    live = live_of(making.recipe)
    set_up_system(making, tree_of(making), _identity(making), making.recipe.live_hostname)
    steps.apply_stage(
        tree_of(making),
        live,
        render=making.render,
        own=making.own_content,
        arch=making.recipe.arch,
        epoch=making.epoch,
        listener=making.listener,
    )
    # The profile may have brought its own; the minutes that the rest takes come later.
    with Tree(tree_of(making)) as tree:
        check_keymap(tree, live.keymap)
        check_layouts(tree, live.keyboard.layouts)
        check_live_account(tree, live.access.user, live.access.groups)
        if live.session is not None and "lightdm" in live.services:  # it asks by the file's name
            check_session(tree, live.session)
        for word in _menu_words(live):
            name, _, value = word.partition("=")
            if name == "live.user":
                check_live_account(tree, value, ())
            elif name == "vconsole.keymap":
                check_keymap(tree, value)
            elif name == "locale.LANG":
                check_generated(tree, value)
            elif name == "live.shell" and not tree.is_program(value):
                raise _no_shell(value)


def _no_shell(shell: str) -> SpecError:
    return SpecError(
        f"live.shell={shell} is no program of the live system",
        code="SHELL",
        where=shell,
        hint="name a program, and add the package that brings it",
    )


def _menu_words(live: Live) -> Iterator[str]:
    """What the profile and the platform add to the command lines of the menu."""
    for cmdline in (live.cmdline, *(machine.cmdline for machine in live.machines)):
        yield from cmdline.split()


# --- what is taken from it ---


def take_boot_files(making: Making) -> None:
    """Copy what a medium has from the tree: kernel, loaders, memory test, device trees.

    The packages that build the medium leave the tree before it is packed.
    """
    live, tree = live_of(making.recipe), tree_of(making)
    kernel = find_kernel(tree)
    directory = making.work / _PARTS
    with storing(directory, "make"):
        directory.mkdir()
    parts = LiveParts(directory, kernel)
    making.noted["live parts"] = parts
    take_file(tree, kernel.image, parts.kernel_file)
    if "isolinux" in live.loaders:
        take_files(tree, SYSLINUX, directory / SYSLINUX[1:])
    if live.memtest:
        for place, source in MEMTEST.items():
            parts.others[place] = _taken(making, source, place.rpartition("/")[2])
    for place, source in (SPLASH, FONT):
        if beneath.is_file(tree, source):
            parts.others[place] = _taken(making, source, place.rpartition("/")[2])
    for machine in live.machines:
        places = (f"{DEVICE_TREES}/{machine.devicetree}",
                  f"{DEVICE_TREES}/dtbs-{kernel.release}/{machine.devicetree}")  # fmt: skip
        found = [path for path in places if beneath.is_file(tree, path)]
        place = places[0]
        parts.others[place] = _taken(making, found[0] if found else place, f"{machine.name}.dtb")


def _taken(making: Making, path: str, name: str) -> Path:
    target = making.work / _PARTS / name
    take_file(tree_of(making), path, target)
    return target


def make_esp_image(making: Making) -> None:
    """Make the EFI system partition with the loaders of the recipe, if it has any for UEFI."""
    platforms = [loader.removeprefix("grub-") for loader in live_of(making.recipe).loaders
                 if loader.startswith("grub-")]  # fmt: skip
    if not platforms:
        return
    parts = parts_of(making)
    parts.esp = parts.directory / "esp.img"
    make_esp(
        tree_of(making),
        parts.esp,
        platforms,
        volume_id=medium_id(making),
        serial=_identity(making).uint32("esp serial"),
        epoch=making.epoch,
        templates=making.templates,
        arch=making.recipe.arch,
    )


def menu_of(making: Making) -> Menu:
    """The menu of the medium, with what was taken."""
    parts = parts_of(making)
    speech = beneath.is_directory(tree_of(making), SPEECH)
    return live_menu(making.recipe, medium_id(making), parts.kernel, parts.others, speech=speech)


# --- what is made of it ---


def pack_live(recipe: Recipe, *, network: bool) -> tuple[Step, ...]:
    """Make the initramfs, take out what only built the tree, pack the rest as a squashfs.

    Under qemu-user this takes minutes: whatever may be missing has been looked for before.
    `network` is for a root that comes from a server.
    """
    stages = ("live-build", "netboot-build") if network else ("live-build",)
    compression = live_of(recipe).squashfs.compression
    line = PlannedStep("live", f"pack the tree as a squashfs ({compression})")
    return (
        Step("live: initramfs", (), lambda making: _make_initramfs(making, network=network)),
        Step("live: clean", (), lambda making: _clean(making, stages)),
        Step("live: squashfs", (line,), _make_squashfs),
    )


def _make_initramfs(making: Making, *, network: bool) -> None:
    parts = parts_of(making)
    make_initramfs(
        tree_of(making),
        parts.initrd,
        parts.kernel,
        arch=making.recipe.arch,
        module=_dracut_module(making),
        compression=live_of(making.recipe).initramfs,
        epoch=making.epoch,
        network=network,
    )


def _dracut_module(making: Making) -> dict[str, bytes]:
    """File name -> content; the first directory of templates that has a file wins."""
    access = live_of(making.recipe).access
    secret = ""
    if access.password is not None:
        salt = _identity(making).salt(f"password/{access.user}")
        secret = crypt_password(access.password, salt)
    files = {}
    for name, content in making.templates.below(_MODULE).items():
        if name.endswith(".j2"):
            text = making.render(f"{_MODULE}{name}", {"password_hash": secret})
            files[name.removesuffix(".j2")] = text.encode()
        else:
            files[name] = content
    return files


def _clean(making: Making, build_stages: Sequence[str]) -> None:
    names = making.pkgnames(*build_stages)
    arch = making.recipe.arch
    if names:
        with TreeScripts(tree_of(making), arch, epoch=making.epoch) as scripts:
            remove(
                tree_of(making), names[::-1], arch=arch, runner=scripts, listener=making.listener
            )
    steps.finish(tree_of(making), epoch=making.epoch, listener=making.listener)


def _make_squashfs(making: Making) -> None:
    write_squashfs(
        tree_of(making),
        parts_of(making).squashfs,
        _squashfs_options(live_of(making.recipe)),
        epoch=making.epoch,
        jobs=making.jobs,
    )


def _squashfs_options(live: Live) -> SquashfsOptions:
    wanted = live.squashfs
    return SquashfsOptions(wanted.compression, wanted.level, wanted.block_size)
