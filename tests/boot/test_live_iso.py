"""A live ISO starts from BIOS as a CD and from UEFI as a USB stick, and lets its user in.

Everything is real but the processor: isolinux or GRUB from the ISO itself, the initramfs that
dracut made in the target, a squashfs below a writable layer, runit, a typed login.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.boot.conftest import sha256_of
from tests.images import built_iso
from voidimg.smoke.console import Console
from voidimg.smoke.emulator import Emulator, started
from voidimg.smoke.shell import Shell, wait_for_login

pytestmark = pytest.mark.smoke

START_SECONDS = 900.0
ANSWER_SECONDS = 60.0
POWER_OFF_SECONDS = 180.0

SERVICES = ("chronyd", "sshd")

PC = (
    *("-cpu", "qemu64", "-smp", "2", "-m", "2G", "-accel", "tcg,thread=multi"),
    *("-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"),
)
FIRMWARE = "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"
MEDIA: Mapping[str, tuple[str, ...]] = {
    "cd on BIOS": ("-drive", "file={iso},format=raw,media=cdrom,readonly=on", "-boot", "d"),
    "usb on UEFI": (
        *("-machine", "q35", "-drive", FIRMWARE, "-device", "qemu-xhci"),
        *("-drive", "file={iso},format=raw,if=none,id=stick,readonly=on"),
        *("-device", "usb-storage,drive=stick,bootindex=1"),
    ),
}
"""How the medium is attached; it can only be read."""


@pytest.fixture(scope="session")
def iso() -> Path:
    """The base live ISO with its menu and console on the serial port."""
    return built_iso()


@contextmanager
def booted(iso: Path, medium: str, log: Path) -> Iterator[tuple[Shell, Emulator]]:
    """The shell of the live user, in a guest that runs while this lasts."""
    attached = [word.replace("{iso}", str(iso)) for word in MEDIA[medium]]
    with (
        started("qemu-system-x86_64", [*PC, *attached]) as emulator,
        log.open("wb") as file,
        Console(emulator.console, file) as console,
    ):
        until = time.monotonic() + START_SECONDS
        wait_for_login(console, until)
        yield Shell.log_in(console, "anon", "voidlinux", until), emulator


def answer(shell: Shell, command: str) -> str:
    """What `command` says in the guest; it must succeed."""
    found = shell.run(command, time.monotonic() + ANSWER_SECONDS)
    assert found is not None, f"{command} does not end"
    assert found.status == 0, f"{command}: {found.output}"
    return found.output


@pytest.mark.parametrize("medium", list(MEDIA))
def test_a_live_iso_starts_and_is_as_asked(iso: Path, medium: str, tmp_path: Path) -> None:
    """The user, the services, the language; the root can be written to, the medium was not."""
    before = sha256_of(iso)
    with booted(iso, medium, tmp_path / "console.log") as (shell, emulator):
        # These lack what they need in the test repository, and say so on the console for ever.
        answer(shell, "sudo -n sv down /var/service/acpid /var/service/wpa_supplicant")
        assert "uid=1000(anon)" in answer(shell, "id")
        assert "ttyS0" in answer(shell, "ps -o tty= -p $PPID")
        assert "void-live" in answer(shell, "uname -n")
        assert "root=live:CDLABEL=VOID_LIVE" in answer(shell, "cat /proc/cmdline")
        mounts = answer(shell, "cat /proc/mounts")
        assert " / overlay rw," in mounts
        assert " squashfs ro," in mounts
        answer(shell, "sudo -n sh -c 'echo kept > /etc/written && grep -q kept /etc/written'")
        for service in SERVICES:
            answer(shell, f"until pgrep -x {service}; do sleep 1; done")
            assert "run: " in answer(shell, f"sudo -n sv status /var/service/{service}")
        assert ":22 " in answer(shell, "ss -ltn")
        assert "KEYMAP=de-latin1" in answer(shell, "cat /etc/rc.conf")
        assert "LANG=en_US.UTF-8" in answer(shell, "cat /etc/locale.conf")
        answer(shell, f"test {'-d' if 'UEFI' in medium else '! -e'} /sys/firmware/efi")
        shell.run("sudo -n poweroff", time.monotonic() + ANSWER_SECONDS)
        assert emulator.wait(POWER_OFF_SECONDS) == 0
    assert sha256_of(iso) == before
