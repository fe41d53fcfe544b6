"""Checks menus and ISOs against the plan: what firmware, boot loader and kernel will look for."""

from __future__ import annotations

from pathlib import Path

from voidimg.errors import LayoutError, raise_all
from voidimg.foreign import open_regular
from voidimg.formats.iso9660 import BLOCK_BYTES, open_iso
from voidimg.formats.partition_table import SECTOR_BYTES, read_table
from voidimg.live.hybrid import ESP_TYPE
from voidimg.live.iso_plan import IsoPlan
from voidimg.live.menus import Menu, files_of


def check_menu(menu: Menu, plan: IsoPlan) -> None:
    """Everything that `menu` names is in `plan`, and it looks for the medium that this is. Pure.

    Raises:
        LayoutError: something is missing; several in a `CollectedError`.
    """
    named = files_of(menu, "bios") if plan.bios is not None else frozenset()
    if plan.efi is not None:
        named |= files_of(menu, "efi")
    problems = [
        LayoutError(
            f"the boot menu names {path}, which is not on the ISO", code="MENU-FILE", where=path
        )
        for path in sorted(named - {file.path for file in plan.files})
    ]
    if menu.volume_id != plan.volume_id:
        what = f"the boot menu looks for {menu.volume_id}, but the ISO is {plan.volume_id}"
        problems.append(LayoutError(what, code="MENU-VOLUME", where=plan.volume_id))
    raise_all(problems, "the boot menu does not fit the ISO")


def check_iso(plan: IsoPlan, image: Path) -> None:
    """Volume id, files, boot catalog and partition table of `image` are those of `plan`.

    Raises:
        LayoutError: something differs; the message names it.
    """
    with open_iso(image) as iso:
        _same("the volume id", plan.volume_id, iso.volume_id)
        boots = plan.bios is not None or plan.efi is not None
        planned = {file.path: file.size_bytes for file in plan.files}
        found = {
            path: size for path, size in iso.files.items() if not boots or path != plan.catalog
        }
        _same("the list of files", dict(sorted(planned.items())), found)
        entries = [] if plan.bios is None else [("bios", plan.bios.loader)]
        if plan.efi is not None:
            entries.append(("efi", plan.efi))
        boot_entries = iso.boot_entries
        _same("the boot catalog", entries, [(entry.platform, entry.path) for entry in boot_entries])
    _check_table(plan, image, {entry.platform: entry.block for entry in boot_entries})


def _check_table(plan: IsoPlan, image: Path, blocks: dict[str, int]) -> None:
    with open_regular(image, block_device=True) as file:
        sector = file.read(SECTOR_BYTES)
    if plan.bios is not None:
        address = int.from_bytes(sector[432:440], "little") * SECTOR_BYTES
        _same("the address of the BIOS loader", blocks["bios"] * BLOCK_BYTES, address)
        return
    table = read_table(image)
    _same("the disk's identifier", str(plan.identifiers.disk), table.identifier)
    if plan.efi is not None:
        partition = table.partition(1)
        found = (partition.type, partition.offset_bytes)
        _same("the EFI system partition", (str(ESP_TYPE), blocks["efi"] * BLOCK_BYTES), found)


def _same(what: str, planned: object, found: object) -> None:
    if planned != found:
        raise LayoutError(
            f"{what} is not as planned: {found!r} instead of {planned!r}",
            code="NOT-AS-PLANNED",
            hint="this is a fault of voidimg or of a tool: please report it",
        )
