"""Reads an ISO: its volume id, its files and what it tells firmware to start.

Files are read through pycdlib, by their Rock Ridge names. The boot catalog is read here (El Torito
specification 1.0, section 2): block 17 names its block; validation entry (platform 1), initial
entry, then section headers (platform 1, entries 2, ``91`` for the last) with their entries: ``88``
bootable, sectors of 512 bytes to load (u16 at 6), first block (u32 at 8).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from io import SEEK_END, SEEK_SET, BytesIO, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from voidimg.errors import LayoutError, StoreError
from voidimg.foreign import open_regular

if TYPE_CHECKING:
    from pycdlib import PyCdlib

BLOCK_BYTES = 2048
SYSTEM_AREA_BYTES = 16 * BLOCK_BYTES

Platform = Literal["bios", "efi", "other"]

_PRIMARY_DESCRIPTOR = b"\1CD001\1"
_VOLUME_BLOCKS = 80
"""Where it says how many blocks the volume has (ECMA-119, 8.4.8)."""
_BOOT_RECORD_BLOCK = 17
_BOOT_RECORD = b"\0CD001\1EL TORITO SPECIFICATION"
_PLATFORMS: Mapping[int, Platform] = {0: "bios", 0xEF: "efi"}
_BOOTABLE = 0x88
_DAMAGE = (LookupError, ValueError, TypeError, AttributeError, RecursionError, OverflowError)
_SECTION, _LAST_SECTION = 0x90, 0x91


@dataclass(frozen=True, slots=True)
class BootEntry:
    """What firmware of `platform` loads: `sectors` of 512 bytes, from the block `block` on.

    `path` is the file that begins there, None when no file does.
    """

    platform: Platform
    block: int
    sectors: int
    path: str | None


class Iso:
    """An ISO open for reading; paths are absolute, with the names that Linux shows."""

    def __init__(self, path: Path, file: BinaryIO, pycdlib: PyCdlib):
        """The ISO at `path`, whose bytes are `file`; made by `open_iso`."""
        self.path = path
        self._file = file
        self._pycdlib = pycdlib

    @property
    def volume_id(self) -> str:
        """What ``root=live:CDLABEL=`` names."""
        identifier: bytes = self._pycdlib.pvd.volume_identifier
        return identifier.decode("ascii", "replace").rstrip(" ")

    @property
    def created(self) -> str:
        """When it says that it was made: ``2024-03-14T00:00:00+00:00``, empty when it does not."""
        date = self._pycdlib.pvd.volume_creation_date
        try:
            zone = timezone(timedelta(minutes=15 * date.gmtoffset))
            made = datetime(
                date.year, date.month, date.dayofmonth, date.hour, date.minute, date.second,
                tzinfo=zone,
            )  # fmt: skip
        except (ValueError, OverflowError):
            return ""
        return made.isoformat()

    def offset_bytes(self, path: str) -> int | None:
        """Where the content of the file at `path` begins; None when it does not lie in one piece.

        From 4 GiB on a file has several extents, which writers put one behind the other.
        """
        self._size(path)
        ends = None
        for extent in _extents(self._record(path)):
            block = int(extent.extent_location())
            if ends is not None and block * BLOCK_BYTES != ends:
                return None
            ends = block * BLOCK_BYTES + int(extent.get_data_length())
        return self._block(path) * BLOCK_BYTES

    @cached_property
    def files(self) -> Mapping[str, int]:
        """Every file with its size in bytes, by path; directories are not named."""
        found = {}
        with _reading(str(self.path)):
            for path in self._iso_paths:
                lengths = [int(one.get_data_length()) for one in _extents(self._record(path))]
                # pycdlib cuts lengths off at the end of the file, from where they begin beyond it.
                if min(lengths) < 0:
                    raise _not_sound(str(self.path), f"{path} lies beyond the end of the file")
                found[path] = sum(lengths)
        return found

    @cached_property
    def _iso_paths(self) -> Mapping[str, str]:
        """Real name -> ISO 9660 name: by real names pycdlib finds only the end of large files."""
        found = {}
        for directory, _, names in self._pycdlib.walk(iso_path="/"):
            for name in names:
                iso_path = f"{directory.rstrip('/')}/{name}"
                record = self._pycdlib.get_record(iso_path=iso_path)
                path = self._pycdlib.full_path_from_dirrecord(record, rockridge=True)
                found[str(path)] = iso_path
        return dict(sorted(found.items()))

    @cached_property
    def boot_entries(self) -> tuple[BootEntry, ...]:
        """The bootable entries of the El Torito catalog, in its order; none without a catalog.

        Raises:
            LayoutError: the catalog is damaged.
        """
        paths = {self._block(path): path for path, size in self.files.items() if size}
        return tuple(
            BootEntry(platform, block, sectors, paths.get(block))
            for platform, block, sectors in _catalog(self._file, str(self.path))
        )

    def read(self, path: str, max_bytes: int = 2**24) -> bytes:
        """The content of the file at `path`.

        Raises:
            LayoutError: there is no such file, or it has more than `max_bytes`.
        """
        if self._size(path) > max_bytes:
            raise LayoutError(
                f"{path} has more than {max_bytes} bytes", code="TOO-LARGE", where=str(self.path)
            )
        content = BytesIO()
        with _reading(str(self.path)):
            self._pycdlib.get_file_from_iso_fp(content, iso_path=self._iso_paths[path])
        return content.getvalue()

    def copy(self, path: str, target: Path) -> None:
        """Copy the file at `path` into the new file `target`.

        Raises:
            LayoutError: there is no such file.
            OSError: `target` cannot be written.
        """
        self._size(path)
        with target.open("xb") as file:
            self._pycdlib.get_file_from_iso_fp(file, iso_path=self._iso_paths[path])

    def _size(self, path: str) -> int:
        if path not in self.files:
            raise LayoutError(
                f"there is no {path} on the ISO", code="NO-FILE", where=str(self.path)
            )
        return self.files[path]

    def _block(self, path: str) -> int:
        return int(self._record(path).extent_location())

    def _record(self, path: str) -> Any:
        return self._pycdlib.get_record(iso_path=self._iso_paths[path])


def _extents(record: Any) -> Iterator[Any]:
    """The directory records of one file: several from 4 GiB on (ECMA-119, 9.1.6)."""
    while record is not None:
        yield record
        record = record.data_continuation


@contextmanager
def open_iso(path: Path) -> Iterator[Iso]:
    """The ISO at `path`, while this lasts.

    Raises:
        LayoutError: it is not an ISO image with Rock Ridge names, or damaged.
        StoreError: it cannot be read.
    """
    from pycdlib.pycdlibexception import PyCdlibException

    with ExitStack() as opened:
        try:
            file = opened.enter_context(open_regular(path, block_device=True))
            pycdlib = _open(file, str(path))
        except OSError as error:
            raise StoreError(
                f"cannot read {path}: {error.strerror or error}", code="IO", where=str(path)
            ) from error
        opened.callback(pycdlib.close)
        try:
            yield Iso(path, file, pycdlib)
        except PyCdlibException as error:
            raise _not_sound(str(path), error) from error


def _open(file: BinaryIO, where: str) -> PyCdlib:
    from pycdlib import PyCdlib

    descriptor = os.pread(file.fileno(), BLOCK_BYTES, SYSTEM_AREA_BYTES)
    if not descriptor.startswith(_PRIMARY_DESCRIPTOR):
        raise _not_sound(where, "it has no volume descriptor")
    (blocks,) = struct.unpack_from("<I", descriptor, _VOLUME_BLOCKS)
    if blocks * BLOCK_BYTES > os.fstat(file.fileno()).st_size:
        raise _not_sound(where, f"it is shorter than the {blocks} blocks that it says it has")
    iso = PyCdlib()
    with _reading(where):
        iso.open_fp(cast("BinaryIO", _WithoutSystemArea(file)))
    return iso


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """Turn what pycdlib raises for damaged ISOs, much of which it trusts, into a `LayoutError`."""
    from pycdlib.pycdlibexception import PyCdlibException

    try:
        yield
    except (PyCdlibException, struct.error, *_DAMAGE) as error:
        raise _not_sound(where, error) from error


def _not_sound(where: str, why: object) -> LayoutError:
    return LayoutError(
        f"it is not a sound ISO image: {why}",
        code="ISO-DAMAGED",
        where=where,
        hint="the file may not be complete: fetch or build it again",
    )


class _WithoutSystemArea(RawIOBase):
    """A file whose first 32 KiB are zero: pycdlib refuses partition tables that it does not know.

    It knows no EFI system partition in a GPT and no MBR without a GPT (1.22).
    """

    mode = "rb"

    def __init__(self, file: BinaryIO):
        self._file = file

    def read(self, size: int = -1) -> bytes:
        at = self._file.tell()
        content = self._file.read(size)
        hidden = min(max(0, SYSTEM_AREA_BYTES - at), len(content))
        return bytes(hidden) + content[hidden:]

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _catalog(file: BinaryIO, where: str) -> Iterator[tuple[Platform, int, int]]:
    size = file.seek(0, SEEK_END)
    record = os.pread(file.fileno(), BLOCK_BYTES, _BOOT_RECORD_BLOCK * BLOCK_BYTES)
    if not record.startswith(_BOOT_RECORD):
        return
    (at,) = struct.unpack_from("<I", record, 71)
    catalog = os.pread(file.fileno(), BLOCK_BYTES, at * BLOCK_BYTES)
    if len(catalog) < BLOCK_BYTES or sum(struct.unpack_from("<16H", catalog)) % 2**16:
        raise _not_sound(where, "its boot catalog is damaged")
    platform, ahead = catalog[1], 1
    for place in range(32, BLOCK_BYTES, 32):
        kind = catalog[place]
        if ahead:
            ahead -= 1
            sectors, block = struct.unpack_from("<HI", catalog, place + 6)
            if kind == _BOOTABLE:
                if block * BLOCK_BYTES >= size:
                    raise _not_sound(where, "its boot catalog is damaged")
                yield _PLATFORMS.get(platform, "other"), block, sectors
        elif kind in (_SECTION, _LAST_SECTION):
            platform = catalog[place + 1]
            (ahead,) = struct.unpack_from("<H", catalog, place + 2)
        else:
            return
