"""A whole live medium from its parts, with the real boot loaders of BIOS and UEFI."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import voidimg
from tests.unit.live.isos import EPOCH, ISOLINUX
from voidimg.errors import CollectedError, LayoutError
from voidimg.formats.iso9660 import open_iso
from voidimg.identity import Identity
from voidimg.live.efi import make_esp
from voidimg.live.iso import write_iso
from voidimg.live.media import ESP, SQUASHFS, MediaParts, plan_media
from voidimg.live.menus import Menu, files_of
from voidimg.live.verify_iso import check_menu
from voidimg.run import run
from voidimg.spec.templates import Templates

TEMPLATES = Templates.read([Path(voidimg.__file__).parent / "templates"])
IDENTITY = Identity("media")
MENU = Menu("Void Linux", "6.6.21_1", "x86_64", "VOID_TEST", memtest_bios="/boot/memtest.bin")
MODULES = Path("/usr/lib/syslinux/modules/bios")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> MediaParts:
    """The parts of an x86 medium, syslinux where Void's package has it."""
    here = tmp_path_factory.mktemp("parts")
    for name in ("squashfs", "kernel", "initrd", "memtest"):
        (here / name).write_text(name)
    syslinux = here / "tree/usr/lib/syslinux"
    syslinux.mkdir(parents=True)
    for path in (*MODULES.glob("*.c32"), *ISOLINUX.glob("*.bin")):
        shutil.copy(path, syslinux)
    esp = here / "esp"
    make_esp(
        Path("/"), esp, ["x86_64-efi"], volume_id="VOID_TEST", serial=1, epoch=EPOCH,
        templates=TEMPLATES,
    )  # fmt: skip
    others = {"/boot/memtest.bin": here / "memtest"}
    tools = here / "tree"
    return MediaParts(here / "squashfs", here / "kernel", here / "initrd", tools, esp, others)


def test_a_medium_for_all_machines(parts: MediaParts, tmp_path: Path) -> None:
    """Everything that firmware, loaders and dracut look for is where they look."""
    out = tmp_path / "live.iso"
    write_iso(plan_media(MENU, parts, IDENTITY, TEMPLATES), out, EPOCH)
    with open_iso(out) as iso:
        assert files_of(MENU, "bios") | files_of(MENU, "efi") <= set(iso.files)
        assert iso.read(SQUASHFS) == b"squashfs"
        assert iso.read("/boot/memtest.bin") == b"memtest"
        assert b"CDLABEL=VOID_TEST " in iso.read("/boot/isolinux/isolinux.cfg")
        assert b"CDLABEL=VOID_TEST " in iso.read("/boot/grub/grub.cfg")
        assert [entry.path for entry in iso.boot_entries] == ["/boot/isolinux/isolinux.bin", ESP]
    for path in ("/boot/grub/grub.cfg", "/boot/vmlinuz", "/boot/initrd"):
        assert run(["grub-fstest", out, "cat", f"(loop0){path}"]).stdout


def test_a_medium_for_uefi_alone(parts: MediaParts) -> None:
    """Nothing of isolinux is on it."""
    plan = plan_media(
        replace(MENU, memtest_bios=None), replace(parts, tools=None, others={}), IDENTITY, TEMPLATES
    )
    assert plan.bios is None
    assert not [file.path for file in plan.files if "isolinux" in file.path]


def test_a_medium_for_bios_alone(parts: MediaParts) -> None:
    """Nothing of GRUB is on it."""
    plan = plan_media(MENU, replace(parts, esp=None), IDENTITY, TEMPLATES)
    assert plan.efi is None
    assert not [file.path for file in plan.files if "grub" in file.path]


def test_a_menu_that_names_what_is_not_there(parts: MediaParts) -> None:
    """Each of the missing files, and a medium of another name."""
    with pytest.raises(LayoutError, match=r"names /boot/memtest.bin, which is not on the ISO"):
        plan_media(MENU, replace(parts, others={}), IDENTITY, TEMPLATES)
    plan = plan_media(MENU, parts, IDENTITY, TEMPLATES)
    with pytest.raises(CollectedError) as raised:
        check_menu(replace(MENU, splash="/splash.png", volume_id="OTHER"), plan)
    assert "names /splash.png" in str(raised.value)
    assert "looks for OTHER, but the ISO is VOID_TEST" in str(raised.value)


def test_a_tree_without_syslinux(parts: MediaParts, tmp_path: Path) -> None:
    """Said with the package to add."""
    with pytest.raises(LayoutError, match=r"no /usr/lib/syslinux/isohdpfx\.bin.*package syslinux"):
        plan_media(MENU, replace(parts, tools=tmp_path), IDENTITY, TEMPLATES)


@pytest.mark.parametrize("name", ["isolinux.bin", "isohdpfx.bin", "ldlinux.c32", "chain.c32"])
def test_a_missing_loader_file_is_told_before_there_is_a_root(
    parts: MediaParts, name: str, tmp_path: Path
) -> None:
    """The plan needs neither squashfs nor initramfs, which take minutes."""
    shutil.copytree(parts.tools or "", tmp_path / "tree")
    early = replace(
        parts, tools=tmp_path / "tree", squashfs=tmp_path / "squashfs", initrd=tmp_path / "initrd"
    )
    plan_media(MENU, early, IDENTITY, TEMPLATES)
    (tmp_path / "tree/usr/lib/syslinux" / name).unlink()
    with pytest.raises(LayoutError, match=rf"no /usr/lib/syslinux/{name}") as caught:
        plan_media(MENU, early, IDENTITY, TEMPLATES)
    assert caught.value.code == "E-LAYOUT-NO-SYSLINUX"
