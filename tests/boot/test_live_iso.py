"""A live ISO starts from BIOS and UEFI, as CD and USB stick, is as its menu was told, and obeys.

Everything is real but the processor: isolinux or GRUB from the ISO itself, words typed on its menu,
the initramfs that dracut made in the target, a squashfs below a writable layer, runit, a typed
login.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.boot.conftest import sha256_of
from tests.boot.live_system import USER, WORDS, check_root, check_services, check_user
from tests.boot.pc import START_SECONDS, Guest, booted, log_in, running
from tests.boot.screen import Screen
from tests.images import built_iso
from voidimg.smoke.picture import Picture
from voidimg.smoke.qmp import Qmp

LOGS = Path("console.log")
MENU_SIZE = (640, 480)
"""Of the picture that isolinux draws its menu on, in pixels."""

RAM, NO_GRAPHICS = 1, 2
"""How far down in the menu these entries are."""

WRITTEN = (
    *("hostname", "hosts", "passwd", "group", "shells", "rc.conf", "locale.conf"),
    *("default/live.conf", "sudoers.d/99-void-live", "sv/agetty-ttyS0/conf", "sv/agetty-tty1/conf"),
)
"""Files of /etc that the hooks of the initramfs write into."""


@pytest.fixture(scope="session")
def iso() -> Path:
    """The base live ISO with its menu and console on the serial port."""
    return built_iso()


@pytest.mark.parametrize("medium", ["cd on BIOS", "usb on UEFI"])
def test_it_starts_and_is_as_its_menu_was_told(iso: Path, medium: str, tmp_path: Path) -> None:
    """User, keymap and language of the command line; services; the medium stays as it was."""
    before = sha256_of(iso)
    with booted(iso, medium, tmp_path / LOGS, words=WORDS, user=USER) as guest:
        assert f" {WORDS}" in guest.answer("cat /proc/cmdline")
        guest.answer(f"test {'-d' if 'UEFI' in medium else '! -e'} /sys/firmware/efi")
        check_root(guest)
        check_user(guest)
        assert "\nKEYMAP=fr-latin1" in guest.answer("cat /etc/rc.conf")
        assert guest.answer("cat /etc/locale.conf").split() == ["LANG=C.UTF-8", "LC_COLLATE=C"]
        check_services(guest)
        guest.power_off()
    assert sha256_of(iso) == before


@pytest.mark.smoke
def test_it_starts_into_memory(iso: Path, tmp_path: Path) -> None:
    """The entry (RAM), by UEFI from a CD, which can be taken out then: all is read from memory."""
    words = f"live.user={USER}"
    more = ("-m", "2G")
    with booted(
        iso, "cd on UEFI", tmp_path / LOGS, entry=RAM, words=words, user=USER, more=more
    ) as guest:
        assert " rd.live.ram " in guest.answer("cat /proc/cmdline")
        guest.answer("losetup --noheadings --output BACK-FILE | grep -q squashed.img")
        take_out(iso, guest)
        guest.answer("sudo -n sh -c 'echo 3 > /proc/sys/vm/drop_caches'")
        guest.answer("cat /usr/bin/* > /dev/null")
        check_root(guest)
        check_user(guest)
        guest.power_off()


def take_out(iso: Path, guest: Guest) -> None:
    """Open the drive that `iso` is in, though the guest has locked it."""
    until = time.monotonic() + START_SECONDS
    qmp = Qmp(guest.emulator.control, until)
    blocks = qmp.execute("query-block", until)
    assert isinstance(blocks, list)
    drives = [block for block in blocks if block.get("inserted", {}).get("file") == str(iso)]
    qmp.execute("eject", until, device=drives[0]["device"], force=True)


@pytest.mark.smoke
def test_it_starts_twice_with_what_was_written(iso: Path, tmp_path: Path) -> None:
    """By BIOS from a USB stick, with a disk that keeps changes.

    First with speech and without graphics, which keeps a display manager down; then the other way:
    the hooks of the second start find their own work, and take back what it does not ask for.
    """
    (tmp_path / "top/overlay").mkdir(parents=True)
    (tmp_path / "top/ovlwork").mkdir()
    disk = tmp_path / "disk.img"
    words: list[str | Path] = ["mke2fs", "-q", "-t", "ext4", "-L", "KEPT"]
    subprocess.run([*words, "-d", tmp_path / "top", disk, "512M"], check=True)
    more = ("-drive", f"file={disk},format=raw,if=virtio")
    kept = f"live.user={USER} rd.live.overlay=LABEL=KEPT:/overlay"
    sums = f"cd /etc && sudo -n sha256sum {' '.join(WRITTEN)}"
    found = []
    for entry in (NO_GRAPHICS, 0):
        with booted(
            iso,
            "usb on BIOS",
            tmp_path / LOGS,
            entry=entry,
            words=kept + (" live.accessibility" if entry == NO_GRAPHICS else ""),
            user=USER,
            more=more,
        ) as guest:
            assert (" nomodeset " in guest.answer("cat /proc/cmdline")) is (entry == NO_GRAPHICS)
            down = "-e" if entry == NO_GRAPHICS else "! -e"
            guest.answer(f"test {down} /etc/sv/lightdm/down")
            speech = "-L" if entry == NO_GRAPHICS else "! -L"
            guest.answer(f"test {speech} /etc/runit/runsvdir/default/espeakup")
            guest.answer(f"test {'! -e' if entry == NO_GRAPHICS else '-s'} /etc/written")
            check_root(guest)
            check_user(guest)
            found.append(guest.answer(sums))
            guest.power_off()
    assert found[0] == found[1]
    assert len(found[0].splitlines()) == len(WRITTEN)


@pytest.mark.smoke
def test_the_iso_of_the_profile_itself(tmp_path: Path) -> None:
    """What users get: its menu is on the screen alone, and is told by keyboard to use the port."""
    iso = built_iso("base")
    with running(iso, "cd on BIOS", tmp_path / LOGS) as (emulator, console):
        until = time.monotonic() + START_SECONDS
        qmp = Qmp(emulator.control, until)
        screen = Screen(qmp, tmp_path)

        def is_menu(shown: Picture) -> bool:
            # Any key stops the clock; this one stays on the first entry.
            qmp.press(["home"], until)
            return (shown.width, shown.height) == MENU_SIZE

        menu = screen.wait_until("the menu", is_menu, START_SECONDS)
        screen.keep("base-menu")
        qmp.press(["tab"], until)
        screen.wait_until("the command line", lambda shown: shown.differs(menu) > 0, START_SECONDS)
        qmp.type(f" console=ttyS0,115200 {WORDS}\n", until)
        guest = log_in(emulator, console, USER)
        assert f" {WORDS}" in guest.answer("cat /proc/cmdline")
        check_root(guest)
        check_user(guest)
        check_services(guest)
        guest.power_off()
