"""Places GRUB for BIOS on a disk: what grub-install does on a device, on bytes. Pure.

The first sector (``boot.img``, 512 bytes) loads the core from the sector that stands at byte 0x5c
and starts it; at 0x64 stands the drive, where 0xff is the one that the BIOS started from, and the
jump at 0x66 is blanked for hard disks. The core's first sector loads the rest of it: at its end, at
0x1f4, stands the sector, at 0x1fc how many there are (GRUB, include/grub/i386/pc/boot.h and
util/setup.c). Bytes 440 to 511 of the first sector are the partition table's.
"""

from __future__ import annotations

import struct

from voidimg.errors import LayoutError
from voidimg.formats.partition_table import SECTOR_BYTES

BOOT_CODE_BYTES = 440
BOOT_IMAGE = "boot.img"
_CORE_SECTOR_AT = 0x5C
_DRIVE_AT = 0x64
_JUMP_AT = 0x66
_ANY_DRIVE = 0xFF
_NO_JUMP = b"\x90\x90"
_NEXT_SECTOR_AT = 0x1F4
_COUNT_AT = 0x1FC


def boot_code(boot_image: bytes, core_sector: int) -> bytes:
    """The 440 bytes before the partition table, which load the core from `core_sector`.

    Raises:
        LayoutError: `boot_image` is not GRUB's.
    """
    if len(boot_image) != SECTOR_BYTES or boot_image[510:] != b"\x55\xaa":
        raise _damaged(BOOT_IMAGE, f"is no first sector: it has {len(boot_image)} bytes")
    code = bytearray(boot_image[:BOOT_CODE_BYTES])
    struct.pack_into("<Q", code, _CORE_SECTOR_AT, core_sector)
    code[_DRIVE_AT] = _ANY_DRIVE
    code[_JUMP_AT : _JUMP_AT + 2] = _NO_JUMP
    return bytes(code)


def placed_core(core: bytes, core_sector: int) -> bytes:
    """`core` as it lies on the disk from `core_sector` on, in whole sectors.

    Raises:
        LayoutError: it does not say its own length.
    """
    sectors = -(-len(core) // SECTOR_BYTES)
    if sectors < 2:
        raise _damaged("core.img", f"has only {len(core)} bytes")
    placed = bytearray(core.ljust(sectors * SECTOR_BYTES, b"\0"))
    (count,) = struct.unpack_from("<H", placed, _COUNT_AT)
    if count != sectors - 1:
        raise _damaged("core.img", f"says {count} sectors follow its first one, not {sectors - 1}")
    struct.pack_into("<Q", placed, _NEXT_SECTOR_AT, core_sector + 1)
    return bytes(placed)


def core_sector_of(first_sector: bytes) -> int | None:
    """Where GRUB's code in a disk's first sector loads the core from; None: it is not there."""
    if b"GRUB" not in first_sector[:BOOT_CODE_BYTES]:
        return None
    sector: int = struct.unpack_from("<Q", first_sector, _CORE_SECTOR_AT)[0]
    return sector


def core_chain(first_sector_of_core: bytes) -> tuple[int, int]:
    """The sector that the core's first one loads the rest from, and how many that are."""
    (sector,) = struct.unpack_from("<Q", first_sector_of_core, _NEXT_SECTOR_AT)
    (count,) = struct.unpack_from("<H", first_sector_of_core, _COUNT_AT)
    return sector, count


def _damaged(name: str, what: str) -> LayoutError:
    return LayoutError(
        f"GRUB's {name} {what}",
        code="GRUB-IMAGE",
        where=f"/boot/grub/i386-pc/{name}",
        hint="take another package of GRUB: this one is damaged, or of another kind",
    )
