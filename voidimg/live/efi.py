"""Makes the EFI system partition of a live ISO: a small FAT12 with GRUB for each kind of firmware.

The loaders are made of the target's GRUB (`voidimg.disk.grub_core`). They have one thing to do:
find the medium by its volume id, and go on with the configuration there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voidimg.arch import EFI_FILES
from voidimg.atomic import private_directory
from voidimg.disk.fat import make_fat
from voidimg.disk.fsck import fsck_fat
from voidimg.disk.grub_core import GrubCore, make_core
from voidimg.disk.plan import FatPlan
from voidimg.errors import LayoutError, ToolError, storing
from voidimg.formats.contents import Contents
from voidimg.formats.fat import choose_geometry, smallest_fitting
from voidimg.formats.partition_table import SECTOR_BYTES
from voidimg.live.iso_plan import MAX_EFI_BYTES
from voidimg.spec.templates import Templates
from voidimg.tree.beneath import directory

GRUB_CONFIG = "/boot/grub/grub.cfg"
"""Where the loaders look for their menu on the ISO."""
LABEL = "GRUB_UEFI"
MODE = 0o644

_STEP_SECTORS = 2**20 // SECTOR_BYTES
_SPARE_BYTES = 256 * 2**10
_DIRECTORIES = ("EFI", "BOOT")
_MODULES = (
    "all_video", "boot", "cat", "chain", "configfile", "echo", "efifwsetup", "fat", "font",
    "gfxterm", "gfxterm_background", "gzio", "halt", "help", "iso9660", "keystatus", "linux", "ls",
    "minicmd", "normal", "part_gpt", "part_msdos", "png", "probe", "reboot", "regexp", "search",
    "search_fs_file", "search_label", "sleep", "terminal", "test", "true", "video",
)  # fmt: skip
"""What finding the medium and the menu need, on every platform."""


@dataclass(frozen=True, slots=True)
class EfiLoader:
    """GRUB for one kind of firmware.

    `platform` is GRUB's name of it and of its directory of modules, `file` the name that firmware
    starts from a removable medium (UEFI specification, 3.5.1.1), `modules` what only it has.
    """

    platform: str
    file: str
    modules: tuple[str, ...]


_X86_MODULES = ("efi_uga", "play", "serial")
LOADERS: Mapping[str, EfiLoader] = {
    loader.platform: loader
    for loader in (
        EfiLoader("x86_64-efi", EFI_FILES["x86_64-efi"], _X86_MODULES),
        EfiLoader("i386-efi", EFI_FILES["i386-efi"], _X86_MODULES),
        EfiLoader("arm64-efi", EFI_FILES["arm64-efi"], ("fdt",)),
    )
}
"""By GRUB's name of the platform."""


def make_esp(
    tree: Path,
    out: Path,
    platforms: Sequence[str],
    *,
    volume_id: str,
    serial: int,
    epoch: int,
    templates: Templates,
    arch: str | None = None,
) -> None:
    """Make the image of the EFI system partition as the file `out`.

    Args:
        tree: the top of the tree that has GRUB's modules in ``/usr/lib/grub``.
        out: the image; replaced when it exists.
        platforms: keys of `LOADERS`.
        volume_id: by which the loader finds the medium.
        serial: the serial of the FAT filesystem.
        epoch: the build's time, in seconds since 1970.
        templates: what the menus and `early.cfg` are rendered from.
        arch: XBPS architecture of the tree, whose own program is run in the sandbox then; None for
            this host's.

    Raises:
        LayoutError: the tree lacks GRUB or a module of it, its program is of another version than
            this host's, or the loaders are too large.
        SandboxError: the tree's own program cannot be started.
        ScriptError: it failed.
        StoreError: the image cannot be written (`DiskFullError`: for want of space).
        ToolError: grub-mkimage, mkfs.vfat or mtools is missing or failed.
    """
    early = templates.render("live/early.cfg.j2", {"volume_id": volume_id, "config": GRUB_CONFIG})
    with storing(out, "write the EFI system partition"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with private_directory(out.parent) as private:
            esp = private / "esp"
            boot = esp.joinpath(*_DIRECTORIES)
            boot.mkdir(parents=True)
            for platform in sorted(platforms):
                loader = LOADERS[platform]
                core = GrubCore(platform, frozenset({*_MODULES, *loader.modules}), early)
                make_core(tree, core, boot / loader.file, arch)
            image = private / "esp.img"
            with directory(esp, "/") as content:
                make_fat(_plan(boot, serial), content, image, epoch)
            _check(image)
            image.chmod(MODE)
            image.replace(out)


def _plan(boot: Path, serial: int) -> FatPlan:
    loaders = sorted(path.name for path in boot.iterdir())
    contents = Contents(
        files=tuple((boot / name).stat().st_size for name in loaders),
        directories=(("EFI",), ("BOOT",), tuple(loaders)),
    )
    sectors = smallest_fitting(contents, 12, None, _SPARE_BYTES, _STEP_SECTORS)
    if sectors * SECTOR_BYTES > MAX_EFI_BYTES:
        raise LayoutError(
            f"the EFI loaders need {sectors * SECTOR_BYTES} bytes,"
            f" but firmware loads no more than {MAX_EFI_BYTES}",
            code="EFI-SIZE",
        )
    # Where the image will lie on the ISO is not known yet, and nothing that reads it asks.
    return FatPlan(choose_geometry(sectors, 12, None, "the ESP"), serial, LABEL, hidden_sectors=0)


def _check(image: Path) -> None:
    try:
        fsck_fat(image)
    except ToolError as error:
        if error.code.endswith("MISSING"):
            raise
        raise LayoutError(
            f"the EFI system partition is not clean: {error.what}", code="NOT-CLEAN",
            hint="this is a fault of voidimg or of a tool: please report it",
        ) from error  # fmt: skip
