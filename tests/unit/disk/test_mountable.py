"""Kernels that cannot mount what the disk would hold: told before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.grub_disk import DISK
from tests.live_medium import write_tree
from voidimg.disk.mountable import require_mountable
from voidimg.errors import LayoutError, VoidimgError, every_error

PLACE = "/usr/lib/modules/6.12.9_1"
EXT4, FAT = "kernel/fs/ext4/ext4.ko", "kernel/fs/fat/fat.ko\nkernel/fs/fat/vfat.ko"
LOADABLE = "kernel/fs/fat/fat.ko.zst:\nkernel/fs/fat/vfat.ko.zst: kernel/fs/fat/fat.ko.zst\n"


def tree(place: Path, builtin: str | None, modules: str = "", initramfs: bool = False) -> Path:
    """A tree whose kernel has these drivers."""
    files: dict[str, bytes | str | None] = {f"{PLACE}/modules.dep": modules.encode(), "/boot": None}
    if builtin is not None:
        files[f"{PLACE}/modules.builtin"] = builtin.encode()
    if initramfs:
        files["/boot/initramfs-6.12.9_1.img"] = b""
    return write_tree(place, files)


@pytest.mark.parametrize(
    ("builtin", "modules", "initramfs"),
    [
        (f"{EXT4}\n{FAT}\n", "", False),
        (f"{EXT4}\n", LOADABLE, False),
        (FAT, f"{EXT4}.xz:\n", True),
        (None, "", False),
    ],
)
def test_it_can(builtin: str | None, modules: str, initramfs: bool, tmp_path: Path) -> None:
    """Built in, as a module, or it does not say."""
    require_mountable(tree(tmp_path, builtin, modules, initramfs), DISK)


@pytest.mark.parametrize(
    ("builtin", "modules", "words"),
    [
        (FAT, "", "has no driver ext4 for the partition root"),
        (EXT4, "", "has no driver vfat for the partition esp"),
        (EXT4, "kernel/fs/fat/vfat.ko:\n", "has no driver fat "),
        (FAT, f"{EXT4}:\n", "there is no initramfs"),
    ],
)
def test_it_cannot(builtin: str, modules: str, words: str, tmp_path: Path) -> None:
    """The kernel, the driver and the partition are named."""
    with pytest.raises(VoidimgError) as caught:
        require_mountable(tree(tmp_path, builtin, modules), DISK)
    found = list(every_error(caught.value))
    assert all(isinstance(one, LayoutError) and "6.12.9_1" in str(one) for one in found)
    assert any(words in str(one) for one in found)
