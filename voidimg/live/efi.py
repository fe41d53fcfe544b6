"""Makes the EFI system partition of a live ISO: a small FAT12 with GRUB for each kind of firmware.

GRUB is put together by the target's own ``grub-mkimage`` in the sandbox, from the modules of its
own package. This host's takes its place only in a tree that has none, and only when both are of one
version: modules under another version's program make loaders that stop. (``grub-mkstandalone`` puts
file times into its images.) The loader holds one thing to do: find the medium by its volume id, and
go on with the configuration there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voidimg.arch import EFI_FILES
from voidimg.atomic import private_directory
from voidimg.disk.fat import make_fat
from voidimg.disk.fsck import fsck_fat
from voidimg.disk.plan import FatPlan
from voidimg.errors import LayoutError, ScriptError, ToolError, storing
from voidimg.formats.contents import Contents
from voidimg.formats.fat import choose_geometry, smallest_fitting
from voidimg.formats.partition_table import SECTOR_BYTES
from voidimg.live.grub_version import version_of_host, version_of_modules
from voidimg.live.iso_plan import MAX_EFI_BYTES
from voidimg.run import find_program
from voidimg.sandbox.chroot import Chroot
from voidimg.sandbox.confined import run_bounded
from voidimg.sandbox.jail import SCRIPT
from voidimg.spec.templates import Templates
from voidimg.tree.beneath import directory, open_file
from voidimg.tree.copy_out import take_files
from voidimg.tree.tree import Tree

GRUB_CONFIG = "/boot/grub/grub.cfg"
"""Where the loaders look for their menu on the ISO."""
GRUB_MODULES = "/usr/lib/grub"
"""The directory of the target in which each platform of GRUB has one of its own."""
LABEL = "GRUB_UEFI"
MODE = 0o644

_STEP_SECTORS = 2**20 // SECTOR_BYTES
PROGRAMS = ("/usr/bin/grub-mkimage", "/usr/sbin/grub-mkimage")
"""Where the tree has its own program."""
_OUTPUT = "/boot/.grub-loader"
_SAID_BYTES = 2**20
_MODINFO = "modinfo.sh"
_MAX_MODINFO_BYTES = 2**16
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
        EfiLoader("x86_64-efi", EFI_FILES["x86_64-efi"], _X86_MODULES),
        EfiLoader("i386-efi", EFI_FILES["i386-efi"], _X86_MODULES),
        EfiLoader("arm64-efi", EFI_FILES["arm64-efi"], ("fdt",)),
    )
}
"""By GRUB's name of the platform."""


def probe_grub() -> None:
    """Raise `ToolError` when this host has no ``grub-mkimage``, for trees that have none either."""
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
            config = private / "early.cfg"
            config.write_text(early)
            esp = private / "esp"
            boot = esp.joinpath(*_DIRECTORIES)
            boot.mkdir(parents=True)
            for platform in sorted(platforms):
                modules = private / platform
                _take_modules(tree, LOADERS[platform], modules)
                image = boot / LOADERS[platform].file
                if arch is None or not _make_in_tree(tree, LOADERS[platform], early, image, arch):
                    _make_on_host(tree, LOADERS[platform], modules, config, image)
                _require_program(LOADERS[platform], image)
            image = private / "esp.img"
            with directory(esp, "/") as content:
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


def _words(
    loader: EfiLoader, modules: Path | str, config: Path | str, out: Path | str
) -> list[str | Path]:
    return [
        *("-O", loader.platform, "-d", modules, "-c", config, "-p", "/boot/grub", "-o", out),
        *sorted({*_MODULES, *loader.modules}),
    ]


def _make_in_tree(tree: Path, loader: EfiLoader, early: str, image: Path, arch: str) -> bool:
    """Make the loader with the tree's own program; False when it has none."""
    with Chroot(tree, arch) as chroot:
        program = chroot.first_program(PROGRAMS)
        if program is None:
            return False
        words = _words(loader, f"{GRUB_MODULES}/{loader.platform}", SCRIPT, _OUTPUT)
        ended = chroot.run((program, *map(str, words)), script=early.encode())
    if ended.status:
        raise ScriptError(
            f"grub-mkimage of the tree failed with {ended.status}: {ended.text.strip()[-200:]}",
            code="GRUB",
            where=f"{GRUB_MODULES}/{loader.platform}",
            output=ended.text,
        )
    with Tree(tree) as opened:
        image.write_bytes(opened.read(_OUTPUT))
        opened.remove(_OUTPUT)
    return True


def _make_on_host(tree: Path, loader: EfiLoader, modules: Path, config: Path, image: Path) -> None:
    ours, theirs = version_of_host(), _version_in_tree(tree, loader)
    if ours is None or ours != theirs:
        raise LayoutError(
            f"GRUB of the tree is {theirs or 'of a version that it does not say'}, grub-mkimage of"
            f" this host is {ours or 'of none'}: what they make together may not start",
            code="GRUB-VERSION",
            where=f"{GRUB_MODULES}/{loader.platform}",
            hint="add the package grub to the recipe: the tree's own program is taken then",
        )
    # Modules are programs of a package, which grub-mkimage takes apart and links.
    run_bounded(
        ["grub-mkimage", *_words(loader, modules, config, image)],
        max_bytes=_SAID_BYTES,
        reads=[modules, config],
        writes=[image.parent],
    )


def _version_in_tree(tree: Path, loader: EfiLoader) -> str | None:
    descriptor = open_file(tree, f"{GRUB_MODULES}/{loader.platform}/{_MODINFO}")
    if descriptor is None:
        return None
    with open(descriptor, "rb") as file:
        return version_of_modules(file.read(_MAX_MODINFO_BYTES).decode("utf-8", "replace"))


def _require_program(loader: EfiLoader, image: Path) -> None:
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
        fsck_fat(image)
    except ToolError as error:
        if error.code.endswith("MISSING"):
            raise
        raise LayoutError(
            f"the EFI system partition is not clean: {error.what}", code="NOT-CLEAN",
            hint="this is a fault of voidimg or of a tool: please report it",
        ) from error  # fmt: skip
