"""Looks into images and tars without mounting: table, filesystems, packages, boot and access."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from voidimg.foreign import open_regular
from voidimg.formats.ext4 import Ext4Volume, read_ext4
from voidimg.formats.fat import FatVolume, read_fat
from voidimg.formats.partition_table import ESP_GUID, PartitionEntry, read_table
from voidimg.formats.swap import PAGE_BYTES, SwapSpace, read_swap
from voidimg.inspection.boot_files import BootFiles
from voidimg.inspection.ext4_files import Ext4Files
from voidimg.inspection.findings import (
    BOOT_DIRECTORIES,
    WANTED,
    Findings,
    FoundAccess,
    FoundBoot,
    Package,
    find,
    find_boot,
    fstab_of,
    mounted_at,
)
from voidimg.inspection.opened import (
    Artifact,
    ArtifactKind,
    not_sound,
    open_artifact,
    raw_image,
)
from voidimg.inspection.tree_files import TarFiles, TreeFiles


@dataclass(frozen=True, slots=True)
class Filesystem:
    """A filesystem; `uuid` is as in fstab. `journal`, `clean` and `features` are None for FAT."""

    type: str
    uuid: str
    label: str
    size_bytes: int
    free_bytes: int
    unit_bytes: int
    journal: bool | None = None
    clean: bool | None = None
    growth_limit_bytes: int | None = None
    features: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class InspectedPartition:
    """A partition and what is in it; `filesystem` None means nothing that voidimg knows."""

    number: int
    start_sector: int
    sectors: int
    type: str
    active: bool
    name: str
    partuuid: str
    filesystem: Filesystem | None


@dataclass(frozen=True, slots=True)
class InspectedDisk:
    """The partition table of an image; `identifier` is the MBR signature or the disk's GUID."""

    label: Literal["mbr", "gpt"]
    identifier: str
    size_bytes: int
    partitions: tuple[InspectedPartition, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an artifact is. `disk` is None for a tar."""

    path: str
    kind: ArtifactKind
    compression: str
    file_bytes: int
    disk: InspectedDisk | None
    architecture: str | None
    packages: tuple[Package, ...]
    services: tuple[str, ...]
    fstab: tuple[str, ...]
    boot: FoundBoot
    access: FoundAccess

    def as_json(self) -> dict[str, object]:
        """A JSON-ready mapping."""
        return asdict(self)


def inspect(path: Path, *, scratch: Path | None = None) -> Inspection:
    """What the artifact at `path` is.

    Args:
        path: an image or a tar, plain or compressed.
        scratch: where a compressed image is unpacked for the while, as a sparse file; the system's
            directory for temporary files by default.

    Raises:
        LayoutError: it is not an artifact, or damaged or truncated.
        StoreError: it cannot be read, or `scratch` not be written.
        ToolError: mtools or debugfs is missing or failed.
    """
    artifact = open_artifact(path)
    if artifact.kind == "tar":
        files = TarFiles.of(path, WANTED)
        return _report(artifact, None, files, _boot_of_tree(files))
    with raw_image(artifact, scratch) as image:
        return _inspect_image(artifact, image)


def _inspect_image(artifact: Artifact, image: Path) -> Inspection:
    table = read_table(image)
    partitions: list[InspectedPartition] = []
    fats: list[tuple[PartitionEntry, FatVolume]] = []
    roots: list[Ext4Files] = []
    with open_regular(image, block_device=True) as file:
        for entry in table.partitions:
            fat_volume = read_fat(file, entry.offset_bytes, entry.size_bytes)
            ext4_volume = read_ext4(file, entry.offset_bytes)
            swap = read_swap(file, entry.offset_bytes)
            partitions.append(_partition(entry, fat_volume, ext4_volume, swap))
            if fat_volume is not None:
                fats.append((entry, fat_volume))
            if ext4_volume is not None:
                roots.append(Ext4Files(image, entry.offset_bytes))
    disk = InspectedDisk(table.label, table.identifier, image.stat().st_size, tuple(partitions))
    files: TreeFiles = next((root for root in roots if root.names("/etc")), TarFiles())
    fat = boot_fat(fats, fstab_of(files))
    boot = (
        _boot_of_tree(files) if fat is None else _boot_of_fat(BootFiles(image, fat[0].offset_bytes))
    )
    return _report(artifact, disk, files, boot)


def boot_fat(
    fats: Sequence[tuple[PartitionEntry, FatVolume]], fstab: Sequence[str]
) -> tuple[PartitionEntry, FatVolume] | None:
    """Which of `fats` is ``/boot``.

    The one that `fstab` mounts there, or the first that it does not mount elsewhere. An EFI system
    partition of its own is none.
    """
    places = [(fat, mounted_at(fstab, fat[1].serial, fat[0].partuuid)) for fat in fats]
    here = (fat for fat, place in places if place == "/boot")
    free = (fat for fat, place in places if place is None and fat[0].type != ESP_GUID)
    return next(here, next(free, None))


def _report(
    artifact: Artifact, disk: InspectedDisk | None, files: TreeFiles, boot: FoundBoot
) -> Inspection:
    with not_sound(artifact.path):
        found: Findings = find(files)
    return Inspection(
        path=str(artifact.path),
        kind=artifact.kind,
        compression=artifact.compression,
        file_bytes=artifact.path.stat().st_size,
        disk=disk,
        architecture=found.architecture,
        packages=found.packages,
        services=found.services,
        fstab=found.fstab,
        boot=boot,
        access=found.access,
    )


def _partition(
    entry: PartitionEntry,
    fat: FatVolume | None,
    ext4: Ext4Volume | None,
    swap: SwapSpace | None,
) -> InspectedPartition:
    filesystem = None
    if swap is not None:
        size = swap.pages * PAGE_BYTES
        filesystem = Filesystem("swap", swap.uuid, swap.label, size, size, PAGE_BYTES)
    if fat is not None:
        size = fat.clusters * fat.cluster_bytes
        filesystem = Filesystem(
            f"FAT{fat.bits}", fat.serial, fat.label, size, fat.free_bytes, fat.cluster_bytes
        )
    elif ext4 is not None:
        filesystem = Filesystem(
            type="ext4" if "extent" in ext4.features else "ext2/3",
            uuid=ext4.uuid,
            label=ext4.label,
            size_bytes=ext4.blocks * ext4.block_bytes,
            free_bytes=ext4.free_bytes,
            unit_bytes=ext4.block_bytes,
            journal=ext4.journal,
            clean=ext4.clean,
            growth_limit_bytes=ext4.growth_limit_bytes,
            features=ext4.features,
        )
    return InspectedPartition(
        number=entry.number,
        start_sector=entry.start_sector,
        sectors=entry.sectors,
        type=entry.type,
        active=entry.active,
        name=entry.name,
        partuuid=entry.partuuid,
        filesystem=filesystem,
    )


def _boot_of_fat(fat: BootFiles) -> FoundBoot:
    paths = fat.list()
    texts = [fat.read(name) if name in paths else None for name in ("/cmdline.txt", "/config.txt")]
    return find_boot(paths, texts[0], texts[1])


def _boot_of_tree(files: TreeFiles) -> FoundBoot:
    paths = [
        f"{directory.removeprefix('/boot')}/{name}"
        for directory in BOOT_DIRECTORIES
        for name in files.names(directory)
    ]
    return find_boot(paths, files.read("/boot/cmdline.txt"), files.read("/boot/config.txt"))
