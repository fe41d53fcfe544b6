"""Makes the live ISO from verified packages: a tree of its own, its initramfs, loaders, squashfs.

Runs inside the namespace, as `voidimg.pipeline.work`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from voidimg.disk.contents import host_path
from voidimg.errors import LayoutError, storing
from voidimg.events import Listener, step
from voidimg.identity import Identity
from voidimg.live.efi import make_esp, probe_grub
from voidimg.live.initramfs import Kernel, find_kernel, make_initramfs
from voidimg.live.iso import write_iso
from voidimg.live.media import SYSLINUX, MediaParts, plan_media
from voidimg.live.menus import MachineMenu, Menu
from voidimg.live.squashfs import SquashfsOptions, probe_squashfs, write_squashfs
from voidimg.pipeline.order import WorkOrder
from voidimg.rootfs import steps
from voidimg.rootfs.accounts import crypt_password
from voidimg.rootfs.script_runner import TreeScripts
from voidimg.spec.live_checks import volume_id
from voidimg.spec.model import Live, Recipe
from voidimg.spec.templates import template_files
from voidimg.xbps.installer import remove

_MODULE = "live/dracut/"
"""Where the templates have our dracut module; ``*.j2`` are rendered, the rest is copied."""

_MEMTEST = {"/boot/memtest.bin": "/boot/memtest86+/memtest.bin",
            "/boot/memtest.efi": "/boot/memtest86+/memtest.efi"}  # fmt: skip
"""Path on the ISO -> path in the target's package of memtest86+."""

_SPLASH = "/boot/isolinux/splash.png", "/usr/share/void-artwork/splash.png"
_FONT = "/boot/grub/fonts/unicode.pf2", "/usr/share/grub/unicode.pf2"


def probe_live(recipe: Recipe) -> None:
    """Raise for what this host lacks to make the ISO of `recipe`, before work starts.

    Raises:
        LayoutError: squashfs knows no such options.
        ToolError: mksquashfs, its compressor, or grub-mkimage is missing.
    """
    probe_squashfs(_squashfs_options(_live_of(recipe)))
    probe_grub()


def make_live_iso(order: WorkOrder, out: Path, listener: Listener) -> None:
    """Write the ISO of `order` as the file `out`.

    Raises:
        VoidimgError: what went wrong, by its class; `out` is not there then.
    """
    _Studio(order, listener).make(out)


class _Studio:
    """The tree of the live system, and what is taken from it."""

    def __init__(self, order: WorkOrder, listener: Listener):
        self._order = order
        self._recipe = order.recipe
        self._live = _live_of(order.recipe)
        self._listener = listener
        self._epoch = order.date.epoch
        self._tree = order.work / "live"
        self._parts = order.work / "parts"
        self._identity = Identity(
            f"iso {self._recipe.platform} {self._recipe.profile} {order.date}"
        )
        self._volume_id = volume_id(self._live.volume_id, str(order.date))

    def make(self, out: Path) -> None:
        with storing(self._parts, "make"):
            self._parts.mkdir()
        self._install_system()
        self._install("live-build")
        kernel = find_kernel(self._tree)
        with step(self._listener, "live: initramfs"):
            self._make_initramfs(kernel)
        with step(self._listener, "live: boot loaders"):
            others = self._take_boot_files(kernel)
            self._make_esp()
        with step(self._listener, "live: clean"):
            self._remove_build_packages()
            steps.finish(self._tree, epoch=self._epoch, listener=self._listener)
        with step(self._listener, "iso: squashfs"):
            write_squashfs(
                self._tree,
                self._parts / "squashfs.img",
                _squashfs_options(self._live),
                epoch=self._epoch,
                jobs=self._order.jobs,
            )
        with step(self._listener, "iso: write"):
            parts = MediaParts(
                squashfs=self._parts / "squashfs.img",
                kernel=self._parts / kernel.name,
                initrd=self._parts / "initrd",
                tools=self._parts if "isolinux" in self._live.loaders else None,
                esp=self._parts / "esp.img" if self._efi_platforms() else None,
                others=others,
            )
            menu = self._menu(kernel, others)
            plan = plan_media(menu, parts, self._identity, self._order.templates)
            write_iso(plan, out, self._epoch)

    def _install_system(self) -> None:
        recipe = self._recipe
        steps.install_keys(self._tree, self._order.keys, epoch=self._epoch)
        self._install("live", locale=recipe.locale)
        with step(self._listener, "live: set up"):
            steps.set_up_system(
                self._tree,
                users=recipe.users,
                hostname=recipe.hostname,
                timezone=recipe.timezone,
                identity=self._identity,
                date=self._order.date,
            )
            steps.apply_stage(
                self._tree,
                self._live,
                render=self._order.render,
                sources=self._order.sources,
                arch=recipe.arch,
                epoch=self._epoch,
                listener=self._listener,
            )

    def _install(self, stage: str, locale: str | None = None) -> None:
        with step(self._listener, f"{stage}: install"):
            steps.install_stage(
                self._tree,
                self._order.packages[stage],
                arch=self._recipe.arch,
                epoch=self._epoch,
                scratch=self._order.work / "bootstrap",
                locale=locale,
                jobs=self._order.jobs,
                listener=self._listener,
            )

    def _make_initramfs(self, kernel: Kernel) -> None:
        make_initramfs(
            self._tree,
            self._parts / "initrd",
            kernel,
            arch=self._recipe.arch,
            module=self._dracut_module(),
            compression=self._live.initramfs,
            epoch=self._epoch,
        )

    def _dracut_module(self) -> dict[str, bytes]:
        """File name -> content; the first directory of templates that has a file wins."""
        access = self._live.access
        secret = ""
        if access.password is not None:
            salt = self._identity.salt(f"password/{access.user}")
            secret = crypt_password(access.password, salt)
        files = {}
        for name, path in template_files(self._order.templates).items():
            plain = name.removeprefix(_MODULE)
            if plain == name:
                continue
            if plain.endswith(".j2"):
                text = self._order.render(name, {"password_hash": secret})
                files[plain.removesuffix(".j2")] = text.encode()
            else:
                with storing(path, "read"):
                    files[plain] = path.read_bytes()
        return files

    def _take_boot_files(self, kernel: Kernel) -> dict[str, Path]:
        """Copy what the ISO has from the tree; path on the ISO -> the copy, for what is optional.

        The build packages leave the tree before the ISO is written.
        """
        self._copy(kernel.image, kernel.name)
        if "isolinux" in self._live.loaders:
            self._copy_directory(SYSLINUX)
        others = {}
        if self._live.memtest:
            for place, source in _MEMTEST.items():
                others[place] = self._copy(source, place.rpartition("/")[2])
        for place, source in (_SPLASH, _FONT):
            if host_path(self._tree, source).is_file():
                others[place] = self._copy(source, place.rpartition("/")[2])
        for machine in self._live.machines:
            places = (f"/boot/dtbs/{machine.devicetree}",
                      f"/boot/dtbs/dtbs-{kernel.release}/{machine.devicetree}")  # fmt: skip
            found = [path for path in places if host_path(self._tree, path).is_file()]
            place = places[0]
            others[place] = self._copy(found[0] if found else place, f"{machine.name}.dtb")
        return others

    def _copy(self, path: str, name: str) -> Path:
        source, target = host_path(self._tree, path), self._parts / name
        if not source.is_file() or source.is_symlink():
            raise LayoutError(
                f"the tree has no {path}, which the boot menu needs",
                code="NO-FILE",
                where=path,
                hint="add the package that brings it to [live] of the platform",
            )
        with storing(target, "write"):
            shutil.copyfile(source, target)
        return target

    def _copy_directory(self, path: str) -> None:
        source = host_path(self._tree, path)
        target = self._parts / path[1:]
        with storing(target, "write"):
            target.mkdir(parents=True)
            for file in sorted(source.iterdir()) if source.is_dir() else ():
                if file.is_file() and not file.is_symlink():
                    shutil.copyfile(file, target / file.name)

    def _efi_platforms(self) -> Sequence[str]:
        return [loader.removeprefix("grub-") for loader in self._live.loaders
                if loader.startswith("grub-")]  # fmt: skip

    def _make_esp(self) -> None:
        if self._efi_platforms():
            make_esp(
                self._tree,
                self._parts / "esp.img",
                self._efi_platforms(),
                volume_id=self._volume_id,
                serial=self._identity.uint32("esp serial"),
                epoch=self._epoch,
                templates=self._order.templates,
            )

    def _remove_build_packages(self) -> None:
        names = [package.step.pkgname for package in self._order.packages["live-build"]]
        if not names:
            return
        arch = self._recipe.arch
        with TreeScripts(self._tree, arch, epoch=self._epoch) as scripts:
            remove(self._tree, names[::-1], arch=arch, runner=scripts, listener=self._listener)

    def _menu(self, kernel: Kernel, others: dict[str, Path]) -> Menu:
        recipe, live = self._recipe, self._live
        bios, efi = (path if path in others else None for path in _MEMTEST)
        splash, font = (place if place in others else None for place, _ in (_SPLASH, _FONT))
        return Menu(
            title=live.title,
            kernel_version=kernel.release,
            arch=recipe.arch,
            volume_id=self._volume_id,
            keymap=live.keymap,
            locale=recipe.locale or "C.UTF-8",
            cmdline=live.cmdline,
            kernel=f"/boot/{kernel.name}",
            timeout_seconds=live.timeout_seconds,
            serial=live.serial_port if live.serial else None,
            memtest_bios=bios,
            memtest_efi=efi,
            splash=splash,
            font=font,
            machines=machine_menus(live),
        )


def machine_menus(live: Live) -> tuple[MachineMenu, ...]:
    """The entries of their own for machines that need them; device trees lie in /boot/dtbs."""
    return tuple(
        MachineMenu(
            name=machine.name,
            title=machine.title,
            cmdline=machine.cmdline,
            devicetree=f"/boot/dtbs/{machine.devicetree}",
        )
        for machine in live.machines
    )


def _squashfs_options(live: Live) -> SquashfsOptions:
    wanted = live.squashfs
    return SquashfsOptions(wanted.compression, wanted.level, wanted.block_size)


def _live_of(recipe: Recipe) -> Live:
    if recipe.live is None:
        raise LayoutError(
            f"{recipe.platform} with {recipe.profile} is no live system",
            code="NO-LIVE",
            where="live",
        )
    return recipe.live
