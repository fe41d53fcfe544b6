"""Writes a planned ISO: ISO 9660 with Rock Ridge, Joliet and El Torito, then the tables for USB.

The same plan and epoch give the same bytes: files lie in an order of our own, every date is the
epoch, and modes are the plan's.
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from voidimg.atomic import private_directory
from voidimg.errors import LayoutError, storing
from voidimg.formats.iso9660 import BLOCK_BYTES
from voidimg.formats.partition_table import SECTOR_BYTES
from voidimg.live.clock import stopped_clock
from voidimg.live.hybrid import Hybrid, padded_bytes, write_hybrid
from voidimg.live.iso_names import iso_names
from voidimg.live.iso_plan import (
    JOLIET_LABEL_CHARACTERS,
    IsoFile,
    IsoPlan,
    check_plan,
    parents,
)
from voidimg.live.verify_iso import check_iso
from voidimg.spec.volume_id import VOLUME_ID_CHARACTERS

if TYPE_CHECKING:
    from pycdlib import PyCdlib

MODE = 0o644
_COPY_BYTES = 2**20
_ISOLINUX_SECTORS = 4
"""What the BIOS loads of isolinux.bin, which then loads the rest of itself (syslinux)."""
_EFI = 0xEF
_SECTORS_PER_BLOCK = BLOCK_BYTES // SECTOR_BYTES


def write_iso(plan: IsoPlan, out: Path, epoch: int) -> None:
    """Write the ISO of `plan` as the file `out`, which appears whole and checked, or not at all.

    Args:
        plan: what it holds.
        out: the ISO; replaced when it exists.
        epoch: the build's time, in seconds since 1970.

    Raises:
        LayoutError: an ISO cannot hold what is planned, or a check of the result failed.
        StoreError: the ISO cannot be written (`DiskFullError`: for want of space).
        ToolError: this version of pycdlib cannot write the same bytes twice.
    """
    check_plan(plan)
    with storing(out, "write the ISO"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with private_directory(out.parent) as private:
            image = private / "live.iso"
            hybrid = _write(plan, image, epoch)
            write_hybrid(hybrid, image)
            check_iso(plan, image)
            image.chmod(MODE)
            image.replace(out)


def _write(plan: IsoPlan, image: Path, epoch: int) -> Hybrid:
    from pycdlib import PyCdlib
    from pycdlib.pycdlibexception import PyCdlibException

    iso = PyCdlib()
    try:
        with stopped_clock(epoch), ExitStack() as sources:
            iso.new(
                interchange_level=3, rock_ridge="1.09", joliet=3, sys_ident="LINUX",
                vol_ident=plan.volume_id[:JOLIET_LABEL_CHARACTERS], app_ident_str="VOIDIMG",
            )  # fmt: skip
            # new() takes one name for both descriptors, but only this one has room for all of it.
            iso.pvd.volume_identifier = plan.volume_id.encode().ljust(VOLUME_ID_CHARACTERS)
            _fill(iso, plan, sources)
            iso.force_consistency()
            hybrid_places = {path: _sector(iso, path) for path in _boot_images(plan)}
            iso.write(str(image), blocksize=_COPY_BYTES)
            iso.close()
    except PyCdlibException as error:
        raise LayoutError(
            f"the ISO cannot be written: {error}", code="ISO", where=plan.volume_id
        ) from error
    return _hybrid(plan, hybrid_places, padded_bytes(image.stat().st_size) // SECTOR_BYTES)


def _fill(iso: PyCdlib, plan: IsoPlan, sources: ExitStack) -> None:
    paths = [file.path for file in plan.files]
    names = iso_names([*paths, plan.catalog] if _boot_images(plan) else paths)
    for directory in sorted({above for path in names for above in parents(path)}):
        name = directory.rpartition("/")[2]
        mode = stat.S_IFDIR | 0o755
        iso.add_directory(names[directory], name, joliet_path=directory, file_mode=mode)
    # The ESP comes first, so that the partition of all the rest can follow it.
    for file in sorted(plan.files, key=lambda file: (file.path != plan.efi, file.path)):
        _add(iso, file, names[file.path], sources)
    catalog, name = plan.catalog, plan.catalog.rpartition("/")[2]
    if plan.bios is not None:
        loader = names[plan.bios.loader]
        size = _ISOLINUX_SECTORS
        iso.add_eltorito(loader, names[catalog], name, catalog, size, boot_info_table=True)
    if plan.efi is not None:
        iso.add_eltorito(
            names[plan.efi], names[catalog], name, catalog, platform_id=_EFI, efi=True
        )  # the catalog's names count for the first entry only


def _add(iso: PyCdlib, file: IsoFile, iso_path: str, sources: ExitStack) -> None:
    name = file.path.rpartition("/")[2]
    mode = stat.S_IFREG | file.mode
    if isinstance(file.source, bytes):
        content = sources.enter_context(BytesIO(file.source))
        iso.add_fp(content, len(file.source), iso_path, name, file.path, file_mode=mode)
    else:
        iso.add_file(os.fspath(file.source), iso_path, name, file.path, file_mode=mode)


def _boot_images(plan: IsoPlan) -> tuple[str, ...]:
    loader = () if plan.bios is None else (plan.bios.loader,)
    return loader if plan.efi is None else (*loader, plan.efi)


def _sector(iso: PyCdlib, path: str) -> int:
    return int(iso.get_record(rr_path=path).extent_location()) * _SECTORS_PER_BLOCK


def _hybrid(plan: IsoPlan, places: dict[str, int], sectors: int) -> Hybrid:
    efi = None if plan.efi is None else plan.file(plan.efi)
    return Hybrid(
        sectors=sectors,
        identifiers=plan.identifiers,
        esp_start=None if efi is None else places[efi.path],
        esp_sectors=0 if efi is None else efi.size_bytes // SECTOR_BYTES,
        loader=None if plan.bios is None else places[plan.bios.loader],
        mbr_code=b"" if plan.bios is None else plan.bios.mbr_code,
    )
