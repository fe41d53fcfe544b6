"""Puts GRUB into the tree of a disk: loaders, modules, and where the loaders find their menu.

What grub-install does, without a device: the modules of each kind of firmware are copied to
``/boot/grub``, loaders for UEFI go to the names that firmware starts from any medium, the core for
BIOS lies beside its modules, from where the writer of the disk takes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from voidimg.arch import EFI_FILES
from voidimg.atomic import private_directory
from voidimg.disk.bios_boot import BOOT_IMAGE
from voidimg.disk.grub_core import BIOS, GRUB_MODULES, PREFIX, GrubCore, make_core, no_grub
from voidimg.errors import LayoutError
from voidimg.formats.partition_table import ESP_GUID, ESP_TYPES
from voidimg.spec.disk_model import Disk, Partition
from voidimg.spec.model import Grub
from voidimg.tree import beneath
from voidimg.tree.copy_out import take_files
from voidimg.tree.tree import Tree

_COPIED = (".mod", ".lst", "modinfo.sh")
_MODULES = frozenset({
    "configfile", "ext2", "fat", "linux", "normal", "part_gpt", "part_msdos", "search",
    "search_fs_uuid", "serial", "terminal",
})  # fmt: skip
"""What finds the menu on any disk, and starts what it says; all others are loaded from the disk."""
_BIOS_MODULES = frozenset({"biosdisk"})


@dataclass(frozen=True, slots=True)
class MenuPlace:
    """Where the menu is: `uuid` of the filesystem, and what ``/boot`` is called in it."""

    uuid: str
    prefix: str


def is_esp(partition: Partition) -> bool:
    """Whether firmware takes `partition` for an EFI system partition."""
    return partition.type.lower() in ESP_TYPES and partition.filesystem == "vfat"


def esp_of(disk: Disk) -> Partition:
    """The EFI system partition of `disk` that is filled from a directory.

    Raises:
        LayoutError: there is none.
    """
    for partition in disk.partitions:
        if is_esp(partition) and partition.mount is not None:
            return partition
    kind = "0xef" if disk.label == "mbr" else ESP_GUID
    raise LayoutError(
        "UEFI starts GRUB from an EFI system partition, and the disk has none that is mounted",
        code="NO-ESP",
        where="disk.partitions",
        hint=f'add one with type = "{kind}", filesystem = "vfat" and mount = "/boot/efi"',
    )


def partition_of(disk: Disk, path: str) -> Partition:
    """The partition of `disk` that the directory `path` of the tree goes into.

    Raises:
        LayoutError: there is none.
    """
    found = [
        one
        for one in disk.partitions
        if one.mount is not None and f"{path}/".startswith(one.mount.rstrip("/") + "/")
    ]
    if not found:
        raise LayoutError(f"no partition holds {path}", code="NO-ROOT", where="disk.partitions")
    return max(found, key=lambda one: len(one.mount or ""))


def menu_place(disk: Disk, uuids: Mapping[str, str]) -> MenuPlace:
    """Where ``/boot`` of `disk` is; `uuids` are those of its filesystems, by partition.

    Raises:
        LayoutError: no partition holds it.
    """
    holder = partition_of(disk, "/boot")
    mount = (holder.mount or "/").rstrip("/")
    return MenuPlace(uuids[holder.name], "/boot".removeprefix(mount))


def serial_of(grub: Grub) -> dict[str, int] | None:
    """Number and speed of the serial port of the menu; None when GRUB has no driver for it."""
    port, _, speed = (grub.serial_port or "").partition(",")
    if not port.startswith("ttyS"):
        return None
    return {"unit": int(port.removeprefix("ttyS")), "speed": int(speed)}


def install_grub(
    tree: Path,
    grub: Grub,
    disk: Disk,
    place: MenuPlace,
    *,
    arch: str | None,
    epoch: int,
    scratch: Path,
) -> None:
    """Put GRUB into `tree` for all platforms of `grub`.

    Args:
        tree: the tree of the disk, with GRUB's packages; its menu is not touched.
        grub: which loaders.
        disk: what the tree is written to.
        place: where the loaders find their menu.
        arch: XBPS architecture of the tree; None to take this host's program (see `make_core`).
        epoch: the build's time, in seconds since 1970.
        scratch: a directory for files on the way.

    Raises:
        LayoutError: the tree lacks GRUB, or its EFI system partition is not mounted anywhere.
        SandboxError, ScriptError, ToolError: see `make_core`.
        StoreError: the tree cannot be written.
    """
    early = f"search.fs_uuid {place.uuid} root\nset prefix=($root){place.prefix}/grub\n"
    for platform in sorted(grub.platforms):
        own = _BIOS_MODULES if platform == BIOS else frozenset[str]()
        core = GrubCore(platform, _MODULES | own, early)
        with private_directory(scratch) as private:
            image = private / "core.img"
            make_core(tree, core, image, arch)
            content = image.read_bytes()
            modules = private / "modules"
            names = take_files(tree, f"{GRUB_MODULES}/{platform}", modules, _COPIED)
            with Tree(tree) as opened:
                for name in sorted(names):
                    source = beneath.own_copy(modules, name).read_bytes()
                    opened.write(f"{PREFIX}/{platform}/{name}", source, mtime=epoch, parents=True)
        _place_loader(tree, platform, content, disk, epoch)


def _place_loader(tree: Path, platform: str, core: bytes, disk: Disk, epoch: int) -> None:
    if platform != BIOS:
        path = f"{esp_of(disk).mount}/EFI/BOOT/{EFI_FILES[platform]}"
        with Tree(tree) as opened:
            opened.write(path, core, mtime=epoch, parents=True)
        return
    with Tree(tree) as opened:
        source = f"{GRUB_MODULES}/{BIOS}/{BOOT_IMAGE}"
        if not beneath.is_file(tree, source):
            raise no_grub(BIOS, f"the file {BOOT_IMAGE} of GRUB")
        opened.write(f"{PREFIX}/{BIOS}/{BOOT_IMAGE}", opened.read(source), mtime=epoch)
        opened.write(f"{PREFIX}/{BIOS}/core.img", core, mtime=epoch)
