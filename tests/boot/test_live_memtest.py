"""The memory test of the ISO's menus starts, from BIOS and from UEFI."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.boot.menus import start_by_bios, start_by_uefi
from tests.boot.pc import START_SECONDS, running
from tests.images import built_iso

pytestmark = pytest.mark.smoke

ENTRY = 6
"""How far down in the menu it is, after the six of the live system."""
WORDS = "console=ttyS0,115200"
SHOWN = re.compile(rb"Memtest86\+[\s\S]*Pass")


@pytest.mark.parametrize("medium", ["cd on BIOS", "cd on UEFI"])
def test_the_memory_test_starts(medium: str, tmp_path: Path) -> None:
    """It draws its screen, on the serial port as it is told to."""
    until = time.monotonic() + START_SECONDS
    with running(built_iso(), medium, tmp_path / "console.log") as (_, console):
        if "UEFI" in medium:
            start_by_uefi(console, ENTRY, WORDS, until)
        else:
            start_by_bios(console, ENTRY, WORDS, until, last_word=rb"memtest\.bin")
        assert console.wait_for(SHOWN, until), "no memory test"
