"""UEFI of either width starts a disk: a tiny loader says so."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.tiny_disks import SAYS, disk_of, fat_of, said
from voidimg.spec.smoke_model import Firmware, Machine, Medium

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize(
    ("firmware", "medium", "platform", "name"),
    [
        ("uefi", "nvme", "x86_64-efi", "BOOTX64.EFI"),
        ("uefi-ia32", "usb", "i386-efi", "BOOTIA32.EFI"),
    ],
)
def test_uefi_starts_the_loader_of_its_width(
    firmware: Firmware, medium: Medium, platform: str, name: str, tmp_path: Path
) -> None:
    """From the path that needs no variable; each looks for a name of its own only."""
    config = tmp_path / "grub.cfg"
    halves = SAYS.decode().partition("-")
    config.write_text(
        f"serial --unit=0\nterminal_output serial\nset a={halves[0]}\necho ${{a}}-{halves[2]}\n"
    )
    loader = tmp_path / "loader.efi"
    words = ["grub-mkimage", "-O", platform, "-c", str(config), "-p", "/", "-o", str(loader)]
    subprocess.run([*words, "serial", "terminal", "echo", "fat", "part_msdos"], check=True)
    fat = fat_of(tmp_path, {f"EFI/BOOT/{name}": loader.read_bytes()})
    machine = Machine(
        medium=medium,
        machine="q35",
        firmware=firmware,
        cpu="qemu64",
        controller="xhci" if medium == "usb" else None,
    )
    disk = disk_of(tmp_path, fat)
    assert said(disk, machine, "qemu-system-x86_64", "x86_64", tmp_path)
