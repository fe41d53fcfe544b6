"""Opens a live ISO for looking into it: menus, loaders, kernel, initramfs and the live system.

Each part is read when it is first asked for, in place, without unpacking anything to disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from voidimg.disk.grub_version import version_of_loader
from voidimg.errors import LayoutError
from voidimg.foreign import open_regular
from voidimg.formats.boot_menus import BootMenu, read_grub, read_isolinux
from voidimg.formats.cpio import Initramfs, decode_initramfs
from voidimg.formats.fat import FatVolume, read_fat
from voidimg.formats.iso9660 import BLOCK_BYTES, BootEntry, Iso, open_iso
from voidimg.formats.kernel_image import KernelImage, read_kernel_image
from voidimg.formats.partition_table import PartitionTable, read_gpt, read_table
from voidimg.formats.squashfs import Squashfs, read_squashfs
from voidimg.inspection.access import decode_live_conf
from voidimg.inspection.boot_files import BootFiles
from voidimg.inspection.squashfs_files import SquashfsFiles
from voidimg.inspection.tree_files import TarFiles, TreeFiles
from voidimg.live.media import SQUASHFS

LIVE_CONF = "/usr/lib/void-live/live.conf"
"""Where our dracut module has what its hooks are told."""
MEDIA_MODULES = ("overlay", "squashfs", "loop", "isofs", "sr_mod", "cdrom", "usb-storage", "ahci")
"""The modules of the kernel that a live medium is found and mounted with."""

_MODULE = re.compile(r"(?:/usr)?/lib/modules/([^/]+)/.+/([^/]+)\.ko(?:\.(?:xz|zst|gz))?")
_MAX_MENU_BYTES = 2**20
_MAX_KERNEL_BYTES = 2**27
_MAX_INITRD_BYTES = 2**28
_MENU_READERS = {
    "isolinux.cfg": read_isolinux,
    "grub.cfg": read_grub,
    "grub_void.cfg": read_grub,
}


class LiveMedium:
    """A live ISO; made by `open_medium`. What it does not have is None or empty."""

    def __init__(self, iso: Iso):
        """The medium of the open `iso`."""
        self.iso = iso

    @cached_property
    def menus(self) -> tuple[BootMenu, ...]:
        """The menus that have entries, by their paths."""
        found = []
        for path in self.iso.files:
            reader = _MENU_READERS.get(path.rpartition("/")[2])
            if reader is not None:
                text = self.iso.read(path, _MAX_MENU_BYTES).decode("utf-8", "replace")
                found.append(reader(text, path))
        return tuple(menu for menu in found if menu.entries)

    def boot_entry(self, platform: str) -> BootEntry | None:
        """The first entry of the boot catalog for `platform`."""
        entries = self.iso.boot_entries
        return next((entry for entry in entries if entry.platform == platform), None)

    @cached_property
    def esp(self) -> BootFiles | None:
        """The files of the EFI system partition."""
        return None if self.esp_volume is None else BootFiles(self.iso.path, self._esp_offset)

    @cached_property
    def esp_volume(self) -> FatVolume | None:
        """The filesystem of the EFI system partition."""
        entry = self.boot_entry("efi")
        if entry is None:
            return None
        with open_regular(self.iso.path, block_device=True) as file:
            return read_fat(file, self._esp_offset, self.iso.path.stat().st_size)

    @cached_property
    def grub_versions(self) -> Mapping[str, str | None]:
        """Loader in the EFI system partition -> the version of GRUB that it says it is."""
        esp = self.esp
        paths = () if esp is None else esp.list("/EFI/BOOT")
        return {} if esp is None else {path: version_of_loader(esp.read(path)) for path in paths}

    @property
    def _esp_offset(self) -> int:
        entry = self.boot_entry("efi")
        return 0 if entry is None else entry.block * BLOCK_BYTES

    @cached_property
    def tables(self) -> tuple[PartitionTable, ...]:
        """The partition tables that it has as a USB stick: MBR and GPT, or one of them."""
        found = []
        try:
            found.append(read_table(self.iso.path))
        except LayoutError:
            return ()
        if found[0].label == "mbr":
            try:
                with open_regular(self.iso.path, block_device=True) as file:
                    found.append(read_gpt(file, str(self.iso.path)))
            except LayoutError:
                pass
        return tuple(table for table in found if table.partitions)

    @cached_property
    def kernel_path(self) -> str | None:
        """The kernel of the first entry that starts the live system, where it is on the ISO."""
        kernels = (entry.kernel for menu in self.menus for entry in menu.live_entries)
        return next((path for path in kernels if path in self.iso.files), None)

    @cached_property
    def initrd_path(self) -> str | None:
        """The last initramfs of that entry; earlier ones have microcode."""
        initrds = (entry.initrds[-1:] for menu in self.menus for entry in menu.live_entries)
        return next((path for (*_, path) in filter(None, initrds) if path in self.iso.files), None)

    @cached_property
    def kernel(self) -> KernelImage:
        """What the kernel says of itself."""
        if self.kernel_path is None:
            return KernelImage(None, None)
        return read_kernel_image(self.iso.read(self.kernel_path, _MAX_KERNEL_BYTES))

    @cached_property
    def initramfs(self) -> Initramfs | None:
        """The initramfs, with the contents of `LIVE_CONF` and of `MEDIA_MODULES`.

        Raises:
            LayoutError: it is damaged.
        """
        if self.initrd_path is None:
            return None
        content = self.iso.read(self.initrd_path, _MAX_INITRD_BYTES)
        return decode_initramfs(content, _is_wanted, f"{self.iso.path}{self.initrd_path}")

    @property
    def initramfs_modules(self) -> Mapping[str, tuple[str, str]]:
        """Module of the initramfs, by its name with ``-`` -> the kernel release and the path."""
        paths = () if self.initramfs is None else self.initramfs.entries
        found = {}
        for path in paths:
            if match := _MODULE.fullmatch(path):
                found[match[2].replace("_", "-")] = match[1], path
        return found

    @cached_property
    def live_conf(self) -> Mapping[str, str]:
        """The variables of `LIVE_CONF`."""
        contents = {} if self.initramfs is None else self.initramfs.contents
        return decode_live_conf(contents.get(LIVE_CONF))

    @cached_property
    def squashfs(self) -> Squashfs | None:
        """What the squashfs says of itself.

        Raises:
            LayoutError: it is damaged.
        """
        offset = self._squashfs_offset
        if offset is None:
            return None
        return read_squashfs(self.iso.path, offset, self.iso.files[SQUASHFS])

    @cached_property
    def tree(self) -> TreeFiles:
        """The live system; empty when it cannot be looked into."""
        if self._squashfs_offset is None:
            return TarFiles()
        return SquashfsFiles(self.iso.path, self._squashfs_offset)

    @property
    def _squashfs_offset(self) -> int | None:
        return self.iso.offset_bytes(SQUASHFS) if SQUASHFS in self.iso.files else None


@contextmanager
def open_medium(path: Path) -> Iterator[LiveMedium]:
    """The live ISO at `path`, while this lasts.

    Raises:
        LayoutError: it is not an ISO image with Rock Ridge names, or damaged.
        StoreError: it cannot be read.
    """
    with open_iso(path) as iso:
        yield LiveMedium(iso)


def _is_wanted(path: str) -> bool:
    if path == LIVE_CONF:
        return True
    match = _MODULE.fullmatch(path)
    return match is not None and match[2].replace("_", "-") in _WANTED_MODULES


_WANTED_MODULES = frozenset(name.replace("_", "-") for name in MEDIA_MODULES)
