"""Which kernels a tree has: releases with their modules, and the images that start them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voidimg.tree.tree import NotInTreeError, Tree
from voidimg.xbps.version import sort_key

KERNELS = "/usr/lib/modules"
BOOT = "/boot"


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel of a tree: its release, as ``uname -r`` says it, and the path of its image."""

    release: str
    image: str

    @property
    def name(self) -> str:
        """The name of the image without its release: ``vmlinuz`` or ``vmlinux``."""
        return self.image.rpartition("/")[2].partition("-")[0]

    @property
    def initramfs(self) -> str:
        """Where Void's hooks put its initramfs."""
        return f"{BOOT}/initramfs-{self.release}.img"


def find_kernels(root: Path) -> tuple[Kernel, ...]:
    """The kernels of the tree `root` that have modules and an image, the newest first.

    The kernels of a Raspberry Pi are not among them: their images do not say their release.
    """
    with Tree(root) as tree:
        found = [
            Kernel(release, image)
            for release in listed(tree, KERNELS)
            for image in (f"{BOOT}/vmlinuz-{release}", f"{BOOT}/vmlinux-{release}")
            if tree.exists(image) and tree.exists(f"{KERNELS}/{release}")
        ]
    return tuple(sorted(found, key=lambda kernel: sort_key(kernel.release), reverse=True))


def listed(tree: Tree, path: str) -> list[str]:
    """The names in the directory `path`, sorted; none when there is no such directory."""
    try:
        return sorted(tree.listdir(path))
    except NotInTreeError:
        return []
