"""Disks that GRUB starts: each check is seen to pass on a sound one, and to fail."""

from __future__ import annotations

import shutil
import struct
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.grub_disk import MIB, RELEASE, UUIDS, make_disk
from tests.unit.lint.subjects import defects, patch
from voidimg.formats.partition_table import BIOS_BOOT_TYPE, ESP_GUID, SECTOR_BYTES, blank_crc

CHECKS = ("esp-type", "grub-core", "grub-version", "grub-menu", "fstab-filesystems")
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with nothing wrong; only to be read."""
    return make_disk(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def image(sound: Path, tmp_path: Path) -> Path:
    """A copy, to be spoiled."""
    return Path(shutil.copy(sound, tmp_path / sound.name))


def test_a_sound_disk(sound: Path) -> None:
    """None of the checks finds anything."""
    assert [one for check in CHECKS for one in defects(sound, check)] == []


def with_type(image: Path, number: int, kind: str) -> None:
    """Another type for a partition, in the table that is read, whose checksums are made anew."""
    content = bytearray(image.read_bytes()[: 34 * SECTOR_BYTES])
    at = 2 * SECTOR_BYTES + 128 * (number - 1)
    content[at : at + 16] = uuid.UUID(kind).bytes_le
    table = bytes(content[2 * SECTOR_BYTES : 34 * SECTOR_BYTES])
    struct.pack_into("<I", content, SECTOR_BYTES + 88, zlib.crc32(table))
    header = blank_crc(bytes(content[SECTOR_BYTES : SECTOR_BYTES + 92]))
    struct.pack_into("<I", content, SECTOR_BYTES + 16, zlib.crc32(header))
    patch(image, 0, bytes(content))


SPOILED: list[tuple[str, Callable[[Path], object], str]] = [
    ("esp-type", lambda image: with_type(image, 2, LINUX), f"its type is {LINUX}"),
    ("esp-type", lambda image: with_type(image, 1, ESP_GUID), "UEFI finds nothing to start"),
    ("grub-core", lambda image: patch(image, MIB + 5000, bytes(64)), "not what"),
    ("grub-core", lambda image: patch(image, MIB + 0x1F4, b"\x09"), "loads the rest from"),
    ("grub-core", lambda image: patch(image, MIB + 0x1FC, b"\xff\x0f"), "reach into partition 2"),
    ("grub-core", lambda image: patch(image, 0x5C, b"\xff\xff\xff\xff"), "behind the end"),
    ("grub-core", lambda image: with_type(image, 1, LINUX), "reach into partition 1"),
]
"""Check, damage, words of what is told."""


@pytest.mark.parametrize(("check", "spoil", "words"), SPOILED)
def test_a_spoiled_disk_is_told(
    check: str, spoil: Callable[[Path], object], words: str, image: Path
) -> None:
    """By the check that is for it."""
    spoil(image)
    assert any(words in f"{one.object}: {one.what}" for one in defects(image, check))


def menu(text: str) -> dict[str, bytes | str | None]:
    """A menu with one entry."""
    return {"/boot/grub/grub.cfg": f"menuentry 'Void' {{\n{text}}}\n".encode()}


KERNEL = f"\tlinux /boot/vmlinuz-{RELEASE}"
FSTAB = f"UUID={UUIDS['root']} / ext4 defaults 0 1\n"
ROOT = f"root=UUID={UUIDS['root']}"
FAILING: list[tuple[str, dict[str, bytes | str | None], str]] = [
    ("grub-menu", {"/boot/grub/grub.cfg": b"set timeout=3\n"}, "no entry that starts a kernel"),
    ("grub-menu", menu(f"\tlinux /boot/vmlinuz-0 {ROOT}\n"), "needs /boot/vmlinuz-0"),
    ("grub-menu", menu(f"{KERNEL} {ROOT}\n\tinitrd /boot/none\n"), "needs /boot/none"),
    ("grub-menu", menu(f"{KERNEL} ro\n"), "does not say root="),
    ("grub-menu", menu(f"{KERNEL} root=UUID=00\n"), "says root=UUID=00"),
    (
        "fstab-filesystems",
        {"/etc/fstab": f"{FSTAB}UUID=AA-BB /boot/efi vfat x 0 2\n".encode()},
        "UUID=AA-BB",
    ),
    (
        "fstab-filesystems",
        {"/etc/fstab": f"{FSTAB}PARTUUID=77 none swap defaults 0 0\n".encode()},
        "PARTUUID=77",
    ),
    ("grub-version", {"/boot/grub/i386-pc/modinfo.sh": b'grub_version="2.12"\n'}, "2.12"),
]
"""Check, what differs in the tree, words of what is told."""


@pytest.mark.parametrize(("check", "changes", "words"), FAILING)
def test_a_wrong_menu_or_module_is_told(
    check: str, changes: dict[str, bytes | str | None], words: str, tmp_path: Path
) -> None:
    """As above."""
    found = defects(make_disk(tmp_path, changes), check)
    assert any(words in f"{one.object}: {one.what}" for one in found)


def test_the_type_of_a_bios_boot_partition_is_as_grub_has_it() -> None:
    """ "Hah!IdontNeedEFI", read as bytes."""
    assert uuid.UUID(BIOS_BOOT_TYPE).bytes_le == b"Hah!IdontNeedEFI"
