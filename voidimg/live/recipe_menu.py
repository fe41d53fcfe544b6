"""What the boot menu of a live system says, from its recipe and what is found in its tree."""

from __future__ import annotations

from collections.abc import Collection

from voidimg.live.menus import MachineMenu, Menu
from voidimg.rootfs.kernels import Kernel
from voidimg.spec.live_model import Live
from voidimg.spec.model import Recipe
from voidimg.spec.volume_id import VOLUME_ID_CHARACTERS, volume_id_of

MEMTEST = {"/boot/memtest.bin": "/boot/memtest86+/memtest.bin",
           "/boot/memtest.efi": "/boot/memtest86+/memtest.efi"}  # fmt: skip
"""Path on the ISO -> path in the target's package of memtest86+."""

SPLASH = "/boot/isolinux/splash.png", "/usr/share/void-artwork/splash.png"
FONT = "/boot/grub/fonts/unicode.pf2", "/usr/share/grub/unicode.pf2"
DEVICE_TREES = "/boot/dtbs"
"""On the ISO; in the tree they may be in a directory of their kernel's there."""

SPEECH = "/etc/sv/espeakup"
"""The screen reader that live.accessibility starts; without it the menu offers no speech."""


def live_menu(
    recipe: Recipe, volume_id: str, kernel: Kernel, others: Collection[str], *, speech: bool = True
) -> Menu:
    """The menu of the ISO `volume_id` with `kernel`; `others` are its optional files.

    `speech` says whether the tree has a screen reader for the console.
    """
    live = recipe.live
    if live is None:  # checked with the recipe
        raise AssertionError(f"{recipe.platform} with {recipe.profile} is no live system")
    bios, efi = (path if path in others else None for path in MEMTEST)
    splash, font = (place if place in others else None for place, _ in (SPLASH, FONT))
    return Menu(
        title=live.title,
        kernel_version=kernel.release,
        arch=recipe.arch,
        volume_id=volume_id,
        keymap=live.keymap,
        locale=recipe.locale or "C.UTF-8",
        cmdline=live.cmdline,
        kernel=f"/boot/{kernel.name}",
        timeout_seconds=live.timeout_seconds,
        serial=live.serial_port if live.serial else None,
        speech=speech,
        memtest_bios=bios,
        memtest_efi=efi,
        splash=splash,
        font=font,
        machines=machine_menus(live),
    )


def machine_menus(live: Live) -> tuple[MachineMenu, ...]:
    """The entries of their own for machines that need them; trees lie below `DEVICE_TREES`."""
    return tuple(
        MachineMenu(
            name=machine.name,
            title=machine.title,
            cmdline=machine.cmdline,
            devicetree=f"{DEVICE_TREES}/{machine.devicetree}",
        )
        for machine in live.machines
    )


_ANY_KERNEL = Kernel("0.0.0_0", "/boot/vmlinuz-0.0.0_0")
"""What is checked of a menu before there is a kernel does not depend on it."""


def menu_before_build(recipe: Recipe, date: str) -> Menu:
    """The menu of the medium of `date` as far as it is known before there is a kernel."""
    return live_menu(recipe, volume_id_of(recipe, date), _ANY_KERNEL, {})


def longest_menu(recipe: Recipe) -> Menu:
    """The menu of `recipe` for the date whose volume id makes its command lines longest."""
    return live_menu(recipe, "X" * VOLUME_ID_CHARACTERS, _ANY_KERNEL, {})
