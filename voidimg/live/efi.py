"""Makes the EFI system partition of a live ISO: a small FAT12 with GRUB for each kind of firmware.

GRUB is put together by this host's ``grub-mkimage``, which only arranges bytes, from the modules of
the target's own package. (``grub-mkstandalone`` puts file times into its images.) The loader holds
one thing to do: find the medium by its volume id, and go on with the configuration there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voidimg.atomic import private_directory
from voidimg.disk.fat import make_fat
from voidimg.disk.plan import FatPlan
from voidimg.errors import LayoutError, ToolError, storing
from voidimg.formats.contents import Contents
from voidimg.formats.fat import choose_geometry, smallest_fitting
from voidimg.formats.partition_table import SECTOR_BYTES
from voidimg.live.iso_plan import MAX_EFI_BYTES
from voidimg.run import find_program, run
from voidimg.spec.templates import Templates
from voidimg.tree.beneath import directory
from voidimg.tree.copy_out import take_files

GRUB_CONFIG = "/boot/grub/grub.cfg"
"""Where the loaders look for their menu on the ISO."""
GRUB_MODULES = "/usr/lib/grub"
"""The directory of the target in which each platform of GRUB has one of its own."""
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
_DEPENDENCIES = "moddep.lst"
_GRUB_FILES = ("kernel.img", _DEPENDENCIES)
_GRUB_SUFFIXES = (".img", ".lst", ".mod")


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
        EfiLoader("x86_64-efi", "BOOTX64.EFI", _X86_MODULES),
        EfiLoader("i386-efi", "BOOTIA32.EFI", _X86_MODULES),
        EfiLoader("arm64-efi", "BOOTAA64.EFI", ("fdt",)),
    )
}
"""By GRUB's name of the platform."""


def probe_grub() -> None:
    """Raise `ToolError` when this host has no ``grub-mkimage``, before work starts."""
    find_program("grub-mkimage")


def make_esp(
    tree: Path,
    out: Path,
    platforms: Sequence[str],
    *,
    volume_id: str,
    serial: int,
    epoch: int,
    templates: Templates,
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

    Raises:
        LayoutError: the tree lacks GRUB or a module of it, or the loaders are too large.
        StoreError: the image cannot be written (`DiskFullError`: for want of space).
        ToolError: grub-mkimage, mkfs.vfat or mtools is missing or failed.
    """
    early = templates.render("live/early.cfg.j2", {"volume_id": volume_id, "config": GRUB_CONFIG})
    with storing(out, "write the EFI system partition"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with private_directory(out.parent) as private:
            config = private / "early.cfg"
            config.write_text(early)
            top = private / "esp"
            boot = top.joinpath(*_DIRECTORIES)
            boot.mkdir(parents=True)
            for platform in sorted(platforms):
                modules = private / platform
                _take_modules(tree, LOADERS[platform], modules)
                _make_loader(LOADERS[platform], modules, config, boot)
            image = private / "esp.img"
            with directory(top, "/") as content:
                make_fat(_plan(boot, serial), content, image, epoch)
            _check(image)
            image.chmod(MODE)
            image.replace(out)


def _take_modules(tree: Path, loader: EfiLoader, target: Path) -> None:
    """Copy what grub-mkimage reads of GRUB into the new directory `target`.

    It follows links, and the paths in ``moddep.lst``: a package could make it put files of this
    host into the image.
    """
    place = f"{GRUB_MODULES}/{loader.platform}"
    taken = take_files(tree, place, target, _GRUB_SUFFIXES)
    if not taken:
        raise _no_grub(loader, "GRUB")
    for name in sorted({*_MODULES, *loader.modules}):
        if f"{name}.mod" not in taken:
            raise _no_grub(loader, f"the module {name} of GRUB")
    for name in _GRUB_FILES:
        if name not in taken:
            raise _no_grub(loader, f"the file {name} of GRUB")
    if b"/" in (target / _DEPENDENCIES).read_bytes():
        raise LayoutError(
            f"{place}/{_DEPENDENCIES} names modules in other directories",
            code="OUTSIDE",
            where=f"{place}/{_DEPENDENCIES}",
            hint="take another package of GRUB: this one is damaged or hostile",
        )


def _no_grub(loader: EfiLoader, what: str) -> LayoutError:
    return LayoutError(
        f"the tree has not {what} for {loader.platform}",
        code="NO-GRUB",
        where=f"{GRUB_MODULES}/{loader.platform}",
        hint=f"add the package of GRUB for {loader.platform} to the recipe",
    )


def _make_loader(loader: EfiLoader, modules: Path, config: Path, boot: Path) -> None:
    image = boot / loader.file
    run(
        ["grub-mkimage", "-O", loader.platform, "-d", modules, "-c", config, "-p", "/boot/grub",
         "-o", image, *sorted({*_MODULES, *loader.modules})]
    )  # fmt: skip
    if image.read_bytes()[:2] != b"MZ":
        raise ToolError(
            f"grub-mkimage made no EFI program for {loader.platform}",
            code="GRUB",
            where="grub-mkimage",
        )


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
        run(["fsck.vfat", "-n", image])
    except ToolError as error:
        if error.code.endswith("MISSING"):
            raise
        raise LayoutError(
            f"the EFI system partition is not clean: {error.what}", code="NOT-CLEAN",
            hint="this is a fault of voidimg or of a tool: please report it",
        ) from error  # fmt: skip
