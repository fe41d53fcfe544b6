"""Puts together what a live ISO holds, from the parts that earlier steps made. Pure, but for looks.

The boot loaders of BIOS machines come from the target's own package of syslinux.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from voidimg.errors import LayoutError, storing
from voidimg.identity import Identity
from voidimg.live.efi import GRUB_CONFIG
from voidimg.live.iso_plan import BiosBoot, IsoFile, IsoPlan, iso_identifiers
from voidimg.live.menus import Menu, files_of, render_grub, render_isolinux
from voidimg.live.verify_iso import check_menu
from voidimg.spec.templates import Templates
from voidimg.tree import beneath

SQUASHFS = "/LiveOS/squashfs.img"
"""Where dracut's dmsquash-live looks for the root."""
ESP = "/boot/grub/efiboot.img"
SYSLINUX = "/usr/lib/syslinux"
"""Where the target's package of syslinux has its files."""

_LOADER, _CONFIG, _CATALOG, _MBR_CODE = "isolinux.bin", "isolinux.cfg", "boot.cat", "isohdpfx.bin"


@dataclass(frozen=True, slots=True)
class MediaParts:
    """The parts, as files of the host.

    `tools` is the tree that has syslinux, None for an ISO that BIOS machines need not start. `esp`
    is the image of the EFI system partition, None without UEFI. `others` has, by path on the ISO,
    what else the menus name: splash, font, memtest, device trees.
    """

    squashfs: Path
    kernel: Path
    initrd: Path
    tools: Path | None
    esp: Path | None
    others: Mapping[str, Path] = field(default_factory=dict)


def plan_media(menu: Menu, parts: MediaParts, identity: Identity, templates: Templates) -> IsoPlan:
    """The ISO of `parts` with the menus of `menu`, rendered from `templates`.

    Raises:
        LayoutError: the menu names a file that is not there, or the tree lacks syslinux.
        SpecError: a template is missing or broken.
        StoreError: a file of the boot loader cannot be read.
    """
    files = [
        IsoFile(SQUASHFS, parts.squashfs, 0o444),
        IsoFile(menu.kernel, parts.kernel),
        IsoFile(menu.initrd, parts.initrd),
        *(IsoFile(path, source) for path, source in sorted(parts.others.items())),
    ]
    bios = efi = None
    if parts.tools is not None:
        bios = _bios(menu, parts.tools)
        files += _isolinux(menu, parts.tools)
        config = render_isolinux(menu, templates).encode()
        files.append(IsoFile(f"{menu.modules}/{_CONFIG}", config))
    if parts.esp is not None:
        efi = ESP
        files.append(IsoFile(ESP, parts.esp))
        files.append(IsoFile(GRUB_CONFIG, render_grub(menu, templates).encode()))
    plan = IsoPlan(menu.volume_id, tuple(files), iso_identifiers(identity), bios, efi)
    check_menu(menu, plan)
    return plan


def _isolinux(menu: Menu, tools: Path) -> Iterator[IsoFile]:
    yield IsoFile(f"{menu.modules}/{_LOADER}", syslinux_file(tools, _LOADER))
    for path in sorted(files_of(menu, "bios")):
        directory, _, name = path.rpartition("/")
        if directory == menu.modules and name.endswith(".c32"):
            yield IsoFile(path, syslinux_file(tools, name))


def _bios(menu: Menu, tools: Path) -> BiosBoot:
    code = syslinux_file(tools, _MBR_CODE)
    with storing(code, "read"):
        content = code.read_bytes()
    return BiosBoot(f"{menu.modules}/{_LOADER}", content, f"{menu.modules}/{_CATALOG}")


def syslinux_file(tools: Path, name: str) -> Path:
    """The file `name` of the package syslinux in the tree `tools`.

    Raises:
        LayoutError: it is not there.
    """
    if not beneath.is_file(tools, f"{SYSLINUX}/{name}"):
        raise LayoutError(
            f"the tree has no {SYSLINUX}/{name}", code="NO-SYSLINUX", where=f"{SYSLINUX}/{name}",
            hint="add the package syslinux to the recipe",
        )  # fmt: skip
    return beneath.own_copy(tools, f"{SYSLINUX}/{name}")
