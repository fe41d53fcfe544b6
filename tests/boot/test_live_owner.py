"""A stick that keeps changes belongs to its owner, and media do not take each other's place.

Three starts from one disk of changes, a name that is taken, two media at once, and a partition for
changes on the medium itself.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.boot.menus import start_by_bios
from tests.boot.pc import START_SECONDS, booted, log_in, running
from tests.images import built_iso
from voidimg.formats.iso9660 import open_iso

pytestmark = pytest.mark.smoke

LOGS = Path("console.log")
LEAVE = (
    "sudo -n sh -c 'useradd -m -G wheel bob && echo bob:voidlinux | chpasswd"
    " && sed -i /^anon:/d /etc/passwd /etc/shadow /etc/group && echo mine > /etc/hostname"
    " && sync && poweroff'"
)
"""The live user gives its place to an account of the owner's, and can do nothing more then."""


@pytest.fixture(scope="module")
def iso() -> Path:
    """The base live ISO with its menu and console on the serial port."""
    return built_iso()


def disk_for_changes(place: Path) -> list[str]:
    """QEMU's words for a disk that dracut finds as LABEL=KEPT."""
    for name in ("overlay", "ovlwork"):
        (place / "top" / name).mkdir(parents=True)
    disk = place / "disk.img"
    words: list[str | Path] = ["mke2fs", "-q", "-t", "ext4", "-L", "KEPT", "-d", place / "top"]
    subprocess.run([*words, disk, "512M"], check=True)
    return ["-drive", f"file={disk},format=raw,if=virtio"]


def test_a_removed_live_user_stays_removed(iso: Path, tmp_path: Path) -> None:
    """Three starts; neither the account nor the host name comes back."""
    more = disk_for_changes(tmp_path)
    kept = "rd.live.overlay=LABEL=KEPT:/overlay"
    for number, user in enumerate(("anon", "bob", "bob")):
        with booted(iso, "usb on BIOS", tmp_path / LOGS, words=kept, user=user, more=more) as guest:
            if number == 0:
                assert 'The user is "anon"' in guest.answer("cat /etc/issue")
                guest.power_off(LEAVE)
            else:
                assert guest.answer("uname -n") == "mine"
                assert "anon" not in guest.answer("cut -d: -f1 /etc/passwd /etc/issue")
                guest.power_off()


def test_a_name_that_is_taken_is_said_on_the_screen(iso: Path, tmp_path: Path) -> None:
    """The user of the profile logs in, and reads why."""
    words = "live.user=audio vconsole.keymap=--x"
    with booted(iso, "cd on BIOS", tmp_path / LOGS, words=words, user="anon") as guest:
        issue = guest.answer("cat /etc/issue")
        assert "live.user=audio is a name that the system has already; the user is anon" in issue
        assert "vconsole.keymap=--x is no keymap; the keymap is us" in issue
        guest.power_off()


def test_two_media_at_once(iso: Path, tmp_path: Path) -> None:
    """The root comes from the medium that the kernel came from."""
    other = built_iso("base")
    more = ["-drive", f"file={other},format=raw,if=none,id=other,readonly=on",
            "-device", "usb-storage,drive=other,bootindex=2"]  # fmt: skip
    with open_iso(iso) as mine, open_iso(other) as theirs:
        assert mine.volume_id != theirs.volume_id
        label = mine.volume_id
    with booted(iso, "usb on UEFI", tmp_path / LOGS, user="anon", more=more) as guest:
        assert f"root=live:CDLABEL={label} " in guest.answer("cat /proc/cmdline")
        device = guest.answer("readlink -f /run/initramfs/livedev")
        assert guest.answer(f"sudo -n blkid -p -o value -s LABEL {device}") == label
        guest.power_off()


def test_a_third_partition_of_the_medium_keeps_nothing(iso: Path, tmp_path: Path) -> None:
    """Linux does not mount a part of a disk that is mounted as a whole: the guide says so.

    The start waits until somebody has read that and presses Enter; then it goes on, and forgets.
    """
    stick = tmp_path / "stick.img"
    shutil.copy(iso, stick)
    with stick.open("r+b") as file:
        file.truncate((iso.stat().st_size // 2**20 + 300) * 2**20)
    subprocess.run(["sfdisk", "-q", "--append", stick], input=b",,L\n", check=True)
    start, sectors = third_partition(stick)
    for name in ("overlay", "ovlwork"):
        (tmp_path / "top" / name).mkdir(parents=True)
    part = tmp_path / "part.img"
    words: list[str | Path] = ["mke2fs", "-q", "-t", "ext4", "-L", "KEPT", "-d", tmp_path / "top"]
    subprocess.run([*words, part, f"{sectors // 2}k"], check=True)
    with stick.open("r+b") as file:
        file.seek(start * 512)
        file.write(part.read_bytes())
    kept = "rd.live.overlay=LABEL=KEPT:/overlay"
    until = time.monotonic() + START_SECONDS
    with running(stick, "usb on BIOS", tmp_path / LOGS) as (emulator, console):
        start_by_bios(console, 0, kept, until)
        assert console.wait_for(re.compile(rb"Unable to find a persistent overlay"), until)
        assert console.wait_for(re.compile(rb"Press \[Enter\] to continue"), until)
        console.send("\r", until)
        guest = log_in(emulator, console, "anon")
        mounts = guest.answer("cat /proc/mounts")
        assert " / overlay rw," in mounts
        assert "/run/initramfs/overlayfs" not in mounts
        guest.power_off()


def third_partition(stick: Path) -> tuple[int, int]:
    """Where it begins, and how long it is, in sectors."""
    entry = stick.read_bytes()[446 + 32 : 446 + 48]
    return int.from_bytes(entry[8:12], "little"), int.from_bytes(entry[12:16], "little")
