"""Reads the partition table of a disk image: MBR and GPT, with their identifiers.

libparted gives neither identifiers nor attributes, so the bytes are read here.

MBR (little endian, sector 0): 440 disk signature (4), 446 four entries of 16 bytes (status 1,
CHS 3, type 1, CHS 3, start 4, length 4), 510 ``55 aa``. GPT (UEFI specification, chapter 5):
header in sector 1 (``EFI PART``, size 12, CRC-32 16, other header 32, first and last usable 40 and
48, disk GUID 56, table 72, entry count 80, entry size 84, table CRC-32 88); entries of type GUID,
own GUID, first and last sector, attributes, 36 UTF-16 characters of name.
"""

from __future__ import annotations

import os
import struct
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from voidimg.errors import LayoutError
from voidimg.foreign import open_regular

SECTOR_BYTES = 512
GPT_PARTITIONS = 128
GPT_NAME_UNITS = 36
"""Room in a GPT entry, in units of UTF-16 (UEFI specification, table of entries)."""
EMPTY_TYPES = frozenset({"0x00", "00000000-0000-0000-0000-000000000000"})
"""What an unused entry has for a type."""
NO_FILESYSTEM_TYPES = {
    "0x05": "other partitions", "0x0f": "other partitions", "0x85": "other partitions",
    "0xee": "a GPT",
}  # fmt: skip
"""MBR types behind which readers look for something else."""
BIOS_BOOT_TYPE = "21686148-6449-6e6f-744e-656564454649"
"""The GPT type of a partition that holds GRUB's core for BIOS, and no filesystem."""
ESP_GUID = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
ESP_TYPES = frozenset({"0xef", ESP_GUID})
"""The types of an EFI system partition (UEFI specification, 5.2.2 and 5.3.3)."""
GPT_MAGIC = b"EFI PART"
"""What sector 1 begins with when there is a GPT."""
GPT_ATTRIBUTE_LEGACY_BOOT = 1 << 2
"""Attribute bit 2, "legacy BIOS bootable": what U-Boot takes for the boot partition."""

_PROTECTIVE = 0xEE
_MAX_GPT_ENTRIES = 1024


@dataclass(frozen=True, slots=True)
class PartitionEntry:
    """One partition; `number` counts from 1, `start_sector` and `sectors` are of 512 bytes.

    `type` is ``0x0c`` for MBR and a lower-case GUID for GPT. `partuuid` is what Linux takes after
    ``root=PARTUUID=``: ``<disk signature>-<number>`` for MBR, the partition's GUID for GPT.
    """

    number: int
    start_sector: int
    sectors: int
    type: str
    active: bool
    name: str
    partuuid: str

    @property
    def offset_bytes(self) -> int:
        """Where the partition begins in the image."""
        return self.start_sector * SECTOR_BYTES

    @property
    def size_bytes(self) -> int:
        """The length of the partition."""
        return self.sectors * SECTOR_BYTES


@dataclass(frozen=True, slots=True)
class PartitionTable:
    """A partition table; `identifier` is the MBR signature (8 hex digits) or the disk's GUID."""

    label: Literal["mbr", "gpt"]
    identifier: str
    partitions: tuple[PartitionEntry, ...]

    def partition(self, number: int) -> PartitionEntry:
        """The partition with this number.

        Raises:
            LayoutError: there is none.
        """
        for entry in self.partitions:
            if entry.number == number:
                return entry
        raise LayoutError(
            f"there is no partition {number}",
            code="NO-PARTITION",
            hint=f"it has {', '.join(str(entry.number) for entry in self.partitions) or 'none'}",
        )


def read_table(path: Path) -> PartitionTable:
    """The partition table of the raw image at `path`.

    Raises:
        LayoutError: there is no table, it is damaged, or a partition lies outside the file.
    """
    try:
        with open_regular(path, block_device=True) as image:
            size_bytes = image.seek(0, os.SEEK_END)  # of a device too, which has no st_size
            image.seek(0)
            table = _read(image, str(path))
    except OSError as error:
        raise LayoutError(
            f"cannot read {path}: {error.strerror or error}", code="UNREADABLE", where=str(path)
        ) from error
    for entry in table.partitions:
        if entry.offset_bytes + entry.size_bytes > size_bytes:
            raise LayoutError(
                f"partition {entry.number} ends at byte {entry.offset_bytes + entry.size_bytes},"
                f" but the image has only {size_bytes}",
                code="TRUNCATED",
                where=str(path),
                hint="the file is not complete: fetch or build it again",
            )
    return table


def _read(image: BinaryIO, where: str) -> PartitionTable:
    sector = image.read(SECTOR_BYTES)
    if len(sector) < SECTOR_BYTES or sector[510:512] != b"\x55\xaa":
        raise LayoutError(
            "there is no partition table at its beginning",
            code="NO-TABLE",
            where=where,
            hint="is this a raw disk image?",
        )
    entries = [struct.unpack_from("<B3xB3xII", sector, 446 + 16 * i) for i in range(4)]
    if any(entry[1] == _PROTECTIVE for entry in entries):
        return read_gpt(image, where)
    signature = f"{struct.unpack_from('<I', sector, 440)[0]:08x}"
    partitions = []
    for number, (status, kind, start, length) in enumerate(entries, start=1):
        if status not in (0, 0x80):
            raise LayoutError(
                "its first sector holds no partition table",
                code="NO-TABLE",
                where=where,
                hint="it may be a single filesystem rather than a disk image",
            )
        if kind and length:
            partuuid = f"{signature}-{number:02x}"
            active = status == 0x80
            partitions.append(
                PartitionEntry(number, start, length, f"0x{kind:02x}", active, "", partuuid)
            )
    return PartitionTable("mbr", signature, tuple(partitions))


def read_gpt(image: BinaryIO, where: str) -> PartitionTable:
    """The GPT of `image`, whatever its MBR says; errors name `where`.

    Raises:
        LayoutError: there is none, or it is damaged.
    """
    image.seek(SECTOR_BYTES)
    sector = image.read(SECTOR_BYTES)
    if len(sector) < SECTOR_BYTES or not sector.startswith(GPT_MAGIC):
        raise _damaged("the header is missing", where)
    header_bytes, crc = struct.unpack_from("<II", sector, 12)
    table_sector, count, entry_bytes, table_crc = struct.unpack_from("<QIII", sector, 72)
    if not 92 <= header_bytes <= SECTOR_BYTES or not 1 <= count <= _MAX_GPT_ENTRIES:
        raise _damaged("impossible sizes in the header", where)
    if entry_bytes not in (128, 256, 512) or zlib.crc32(blank_crc(sector[:header_bytes])) != crc:
        raise _damaged("the header's checksum is wrong", where)
    if table_sector * SECTOR_BYTES >= image.seek(0, os.SEEK_END):
        raise _damaged("the table lies outside of the image", where)
    image.seek(table_sector * SECTOR_BYTES)
    table = image.read(count * entry_bytes)
    if len(table) < count * entry_bytes or zlib.crc32(table) != table_crc:
        raise _damaged("the table's checksum is wrong", where)
    partitions = []
    for number in range(1, count + 1):
        at = (number - 1) * entry_bytes
        kind, own = (uuid.UUID(bytes_le=table[at + i : at + i + 16]) for i in (0, 16))
        first, last, attributes = struct.unpack_from("<QQQ", table, at + 32)
        if kind.int == 0:
            continue
        if last < first:
            raise _damaged(f"partition {number} ends before it begins", where)
        name = table[at + 56 : at + 128].decode("utf-16-le", "replace").partition("\0")[0]
        active = bool(attributes & GPT_ATTRIBUTE_LEGACY_BOOT)
        partitions.append(
            PartitionEntry(number, first, last - first + 1, str(kind), active, name, str(own))
        )
    return PartitionTable("gpt", str(uuid.UUID(bytes_le=sector[56:72])), tuple(partitions))


def table_of_larger_disk(image: BinaryIO, size_bytes: int, where: str) -> dict[int, bytes]:
    """What to write, by offset, so that the table of `image` is right on a disk of `size_bytes`.

    The second copy of a GPT belongs at the end of the disk, and the first one names it; an MBR
    stays as it is. What begins where the second copy was is overwritten by zeros.

    Raises:
        LayoutError: there is no table, or it is damaged.
    """
    before = image.seek(0, os.SEEK_END)
    image.seek(0)
    if _read(image, where).label == "mbr" or before == size_bytes:
        return {}
    image.seek(0)
    head = bytearray(image.read(2 * SECTOR_BYTES))
    header = bytearray(head[SECTOR_BYTES:])
    table_sector, count, entry_bytes = struct.unpack_from("<QII", header, 72)
    image.seek(table_sector * SECTOR_BYTES)
    table = image.read(count * entry_bytes)
    table_sectors = -(-len(table) // SECTOR_BYTES)
    last = size_bytes // SECTOR_BYTES - 1
    (old_backup,) = struct.unpack_from("<Q", header, 32)
    struct.pack_into("<QQ", header, 24, 1, last)
    struct.pack_into("<Q", header, 48, last - table_sectors - 1)
    backup = bytearray(header)
    struct.pack_into("<QQ", backup, 24, last, 1)
    struct.pack_into("<Q", backup, 72, last - table_sectors)
    for at in range(446, 510, 16):
        # The protective entry spans the disk, as far as its field of 32 bits can say.
        if head[at + 4] == _PROTECTIVE:
            struct.pack_into("<I", head, at + 12, min(last, 2**32 - 1))
    old_end = (old_backup + 1) * SECTOR_BYTES
    old_start = old_end - (table_sectors + 1) * SECTOR_BYTES
    return {
        0: bytes(head[:SECTOR_BYTES]),
        SECTOR_BYTES: _with_crc(header),
        old_start: bytes(max(0, min(old_end, before) - old_start)),
        (last - table_sectors) * SECTOR_BYTES: table.ljust(table_sectors * SECTOR_BYTES, b"\0"),
        last * SECTOR_BYTES: _with_crc(backup),
    }


def _with_crc(sector: bytearray) -> bytes:
    """The sector of a GPT header with its own checksum."""
    (header_bytes,) = struct.unpack_from("<I", sector, 12)
    struct.pack_into("<I", sector, 16, zlib.crc32(blank_crc(bytes(sector[:header_bytes]))))
    return bytes(sector)


def blank_crc(header: bytes) -> bytes:
    """A GPT header with zeros where its own CRC-32 stands, as that is computed."""
    return header[:16] + bytes(4) + header[20:]


def _damaged(what: str, where: str) -> LayoutError:
    return LayoutError(f"the GPT is damaged: {what}", code="DAMAGED-TABLE", where=where)
