"""Puts GRUB together for one kind of firmware: a core image, from the modules of the target.

The target's own ``grub-mkimage`` does it, in the sandbox. This host's takes its place only in a
tree that has none, and only when both are of one version: modules under another version's program
make loaders that stop. (``grub-mkstandalone`` and ``grub-install`` want devices, and put file times
into what they make.) A core holds one thing to do: find where its menu is, and go on there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voidimg.atomic import private_directory
from voidimg.disk.grub_version import version_of_host, version_of_modules
from voidimg.errors import LayoutError, ScriptError, ToolError
from voidimg.run import find_program
from voidimg.sandbox.chroot import Chroot
from voidimg.sandbox.confined import run_bounded
from voidimg.sandbox.jail import SCRIPT
from voidimg.tree.beneath import open_file
from voidimg.tree.copy_out import take_files
from voidimg.tree.tree import Tree

GRUB_MODULES = "/usr/lib/grub"
"""The directory of the target in which each platform of GRUB has one of its own."""
PREFIX = "/boot/grub"
BIOS = "i386-pc"
"""GRUB's name of PCs with BIOS; all others that are known here are UEFI."""
PROGRAMS = ("/usr/bin/grub-mkimage", "/usr/sbin/grub-mkimage")
"""Where the tree has its own program."""
_OUTPUT = "/boot/.grub-loader"
_SAID_BYTES = 2**20
_MODINFO = "modinfo.sh"
_MAX_MODINFO_BYTES = 2**16
_DEPENDENCIES = "moddep.lst"
_GRUB_FILES = ("kernel.img", _DEPENDENCIES)
_BIOS_FILES = ("diskboot.img", "lzma_decompress.img")
_GRUB_SUFFIXES = (".img", ".lst", ".mod")


@dataclass(frozen=True, slots=True)
class GrubCore:
    """A core image to make.

    `platform` is GRUB's name of the firmware and of its directory of modules, `modules` what it
    holds, `early` what it does first.
    """

    platform: str
    modules: frozenset[str]
    early: str


def probe_grub() -> None:
    """Raise `ToolError` when this host has no ``grub-mkimage``, for trees that have none either."""
    find_program("grub-mkimage")


def make_core(tree: Path, core: GrubCore, image: Path, arch: str | None) -> None:
    """Write `core` as the file `image`.

    Args:
        tree: the top of the tree that has GRUB's modules in ``/usr/lib/grub``.
        core: what to make.
        image: the file; replaced when it exists.
        arch: XBPS architecture of the tree, whose own program is run in the sandbox then; None for
            this host's.

    Raises:
        LayoutError: the tree lacks GRUB or a module of it, or its program is of another version
            than this host's.
        SandboxError: the tree's own program cannot be started.
        ScriptError: it failed.
        ToolError: grub-mkimage is missing or failed.
    """
    with private_directory(image.parent) as private:
        modules = private / core.platform
        _take_modules(tree, core, modules)
        if arch is None or not _make_in_tree(tree, core, image, arch):
            config = private / "early.cfg"
            config.write_text(core.early)
            _make_on_host(tree, core, modules, config, image)
    if core.platform != BIOS and image.read_bytes()[:2] != b"MZ":
        raise ToolError(
            f"grub-mkimage made no EFI program for {core.platform}",
            code="GRUB",
            where="grub-mkimage",
        )


def _take_modules(tree: Path, core: GrubCore, target: Path) -> None:
    """Copy what grub-mkimage reads of GRUB into the new directory `target`.

    It follows links, and the paths in ``moddep.lst``: a package could make it put files of this
    host into the image.
    """
    place = f"{GRUB_MODULES}/{core.platform}"
    taken = take_files(tree, place, target, _GRUB_SUFFIXES)
    if not taken:
        raise no_grub(core.platform, "GRUB")
    for name in sorted(core.modules):
        if f"{name}.mod" not in taken:
            raise no_grub(core.platform, f"the module {name} of GRUB")
    for name in (*_GRUB_FILES, *(_BIOS_FILES if core.platform == BIOS else ())):
        if name not in taken:
            raise no_grub(core.platform, f"the file {name} of GRUB")
    if b"/" in (target / _DEPENDENCIES).read_bytes():
        raise LayoutError(
            f"{place}/{_DEPENDENCIES} names modules in other directories",
            code="OUTSIDE",
            where=f"{place}/{_DEPENDENCIES}",
            hint="take another package of GRUB: this one is damaged or hostile",
        )


def no_grub(platform: str, what: str) -> LayoutError:
    """The tree has not `what` of GRUB."""
    return LayoutError(
        f"the tree has not {what} for {platform}",
        code="NO-GRUB",
        where=f"{GRUB_MODULES}/{platform}",
        hint=f"add the package of GRUB for {platform} to the recipe",
    )


def _words(
    core: GrubCore, modules: Path | str, config: Path | str, out: Path | str
) -> list[str | Path]:
    return [
        *("-O", core.platform, "-d", modules, "-c", config, "-p", PREFIX, "-o", out),
        *sorted(core.modules),
    ]


def _make_in_tree(tree: Path, core: GrubCore, image: Path, arch: str) -> bool:
    """Make the core with the tree's own program; False when it has none."""
    with Chroot(tree, arch) as chroot:
        program = chroot.first_program(PROGRAMS)
        if program is None:
            return False
        words = _words(core, f"{GRUB_MODULES}/{core.platform}", SCRIPT, _OUTPUT)
        ended = chroot.run((program, *map(str, words)), script=core.early.encode())
    if ended.status:
        raise ScriptError(
            f"grub-mkimage of the tree failed with {ended.status}: {ended.text.strip()[-200:]}",
            code="GRUB",
            where=f"{GRUB_MODULES}/{core.platform}",
            output=ended.text,
        )
    with Tree(tree) as opened:
        image.write_bytes(opened.read(_OUTPUT))
        opened.remove(_OUTPUT)
    return True


def _make_on_host(tree: Path, core: GrubCore, modules: Path, config: Path, image: Path) -> None:
    ours, theirs = version_of_host(), version_in_tree(tree, core.platform)
    if ours is None or ours != theirs:
        raise LayoutError(
            f"GRUB of the tree is {theirs or 'of a version that it does not say'}, grub-mkimage of"
            f" this host is {ours or 'of none'}: what they make together may not start",
            code="GRUB-VERSION",
            where=f"{GRUB_MODULES}/{core.platform}",
            hint="add the package grub to the recipe: the tree's own program is taken then",
        )
    # Modules are programs of a package, which grub-mkimage takes apart and links.
    run_bounded(
        ["grub-mkimage", *_words(core, modules, config, image)],
        max_bytes=_SAID_BYTES,
        reads=[modules, config],
        writes=[image.parent],
    )


def version_in_tree(tree: Path, platform: str) -> str | None:
    """The version that the modules of `platform` in `tree` say, if any."""
    descriptor = open_file(tree, f"{GRUB_MODULES}/{platform}/{_MODINFO}")
    if descriptor is None:
        return None
    with open(descriptor, "rb") as file:
        return version_of_modules(file.read(_MAX_MODINFO_BYTES).decode("utf-8", "replace"))
