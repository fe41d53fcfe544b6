"""Disks of generic machines: started as shipped, by BIOS and UEFI, from each kind of medium."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.boot.conftest import PATIENCE, sha256_of, smoke
from tests.boot.pc import POWER_OFF_SECONDS, Guest
from tests.images import built_image
from voidimg.smoke.console import Console
from voidimg.smoke.emulator import started
from voidimg.smoke.shell import Shell, wait_for_login

LOGIN_SECONDS = 300 * float(PATIENCE)
PC = (
    *("-machine", "pc", "-cpu", "qemu64", "-smp", "2", "-m", "1G", "-accel", "tcg,thread=multi"),
    *("-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"),
)

UPDATE = r"""
set -e
OLD=$(uname -r) NEW=$OLD-new
script() {
	awk -v name=linux6.1 -v key="$1" '$0 ~ "<key>" name "</key>" { p = 1 }
		p && $0 ~ "<key>" key "</key>" { s = 1; next }
		s { print } s && /<\/data>/ { exit }' /var/db/xbps/pkgdb-0.38.plist |
		sed 's/<[^>]*>//g' | tr -d ' \t\n' | base64 -d | sed "s/$OLD/$NEW/g"
}
cp -a /usr/lib/modules/$OLD /usr/lib/modules/$NEW
cp /boot/vmlinuz-$OLD /boot/vmlinuz-$NEW
script remove-script > /tmp/REMOVE
script install-script > /tmp/INSTALL
cd /
for call in "REMOVE pre" "INSTALL pre" "INSTALL post" "REMOVE post"; do
	set -- $call
	sh /tmp/$1 $2 linux6.1 6.1_1 yes no x86_64
done
"""
"""What xbps does when a kernel is updated: its package's own scripts, for another release."""


@pytest.fixture(scope="session")
def pc_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk of x86_64-disk, compressed, in a directory of its own."""
    built = built_image("x86_64-disk")
    return Path(shutil.copy(built, tmp_path_factory.mktemp("disk") / built.name))


def booted(image: Path, place: Path, *words: str) -> list[dict[str, object]]:
    """What `voidimg smoke` says of each boot; all must be good, and the image stays as it is."""
    before = sha256_of(image)
    ended = smoke(image, place, *words)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    assert sha256_of(image) == before
    boots: list[dict[str, object]] = json.loads(ended.stdout)["boots"]
    assert all(boot["powered_off"] for boot in boots)
    return boots


@pytest.mark.parametrize("medium", ["virtio", "nvme"])
def test_a_pc_starts_it(medium: str, pc_disk: Path, tmp_path: Path) -> None:
    """From virtio by BIOS, from NVMe by UEFI; the root grows, and the ESP is mounted."""
    booted(pc_disk, tmp_path, "--medium", medium)


@pytest.mark.smoke
@pytest.mark.parametrize("medium", ["usb", "ide", "sata"])
def test_a_pc_starts_it_from_other_media(medium: str, pc_disk: Path, tmp_path: Path) -> None:
    """From USB by UEFI, from IDE by BIOS, from SATA by UEFI of 32 bits."""
    booted(pc_disk, tmp_path, "--medium", medium)


@pytest.mark.smoke
def test_an_arm_machine_starts_it(tmp_path: Path) -> None:
    """By UEFI, from virtio, NVMe and USB."""
    built = built_image("aarch64-disk")
    image = Path(shutil.copy(built, tmp_path / built.name))
    assert len(booted(image, tmp_path / "place")) == 3


def session(disk: Path, log: Path, commands: list[str]) -> list[str]:
    """What `commands` say, typed by root on the disk that is started by BIOS and written to."""
    words = [*PC, "-drive", f"file={disk},format=raw,if=virtio,cache=unsafe"]
    with (
        started("qemu-system-x86_64", words) as emulator,
        log.open("ab") as file,
        Console(emulator.console, file) as console,
    ):
        until = time.monotonic() + LOGIN_SECONDS
        wait_for_login(console, until)
        shell = Shell.log_in(console, "root", "voidlinux", until)
        guest = Guest(shell, console, emulator)
        found = [guest.answer(command, POWER_OFF_SECONDS * 2) for command in commands]
        guest.power_off("poweroff")
    return found


@pytest.mark.smoke
def test_a_kernel_update_is_in_the_next_menu(pc_disk: Path, tmp_path: Path) -> None:
    """The scripts of the kernel's package make its initramfs and menu; the next start takes it."""
    disk = tmp_path / "disk.img"
    subprocess.run(["zstd", "-dqf", pc_disk, "-o", disk], check=True)
    with disk.open("r+b") as file:
        file.truncate(2 * 2**30)
    lines = UPDATE.strip().splitlines()
    write = [f"printf '%s\\n' {_quoted(line)} >> /tmp/update" for line in lines]
    *_, menu = session(
        disk, tmp_path / "first.log", [*write, "sh /tmp/update", "cat /boot/grub/grub.cfg"]
    )
    assert "-new" in menu
    assert "root=UUID=" in menu
    assert "serial --unit=0" in menu
    cmdline, images = session(
        disk, tmp_path / "second.log", ["cat /proc/cmdline", "ls /boot/initramfs-*"]
    )
    assert "BOOT_IMAGE=/boot/vmlinuz-" in cmdline
    assert "-new " in cmdline
    assert "console=ttyS0,115200 console=tty0" in cmdline
    assert "-new.img" in images


def _quoted(line: str) -> str:
    return "'" + line.replace("'", "'\\''") + "'"
