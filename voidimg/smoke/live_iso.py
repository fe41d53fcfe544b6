"""What a live ISO says of itself that a boot test needs: volume id, kernel, and its console."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from voidimg.errors import LayoutError, UsageError, storing
from voidimg.foreign import open_regular
from voidimg.formats.iso9660 import SYSTEM_AREA_BYTES, Iso, open_iso
from voidimg.inspection.medium import open_medium
from voidimg.inspection.opened import require_file
from voidimg.live.efi import GRUB_CONFIG
from voidimg.smoke.shell import Person
from voidimg.spec.live_model import Live
from voidimg.spec.model import Recipe
from voidimg.spec.smoke_model import FIRMWARE_PROGRAMS, Firmware

_MENUS: Mapping[Firmware, str] = {
    "bios": "/boot/isolinux/isolinux.cfg",
    "uefi": GRUB_CONFIG,
    "uefi-ia32": GRUB_CONFIG,
}
_ENTRY = re.compile(r"\broot=live:\S+[^\n]*")
_SERIAL_CONSOLE = re.compile(r"\bconsole=tty(?:S|AMA)\d")
_DESCRIPTOR = b"CD001"
_WITH_SCREEN = FIRMWARE_PROGRAMS["bios"]
"""Programs whose machines have a screen and a keyboard by themselves: PCs."""


def is_iso(path: Path) -> bool:
    """Whether the file at `path` has the volume descriptor of an ISO.

    Raises:
        LayoutError: it is a pipe.
        StoreError: it cannot be read.
    """
    require_file(path)
    with storing(path, "read"), open_regular(path, block_device=True) as file:
        return os.pread(file.fileno(), 5, SYSTEM_AREA_BYTES + 1) == _DESCRIPTOR


def typed_console(recipe: Recipe) -> str | None:
    """What asks for a serial console when it is typed at the menu; None where nobody can type."""
    port = recipe.live.serial_port if recipe.live is not None else None
    if port is None or recipe.smoke.qemu not in _WITH_SCREEN:
        return None
    return f"console=tty0 console={port}"


def words_for_serial(path: Path, recipe: Recipe, firmware: Firmware) -> str:
    """What has to be typed at the menu of `firmware` for a console that a test can read.

    Empty when the menu asks for one itself (``serial = true``).

    Raises:
        UsageError: it asks for none, and there is no way to type.
        LayoutError: the ISO has no menu for `firmware`, or is damaged.
    """
    with open_iso(path) as iso:
        words = _ENTRY.search(_menu(iso, firmware))
    if words is not None and _SERIAL_CONSOLE.search(words[0]) is not None:
        return ""
    typed = typed_console(recipe)
    if typed is None:
        raise UsageError(
            f"the boot menu of {path.name} starts no serial console, so nobody could log in",
            code="NO-SERIAL",
            where=str(path),
            hint="build it with serial = true in [live] of its profile",
        )
    return typed


def patterns_of(path: Path, live: Live, arch: str, firmware: Iterable[Firmware]) -> dict[str, str]:
    """What ``{volume_id}`` and ``{kernel_release}`` stand for: what the ISO itself promises.

    The release of the kernel is in the title of the first entry, where people read it too, unless
    the title is long.

    Raises:
        LayoutError: it has no menu for one of `firmware`, or is damaged.
    """
    with open_iso(path) as iso:
        menus = [_menu(iso, kind) for kind in dict.fromkeys(firmware)]
        volume_id = iso.volume_id
    entry = rf"""(?:MENU LABEL |menuentry "){re.escape(live.title)}"""
    title = re.search(rf"""{entry}(?: (\d[^\s"]*)|(?=["\n]| \(| with))""", menus[0])
    release = title and (title[1] or _release(path))
    if release is None:
        raise LayoutError(
            f"the boot menu does not say {live.title}, its kernel and ({arch})",
            code="MENU",
            where=str(path),
            hint="is this the profile that the ISO was built from? Name it with --profile",
        )
    return {"volume_id": re.escape(volume_id), "kernel_release": re.escape(release)}


def _release(path: Path) -> str | None:
    """The release that the kernel says itself, where a long title left no room for it."""
    with open_medium(path) as medium:
        return medium.kernel.release


def _menu(iso: Iso, firmware: Firmware) -> str:
    return iso.read(_MENUS[firmware]).decode("utf-8", "replace")


def live_user(live: Live) -> Person:
    """Who logs in on a live system; without sudo nobody but root can power it off."""
    access = live.access
    as_root: str | None = None
    if access.sudo == "passwordless":
        as_root = "sudo -n "
    elif access.sudo == "password" and access.password is not None:
        as_root = f"echo {shlex.quote(access.password)} | sudo -S "
    return Person(access.user, access.password, f"{as_root or ''}poweroff", as_root)
