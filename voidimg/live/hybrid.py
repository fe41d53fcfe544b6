"""Makes an ISO start from a USB stick too: MBR and GPT in its system area, of our own making.

pycdlib's own hybrid writes the backup GPT over the end of the last file, so it is not used.

With BIOS boot the MBR is hybrid: isolinux's code (432 bytes), the address of isolinux.bin in
sectors of 512 bytes (u64 at 432), a signature (u32 at 440), and the same two partitions as the
GPT. Without, it is protective, as the UEFI specification wants: some firmware of ARM boards only
then believes the GPT.

The hybrid MBR has no entry of type 0xee, as isohybrid's has none: firmware that knows both takes a
disk with one for UEFI's alone (rodsbooks.com/gdisk/bios.html), and UEFI starts from the entry of
type 0xef. So ``sgdisk -v``, which cannot ask which of the two tables is meant, ends with status 2
(gdisk, gpt.cc, UseWhichPartitions) though it finds no problem in the GPT; for xorriso's hybrids it
does the same, and finds that their partitions overlap.

GPT (UEFI specification, chapter 5): header in sector 1, 128 entries of 128 bytes in sectors 2 to
33, both again in the last 33 sectors.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from voidimg.formats.partition_table import SECTOR_BYTES
from voidimg.live.iso_plan import MBR_CODE_BYTES, IsoIdentifiers

GPT_SECTORS = 33
"""Header and entries, at either end."""
FIRST_USABLE = 1 + GPT_SECTORS
ESP_TYPE = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
BASIC_DATA_TYPE = UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")

_MEBIBYTE = 2**20
_SECTORS_PER_BLOCK = 4
_ENTRIES, _ENTRY_BYTES, _HEADER_BYTES = 128, 128, 92
_REVISION = 0x10000
_NOT_TO_MOUNT = 1 << 60 | 1 << 62 | 1 << 63
"""Attributes of basic data partitions: read only, hidden, no drive letter."""
_MBR_HIDDEN_NTFS, _MBR_ESP, _MBR_PROTECTIVE = 0x17, 0xEF, 0xEE
_NO_CHS = b"\xfe\xff\xff"


@dataclass(frozen=True, slots=True)
class Hybrid:
    """The tables of an ISO of `sectors` (of 512 bytes, the backup GPT included).

    `esp_start` and `esp_sectors` are where the EFI system partition is in the ISO, None when it has
    none. `loader` is the sector of isolinux.bin and `mbr_code` what starts it, None without BIOS.
    """

    sectors: int
    identifiers: IsoIdentifiers
    esp_start: int | None = None
    esp_sectors: int = 0
    loader: int | None = None
    mbr_code: bytes = b""

    @property
    def last_usable(self) -> int:
        """The last sector that a partition can have."""
        return self.sectors - GPT_SECTORS - 1

    @property
    def content_end(self) -> int:
        """The sector behind the partition of everything else: where the ISO's blocks end.

        Tools warn of partitions that end within a block.
        """
        return (self.last_usable + 1) // _SECTORS_PER_BLOCK * _SECTORS_PER_BLOCK

    @property
    def content_start(self) -> int:
        """Where the partition of everything else begins: after the EFI system partition."""
        return FIRST_USABLE if self.esp_start is None else self.esp_start + self.esp_sectors


def padded_bytes(iso_bytes: int) -> int:
    """The size of an ISO of `iso_bytes` with room for the backup GPT: a whole number of MiB."""
    return -(-(iso_bytes + GPT_SECTORS * SECTOR_BYTES) // _MEBIBYTE) * _MEBIBYTE


def write_hybrid(hybrid: Hybrid, image: Path) -> None:
    """Give `image`, a finished ISO, the size and tables of `hybrid`; its content stays as it is.

    Raises:
        OSError: it cannot be written.
    """
    entries = _gpt_entries(hybrid)
    last = hybrid.sectors - 1
    with image.open("r+b") as file:
        file.truncate(hybrid.sectors * SECTOR_BYTES)
        _write(file, 0, _mbr(hybrid))
        _write(file, 1, _gpt_header(hybrid, entries, own=1, other=last, table=2))
        _write(file, 2, entries)
        table = hybrid.last_usable + 1
        _write(file, table, entries)
        _write(file, last, _gpt_header(hybrid, entries, own=last, other=1, table=table))


def _write(file: BinaryIO, sector: int, content: bytes) -> None:
    file.seek(sector * SECTOR_BYTES)
    file.write(content)


def _mbr(hybrid: Hybrid) -> bytes:
    sector = bytearray(SECTOR_BYTES)
    signature = hybrid.identifiers.signature
    if hybrid.loader is None:
        whole = min(hybrid.sectors - 1, 2**32 - 1)
        entries = [_mbr_entry(_MBR_PROTECTIVE, 1, whole)]
    else:
        sector[:MBR_CODE_BYTES] = hybrid.mbr_code[:MBR_CODE_BYTES]
        struct.pack_into("<Q", sector, MBR_CODE_BYTES, hybrid.loader)
        content = hybrid.content_end - hybrid.content_start
        # Some BIOSes only start from a disk with an active partition.
        entries = [_mbr_entry(_MBR_HIDDEN_NTFS, hybrid.content_start, content, active=True)]
        if hybrid.esp_start is not None:
            entries.append(_mbr_entry(_MBR_ESP, hybrid.esp_start, hybrid.esp_sectors))
    struct.pack_into("<I", sector, 440, signature)
    sector[446 : 446 + 16 * len(entries)] = b"".join(entries)
    sector[510:] = b"\x55\xaa"
    return bytes(sector)


def _mbr_entry(kind: int, start: int, sectors: int, *, active: bool = False) -> bytes:
    status = 0x80 if active else 0
    first = b"\0\2\0" if kind == _MBR_PROTECTIVE else _NO_CHS
    return struct.pack("<B3sB3sII", status, first, kind, _NO_CHS, start, sectors)


def _gpt_entries(hybrid: Hybrid) -> bytes:
    names = hybrid.identifiers
    entries = []
    if hybrid.esp_start is not None:
        last = hybrid.esp_start + hybrid.esp_sectors - 1
        entries.append(_gpt_entry(ESP_TYPE, names.esp, hybrid.esp_start, last, 0, "EFI system"))
    entries.append(
        _gpt_entry(
            BASIC_DATA_TYPE,
            names.content,
            hybrid.content_start,
            hybrid.content_end - 1,
            _NOT_TO_MOUNT,
            "Live image",
        )
    )
    return b"".join(entries).ljust(_ENTRIES * _ENTRY_BYTES, b"\0")


def _gpt_entry(kind: UUID, own: UUID, first: int, last: int, attributes: int, name: str) -> bytes:
    text = name.encode("utf-16-le")
    return struct.pack("<16s16sQQQ72s", kind.bytes_le, own.bytes_le, first, last, attributes, text)


def _gpt_header(hybrid: Hybrid, entries: bytes, *, own: int, other: int, table: int) -> bytes:
    def header(checksum: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            b"EFI PART",
            _REVISION,
            _HEADER_BYTES,
            checksum,
            0,
            own,
            other,
            FIRST_USABLE,
            hybrid.last_usable,
            hybrid.identifiers.disk.bytes_le,
            table,
            _ENTRIES,
            _ENTRY_BYTES,
            zlib.crc32(entries),
        )

    return header(zlib.crc32(header(0))).ljust(SECTOR_BYTES, b"\0")
