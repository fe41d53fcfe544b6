"""GRUB for BIOS on a disk: the two numbers that grub-install would write, and what it leaves."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from voidimg.disk.bios_boot import (
    BOOT_CODE_BYTES,
    boot_code,
    core_chain,
    core_sector_of,
    placed_core,
)
from voidimg.errors import LayoutError
from voidimg.run import run

MODULES = Path("/usr/lib/grub/i386-pc")


def boot_image() -> bytes:
    """A first sector with GRUB's word in it, and signs where numbers are written."""
    sector = bytearray(b"\xee" * 512)
    sector[0x180:0x184] = b"GRUB"
    sector[510:] = b"\x55\xaa"
    return bytes(sector)


def core(sectors: int, *, spare: int = 0) -> bytes:
    """A core of `sectors`, the last of them `spare` bytes short."""
    content = bytearray(b"\xdd" * (512 * sectors - spare))
    struct.pack_into("<H", content, 0x1FC, sectors - 1)
    return bytes(content)


def test_the_boot_code_names_the_sector_and_any_drive() -> None:
    """Everything else is GRUB's own, and the partition table's bytes are not touched."""
    code = boot_code(boot_image(), 2048)
    assert len(code) == BOOT_CODE_BYTES
    assert struct.unpack_from("<Q", code, 0x5C) == (2048,)
    assert (code[0x64], code[0x66:0x68]) == (0xFF, b"\x90\x90")
    rest = code[:0x5C] + code[0x65:0x66] + code[0x68:]
    own = boot_image()[:440]
    assert rest == own[:0x5C] + own[0x65:0x66] + own[0x68:]
    assert core_sector_of(code.ljust(512, b"\0")) == 2048
    assert core_sector_of(bytes(512)) is None


def test_the_core_is_whole_sectors_and_loads_what_follows() -> None:
    """Its length stands in it already; where it lies does not."""
    placed = placed_core(core(5, spare=100), 34)
    assert len(placed) == 5 * 512
    assert core_chain(placed) == (35, 4)
    assert placed[-100:] == bytes(100)


@pytest.mark.parametrize("wrong", [b"", core(1), core(4)[:1024], core(4) + b"more" * 200], ids=len)
def test_a_core_that_does_not_say_its_length(wrong: bytes) -> None:
    """It would load less than it has, or something else."""
    with pytest.raises(LayoutError, match="GRUB"):
        placed_core(wrong, 1)


@pytest.mark.parametrize("wrong", [b"", boot_image()[:-1], bytes(512), boot_image() * 2], ids=len)
def test_a_first_sector_that_is_none(wrong: bytes) -> None:
    """It is refused before anything is written."""
    with pytest.raises(LayoutError, match=r"boot\.img"):
        boot_code(wrong, 1)


def test_real_grub_agrees(tmp_path: Path) -> None:
    """The program's own core says its length where we look for it, for each of its sectors."""
    if not MODULES.is_dir():
        pytest.fail("install grub-pc-bin")
    made = tmp_path / "core.img"
    run(
        ["grub-mkimage", "-O", "i386-pc", "-p", "/boot/grub", "-o", made, "biosdisk", "ext2"],
    )
    content = made.read_bytes()
    assert core_chain(placed_core(content, 1))[1] == -(-len(content) // 512) - 1
    assert core_chain(content)[0] == 2, "the default: right behind the first sector of an MBR disk"
