"""A small disk that GRUB starts, made of this host's GRUB as a build makes it of the target's."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.live_medium import write_tree
from voidimg.disk.contents import measure_tree
from voidimg.disk.grub_disk import install_grub, menu_place
from voidimg.disk.identifiers import disk_identifiers
from voidimg.disk.image import write_image
from voidimg.disk.plan import BIOS_CORE, DiskPlan, plan_disk
from voidimg.formats.partition_table import BIOS_BOOT_TYPE, ESP_GUID
from voidimg.identity import Identity
from voidimg.spec.disk_model import Disk, Ext4, Fat, Partition
from voidimg.spec.model import Grub
from voidimg.tree import beneath

MIB = 2**20
EPOCH = 1710374400
RELEASE = "6.12.9_1"
IDENTITY = Identity("grub disk")
GRUB = Grub(platforms=("i386-pc", "x86_64-efi"))
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"
SWAP = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"

BIOS = Partition(name="bios", size=MIB, type=BIOS_BOOT_TYPE, filesystem="none")
ESP = Partition(
    name="esp", size=16 * MIB, type=ESP_GUID, filesystem="vfat", mount="/boot/efi",
    fat=Fat(bits=16),
)  # fmt: skip
ROOT = Partition(
    name="root", size="rest", type=LINUX, filesystem="ext4", mount="/", ext4=Ext4(journal=True)
)
DISK = Disk(label="gpt", partitions=(BIOS, ESP, ROOT), headroom=2 * MIB)
UUIDS = {one.name: one.uuid for one in disk_identifiers(DISK, IDENTITY).partitions}

FILES: dict[str, bytes | str | None] = {
    "/etc/fstab": (
        f"UUID={UUIDS['root']} / ext4 defaults 0 1\nUUID={UUIDS['esp']} /boot/efi vfat x 0 2\n"
    ).encode(),
    "/boot/efi": None,
    "/home": None,
    f"/boot/vmlinuz-{RELEASE}": b"kernel" * 1000,
    f"/boot/initramfs-{RELEASE}.img": b"initramfs" * 1000,
    "/boot/grub/grub.cfg": (
        f"menuentry 'Void' {{\n\tlinux /boot/vmlinuz-{RELEASE} root=UUID={UUIDS['root']} ro\n"
        f"\tinitrd /boot/initramfs-{RELEASE}.img\n}}\n"
    ).encode(),
}


def tree_of(place: Path, changes: dict[str, bytes | str | None] | None = None) -> Path:
    """A system with this host's modules of GRUB, and `changes`."""
    tree = write_tree(place / "tree", {**FILES, **(changes or {})})
    for platform in GRUB.platforms:
        target = tree / "usr/lib/grub" / platform
        target.mkdir(parents=True)
        for source in Path("/usr/lib/grub", platform).iterdir():
            if source.suffix in (".mod", ".lst", ".sh", ".img"):
                shutil.copy(source, target)
    return tree


def with_grub(tree: Path, disk: Disk = DISK, grub: Grub = GRUB) -> Path:
    """`tree` once GRUB is in it."""
    uuids = {one.name: one.uuid for one in disk_identifiers(disk, IDENTITY).partitions}
    place = menu_place(disk, uuids)
    install_grub(tree, grub, disk, place, arch=None, epoch=EPOCH, scratch=tree.parent)
    return tree


def plan_of(tree: Path, disk: Disk = DISK) -> DiskPlan:
    """The plan of `disk` for `tree`."""
    measured = measure_tree(tree, disk)
    return plan_disk(
        disk,
        contents=measured.contents,
        identity=IDENTITY,
        blob_bytes=measured.blob_bytes,
        core_bytes=beneath.size_of(tree, BIOS_CORE),
        kernel_bytes=measured.kernel_bytes,
    )


def make_disk(place: Path, changes: dict[str, bytes | str | None] | None = None) -> Path:
    """The disk image; `changes` are made when GRUB is in place."""
    tree = with_grub(tree_of(place))
    if changes:
        write_tree(tree, changes)
    image = place / "void-x86_64-disk-20240314.img"
    write_image(plan_of(tree), tree, image, EPOCH)
    return image
