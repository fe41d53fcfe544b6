"""Looks into any artifact without mounting it; what a live ISO is, is found here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from voidimg.formats.boot_menus import BootMenu
from voidimg.formats.iso9660 import BootEntry
from voidimg.formats.partition_table import PartitionTable
from voidimg.inspection import disk as disk_inspect
from voidimg.inspection.access import LiveAccess, find_access
from voidimg.inspection.disk import Inspection
from voidimg.inspection.findings import Package, find
from voidimg.inspection.medium import LIVE_CONF, LiveMedium, open_medium
from voidimg.inspection.opened import not_sound, open_artifact
from voidimg.live.media import SQUASHFS


@dataclass(frozen=True, slots=True)
class InspectedEsp:
    """The EFI system partition: its filesystem, and the files in it.

    `grub` has, by loader, the version of GRUB that it is, None when it does not say one.
    """

    type: str
    label: str
    serial: str
    free_bytes: int
    files: tuple[str, ...]
    grub: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class InspectedKernel:
    """The kernel that the menus start; `release` is None when its image does not say it."""

    path: str
    release: str | None


@dataclass(frozen=True, slots=True)
class InspectedInitramfs:
    """The initramfs; `early` are files for the kernel itself, such as microcode.

    `live_media` says whether it holds dracut's module that finds live media, `live_module` whether
    it holds the one of Void's live systems. `releases` are those of the kernels whose modules it
    has, `modules` their names.
    """

    path: str
    size_bytes: int
    compression: str
    early: tuple[str, ...]
    files: int
    live_media: bool
    live_module: bool
    releases: tuple[str, ...]
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InspectedSquashfs:
    """The squashfs of the live system; `made` is its own time, `content_bytes` what it holds."""

    path: str
    compression: str
    block_bytes: int
    size_bytes: int
    content_bytes: int
    inodes: int
    made: str


@dataclass(frozen=True, slots=True)
class IsoInspection:
    """What a live ISO is; what it does not have is None or empty.

    `created` is the date of its volume, `boot_entries` what firmware starts from a CD, and `tables`
    are the partition tables that it has as a USB stick.
    """

    path: str
    kind: Literal["ISO image"]
    file_bytes: int
    volume_id: str
    created: str
    boot_entries: tuple[BootEntry, ...]
    tables: tuple[PartitionTable, ...]
    esp: InspectedEsp | None
    menus: tuple[BootMenu, ...]
    kernel: InspectedKernel | None
    initramfs: InspectedInitramfs | None
    squashfs: InspectedSquashfs | None
    architecture: str | None
    packages: tuple[Package, ...]
    services: tuple[str, ...]
    access: LiveAccess

    def as_json(self) -> dict[str, object]:
        """A JSON-ready mapping."""
        return asdict(self)


def inspect(path: Path, *, scratch: Path | None = None) -> Inspection | IsoInspection:
    """What the artifact at `path` is: an image, a tar, or a live ISO.

    Args:
        path: the artifact; images and tars may be compressed.
        scratch: where a compressed image is unpacked for the while, as a sparse file; the system's
            directory for temporary files by default.

    Raises:
        LayoutError: it is not an artifact, or damaged or truncated.
        StoreError: it cannot be read, or `scratch` not be written.
        ToolError: mtools, debugfs, unsquashfs or openssl is missing or failed.
    """
    if open_artifact(path).kind != "ISO image":
        return disk_inspect.inspect(path, scratch=scratch)
    with open_medium(path) as medium:
        return _inspect_iso(medium, path)


def _inspect_iso(medium: LiveMedium, path: Path) -> IsoInspection:
    iso = medium.iso
    with not_sound(path):
        found = find(medium.tree)
    kernel = medium.kernel_path
    return IsoInspection(
        path=str(path),
        kind="ISO image",
        file_bytes=path.stat().st_size,
        volume_id=iso.volume_id,
        created=iso.created,
        boot_entries=iso.boot_entries,
        tables=medium.tables,
        esp=_esp(medium),
        menus=medium.menus,
        kernel=None if kernel is None else InspectedKernel(kernel, medium.kernel.release),
        initramfs=_initramfs(medium),
        squashfs=_squashfs(medium),
        architecture=found.architecture,
        packages=found.packages,
        services=found.services,
        access=find_access(medium.tree, medium.live_conf),
    )


def _esp(medium: LiveMedium) -> InspectedEsp | None:
    volume, files = medium.esp_volume, medium.esp
    if volume is None or files is None:
        return None
    return InspectedEsp(
        f"FAT{volume.bits}",
        volume.label,
        volume.serial,
        volume.free_bytes,
        files.list(),
        medium.grub_versions,
    )


def _initramfs(medium: LiveMedium) -> InspectedInitramfs | None:
    found, path = medium.initramfs, medium.initrd_path
    if found is None or path is None:
        return None
    modules = medium.initramfs_modules
    return InspectedInitramfs(
        path=path,
        size_bytes=found.size_bytes,
        compression=found.compression,
        early=found.early,
        files=sum(entry.kind == "file" for entry in found.entries.values()),
        live_media=any("dmsquash-live" in name for name in found.entries),
        live_module=LIVE_CONF in found.entries,
        releases=tuple(sorted({release for release, _ in modules.values()})),
        modules=tuple(sorted(modules)),
    )


def _squashfs(medium: LiveMedium) -> InspectedSquashfs | None:
    found = medium.squashfs
    if found is None:
        return None
    return InspectedSquashfs(
        path=SQUASHFS,
        compression=found.compressor,
        block_bytes=found.block_bytes,
        size_bytes=found.bytes_used,
        content_bytes=sum(entry.size_bytes for entry in medium.tree.entries().values()),
        inodes=found.inodes,
        made=datetime.fromtimestamp(found.epoch, UTC).isoformat(),
    )
