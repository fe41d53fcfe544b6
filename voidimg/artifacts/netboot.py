"""The netboot tarball: what PXELINUX loads, and the root that the machine then fetches."""

from __future__ import annotations

from collections.abc import Sequence

from voidimg.artifact_names import NameForm
from voidimg.artifacts.kind import MAIN, ArtifactKind, PlannedStep, Step
from voidimg.artifacts.live_tree import (
    LIVE_TREE,
    install,
    live_of,
    menu_of,
    no_live,
    pack_live,
    parts_of,
    probe_live,
    take_boot_files,
)
from voidimg.artifacts.making import Making
from voidimg.disk.compress import Compression
from voidimg.identity import ReleaseDate
from voidimg.live.menus import Menu, check_menu_words, netboot_menu
from voidimg.live.netboot import NetbootParts, plan_netboot, write_netboot
from voidimg.live.recipe_menu import menu_before_build
from voidimg.spec.model import Recipe


class Netboot(ArtifactKind):
    """``void-<arch>-NETBOOT-<date>.tar.gz``."""

    name = "netboot"
    title = "netboot tarball"
    part = LIVE_TREE
    stages = ("live", "live-build", "netboot-build")
    named_only = True
    form = NameForm(".tar.gz", mark="NETBOOT", compressed=False)
    role = "live"
    on_a_medium = False

    def why_not(self, recipe: Recipe) -> str | None:
        """It needs a live system, and an address to fetch its root from."""
        if recipe.live is not None and recipe.live.netboot is None:
            return "the platform file has no [live.netboot]"
        return no_live(recipe)

    def subject(self, recipe: Recipe) -> str:
        """The architecture."""
        return recipe.arch

    def check(self, recipe: Recipe, date: ReleaseDate, compression: Compression) -> None:
        """Refuse menus and options that cannot be, and a host that cannot make them."""
        del compression
        probe_live(recipe, date)
        check_menu_words(netboot_menu(menu_before_build(recipe, str(date)), _url(recipe)))

    def room(self, compression: Compression) -> float:
        """The squashfs, and the tarball that holds it."""
        del compression
        return 1.0

    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """Add what loads over the network, make initramfs and squashfs, write the tarball."""
        netboot = live_of(recipe).netboot
        packages = () if netboot is None else netboot.build_packages
        install_line = PlannedStep("netboot", "make another initramfs with, beside these", packages)
        write_line = PlannedStep(
            "netboot",
            "write the tarball for PXELINUX, when it is asked for; the root is fetched from",
            (_url(recipe),),
        )
        return (
            Step(
                "netboot-build: install",
                (install_line,),
                lambda making: install(making, "netboot-build"),
            ),
            Step("live: boot loaders", (), _take),
            *pack_live(recipe, network=True),
            Step("netboot: write", (write_line,), _write),
        )


def _take(making: Making) -> None:
    take_boot_files(making)
    menu, parts = _contents(making)
    plan_netboot(menu, parts, making.templates)  # what is not there is told before minutes of work


def _contents(making: Making) -> tuple[Menu, NetbootParts]:
    parts = parts_of(making)
    wanted = NetbootParts(
        squashfs=parts.squashfs,
        kernel=parts.kernel_file,
        initrd=parts.initrd,
        tools=parts.directory,
        others={path.rpartition("/")[2]: source for path, source in parts.others.items()},
    )
    return netboot_menu(menu_of(making), _url(making.recipe)), wanted


def _write(making: Making) -> None:
    menu, parts = _contents(making)
    out = making.work / "netboot.new"
    write_netboot(plan_netboot(menu, parts, making.templates), out, making.epoch)
    making.keep("netboot", {MAIN: out})


def _url(recipe: Recipe) -> str:
    netboot = live_of(recipe).netboot
    if netboot is None:  # checked with the artifacts that are asked for
        raise AssertionError(f"{recipe.platform} does not start over the network")
    return netboot.url
