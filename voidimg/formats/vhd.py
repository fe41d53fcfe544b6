"""The footer of a fixed VHD: the raw disk as it is, and 512 bytes that say what it is.

Layout (Microsoft, Virtual Hard Disk Image Format Specification 1.0): big endian,
0 cookie (8), 8 features (4), 12 version (4), 16 offset of further headers (8), 24 seconds since
2000-01-01 (4), 28 creator (4), 32 its version (4), 36 its host (4), 40 and 48 sizes (8 each), 56
cylinders (2), heads (1), sectors (1), 60 type (4), 64 checksum (4), 68 identifier (16), 84 saved
state (1). The creator is that of ``qemu-img -o force_size``, which all readers believe the size of
rather than the cylinders.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass

SUFFIX = ".vhd"
FOOTER_BYTES = 512
MAGIC = b"conectix"
GRANULE_BYTES = 2**20
"""Azure takes disks of whole MiB only."""

_FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16sB427x")
_FIXED = 2
_CHECKSUM_AT = 64
_EPOCH_2000 = 946684800
_MOST_CYLINDERS = (65535, 16, 255)


def footer(disk_bytes: int, identifier: uuid.UUID, epoch: int) -> bytes:
    """The 512 bytes behind a disk of `disk_bytes`, which was made at `epoch` (seconds since 1970).

    A time before 2000 cannot be said; it is said as the first second of that year.
    """
    raw = _FOOTER.pack(
        MAGIC,
        2,  # reserved: always set
        0x10000,
        2**64 - 1,  # no further headers
        max(0, epoch - _EPOCH_2000),
        b"qem2",
        0x50003,
        b"Wi2k",
        disk_bytes,
        disk_bytes,
        *_MOST_CYLINDERS,
        _FIXED,
        0,
        identifier.bytes,
        0,
    )
    checksum = ~sum(raw) & 0xFFFFFFFF
    return raw[:_CHECKSUM_AT] + struct.pack(">I", checksum) + raw[_CHECKSUM_AT + 4 :]


@dataclass(frozen=True, slots=True)
class FixedVhd:
    """What the footer of a fixed VHD says: the size of the disk before it, in bytes."""

    disk_bytes: int


def read_footer(block: bytes) -> FixedVhd | None:
    """The fixed VHD that ends with `block`; None when it is no sound footer of one."""
    if len(block) != FOOTER_BYTES or not block.startswith(MAGIC):
        return None
    (said,) = struct.unpack_from(">I", block, _CHECKSUM_AT)
    blank = block[:_CHECKSUM_AT] + bytes(4) + block[_CHECKSUM_AT + 4 :]
    kind, size = struct.unpack_from(">I", block, 60)[0], struct.unpack_from(">Q", block, 48)[0]
    if said != ~sum(blank) & 0xFFFFFFFF or kind != _FIXED:
        return None
    return FixedVhd(size)
