"""Live ISOs start PCs that are 32-bit in their firmware, or altogether."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.boot.live_system import USER, WORDS, check_root, check_services, check_user
from tests.boot.pc import OLD_PC, booted
from tests.images import built_iso

pytestmark = pytest.mark.smoke


def test_64_bits_behind_32_bit_firmware(tmp_path: Path) -> None:
    """Some tablets and early Macs: the loader is 32-bit, the system is not."""
    log = tmp_path / "console.log"
    with booted(built_iso(), "usb on 32-bit UEFI", log, words=WORDS, user=USER) as guest:
        assert guest.answer("uname -m") == "x86_64"
        assert guest.answer("cat /sys/firmware/efi/fw_platform_size") == "32"
        check_root(guest)
        check_user(guest)
        guest.power_off()


def test_a_32_bit_pc(tmp_path: Path) -> None:
    """The ISO of i686 on a processor that has no more."""
    iso, log = built_iso(platform="i686"), tmp_path / "console.log"
    with booted(iso, "cd on BIOS", log, words=WORDS, user=USER, machine=OLD_PC) as guest:
        assert guest.answer("uname -m") == "i686"
        check_root(guest)
        check_user(guest)
        check_services(guest)
        guest.power_off()
