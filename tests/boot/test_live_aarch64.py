"""The live ISO for ARM starts from UEFI, as a CD and as a USB stick, and is as its menu was told.

QEMU's machine `virt` with AAVMF stands for all machines. The submenus of the laptops, which QEMU
cannot be, are read from the ISO.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.boot.conftest import sha256_of
from tests.boot.live_system import USER, WORDS, check_root, check_services, check_user
from tests.boot.pc import ARM, booted, log_in, running
from tests.images import built_iso
from voidimg.formats.iso9660 import open_iso
from voidimg.run import run

pytestmark = pytest.mark.smoke

LAPTOPS = {
    "pinebookpro": "/boot/dtbs/rockchip/rk3399-pinebook-pro.dtb",
    "x13s": "/boot/dtbs/qcom/sc8280xp-lenovo-thinkpad-x13s.dtb",
}
ENTRIES = 6


@pytest.fixture(scope="session")
def iso() -> Path:
    """The base live ISO with its console on the serial port."""
    return built_iso(platform="aarch64")


@pytest.mark.parametrize("medium", list(ARM.media))
def test_it_starts_and_is_as_its_menu_was_told(iso: Path, medium: str, tmp_path: Path) -> None:
    """A whole live system; what it was started from stays as it was."""
    before = sha256_of(iso)
    log = tmp_path / "console.log"
    with booted(iso, medium, log, words=WORDS, user=USER, machine=ARM) as guest:
        assert f" {WORDS}" in guest.answer("cat /proc/cmdline")
        assert guest.answer("uname -m") == "aarch64"
        guest.answer("test -d /sys/firmware/efi")
        check_root(guest)
        check_user(guest, "ttyAMA0")
        check_services(guest)
        guest.power_off()
    assert sha256_of(iso) == before


def test_the_iso_of_the_profile_itself(tmp_path: Path) -> None:
    """What users get: no console= is said, and a machine without a screen has a login."""
    iso = built_iso("base", platform="aarch64")
    with running(iso, "usb on UEFI", tmp_path / "console.log", machine=ARM) as (emulator, console):
        guest = log_in(emulator, console, "anon")
        assert "console=" not in guest.answer("cat /proc/cmdline")
        assert guest.answer("ps -o tty= -p $PPID") == "ttyAMA0"
        check_root(guest)
        guest.power_off()


@pytest.mark.parametrize("laptop", LAPTOPS)
def test_laptops_have_a_submenu_with_their_device_tree(
    iso: Path, laptop: str, tmp_path: Path
) -> None:
    """The device tree that its entries name is on the ISO, and is one."""
    with open_iso(iso) as opened:
        menu = opened.read("/boot/grub/grub.cfg").decode()
        tree = tmp_path / "machine.dtb"
        tree.write_bytes(opened.read(LAPTOPS[laptop]))
    _, _, submenu = menu.partition(f'--id "platform-{laptop}"')
    assert submenu.partition("submenu ")[0].count(f"devicetree {LAPTOPS[laptop]}\n") == ENTRIES
    assert run(["fdtget", "-t", "s", tree, "/", "model"]).stdout.strip()
