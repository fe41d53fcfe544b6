"""Makes live systems from verified packages: a tree of its own, its initramfs, loaders, squashfs.

The parts become an ISO, or the tarball from which machines start over the network.

Runs inside the namespace, as `voidimg.pipeline.work`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from voidimg.disk.contents import host_path
from voidimg.errors import LayoutError, storing
from voidimg.events import Listener, step
from voidimg.identity import Identity, ReleaseDate
from voidimg.live.efi import make_esp, probe_grub
from voidimg.live.initramfs import PROGRAMS, Kernel, find_kernel, make_initramfs
from voidimg.live.iso import write_iso
from voidimg.live.iso_plan import check_volume_id
from voidimg.live.media import SYSLINUX, MediaParts, plan_media
from voidimg.live.menus import Menu, check_menu_words, netboot_menu
from voidimg.live.netboot import NetbootParts, plan_netboot, write_netboot
from voidimg.live.squashfs import SquashfsOptions, probe_squashfs, write_squashfs
from voidimg.pipeline.artifacts import Kind
from voidimg.pipeline.job import WorkOrder
from voidimg.pipeline.live_menu import DEVICE_TREES, FONT, MEMTEST, SPEECH, SPLASH, live_menu
from voidimg.rootfs import steps
from voidimg.rootfs.accounts import crypt_password
from voidimg.rootfs.locale import check_keymap, check_layouts
from voidimg.rootfs.script_runner import TreeScripts
from voidimg.spec.live_checks import volume_id
from voidimg.spec.live_model import Live
from voidimg.spec.model import Recipe
from voidimg.spec.stages import PackageStage
from voidimg.spec.templates import template_files
from voidimg.tree.copy_out import take_file, take_files
from voidimg.tree.tree import Tree
from voidimg.xbps.install.install import remove

_MODULE = "live/dracut/"
"""Where the templates have our dracut module; ``*.j2`` are rendered, the rest is copied."""

_ANY_KERNEL = Kernel("0.0.0_0", "/boot/vmlinuz-0.0.0_0")
"""What is checked of a menu before there is a kernel does not depend on it."""


def probe_live(recipe: Recipe, date: ReleaseDate, kinds: Collection[Kind]) -> None:
    """Raise for what would keep the live `kinds` of `recipe` from being made, before work starts.

    Raises:
        LayoutError: squashfs knows no such options, an ISO has no such volume id, or a loader would
            change what the menu says.
        ToolError: mksquashfs, its compressor, or grub-mkimage is missing.
    """
    live = _live_of(recipe)
    name = volume_id(live.volume_id, str(date))
    check_volume_id(name)
    menu = live_menu(recipe, name, _ANY_KERNEL, {})
    check_menu_words(menu)
    if "netboot" in kinds:
        check_menu_words(netboot_menu(menu, _netboot_url(recipe)))
    probe_squashfs(_squashfs_options(live))
    if "iso" in kinds:
        probe_grub()


def make_netboot(order: WorkOrder, out: Path, listener: Listener) -> None:
    """Write the netboot tarball of `order` as the file `out`; see `make_live_iso`."""
    _Studio(order, listener).make_netboot(out)


def make_live_iso(order: WorkOrder, out: Path, listener: Listener) -> None:
    """Write the ISO of `order` as the file `out`.

    Raises:
        VoidimgError: what went wrong, by its class; `out` is not there then.
    """
    _Studio(order, listener).make_iso(out)


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
        self._build_stages: tuple[PackageStage, ...] = ()
        self._identity = Identity(
            f"iso {self._recipe.platform} {self._recipe.profile} {order.date}"
        )
        self._volume_id = volume_id(self._live.volume_id, str(order.date))

    def make_iso(self, out: Path) -> None:
        kernel = self._make_system("live-build")
        with step(self._listener, "live: boot loaders"):
            others = self._take_boot_files(kernel)
            self._make_esp()
        self._pack_system(kernel)
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

    def make_netboot(self, out: Path) -> None:
        kernel = self._make_system("live-build", "netboot-build")
        with step(self._listener, "live: boot loaders"):
            others = self._take_boot_files(kernel)
        self._pack_system(kernel, network=True)
        with step(self._listener, "netboot: write"):
            parts = NetbootParts(
                squashfs=self._parts / "squashfs.img",
                kernel=self._parts / kernel.name,
                initrd=self._parts / "initrd",
                tools=self._parts,
                others={path.rpartition("/")[2]: source for path, source in others.items()},
            )
            menu = netboot_menu(self._menu(kernel, others), _netboot_url(self._recipe))
            write_netboot(plan_netboot(menu, parts, self._order.templates), out, self._epoch)

    def _make_system(self, *build_stages: PackageStage) -> Kernel:
        """Make the tree with what builds it; the kernel is in the tree."""
        with storing(self._parts, "make"):
            self._parts.mkdir()
        self._install_system()
        for stage in build_stages:
            self._install(stage)
        self._build_stages = build_stages
        return find_kernel(self._tree)

    def _pack_system(self, kernel: Kernel, *, network: bool = False) -> None:
        """Make the initramfs, take out what only built the tree, pack the rest as a squashfs.

        Under qemu-user this takes minutes: whatever may be missing has been looked for before.
        """
        with step(self._listener, "live: initramfs"):
            self._make_initramfs(kernel, network=network)
        with step(self._listener, "live: clean"):
            self._remove_build_packages()
            steps.finish(self._tree, epoch=self._epoch, listener=self._listener)
        with step(self._listener, "live: squashfs"):
            write_squashfs(
                self._tree,
                self._parts / "squashfs.img",
                _squashfs_options(self._live),
                epoch=self._epoch,
                jobs=self._order.jobs,
            )

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
        # The profile may have brought its own; the minutes that the rest takes come later.
        with Tree(self._tree) as tree:
            check_keymap(tree, self._live.keymap)
            check_layouts(tree, self._live.keyboard.layouts)

    def _install(self, stage: PackageStage, locale: str | None = None) -> None:
        with step(self._listener, f"{stage}: install"):
            steps.install_stage(
                self._tree,
                self._order.packages[stage],
                arch=self._recipe.arch,
                epoch=self._epoch,
                scratch=self._order.work / "bootstrap",
                locale=locale,
                # The kernel's hook would make an initramfs that no live system has: ours is made
                # below, and the installer makes that of the installed system.
                without=PROGRAMS,
                jobs=self._order.jobs,
                listener=self._listener,
            )

    def _make_initramfs(self, kernel: Kernel, *, network: bool) -> None:
        make_initramfs(
            self._tree,
            self._parts / "initrd",
            kernel,
            arch=self._recipe.arch,
            module=self._dracut_module(),
            compression=self._live.initramfs,
            epoch=self._epoch,
            network=network,
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
            take_files(self._tree, SYSLINUX, self._parts / SYSLINUX[1:])
        others = {}
        if self._live.memtest:
            for place, source in MEMTEST.items():
                others[place] = self._copy(source, place.rpartition("/")[2])
        for place, source in (SPLASH, FONT):
            if host_path(self._tree, source).is_file():
                others[place] = self._copy(source, place.rpartition("/")[2])
        for machine in self._live.machines:
            places = (f"{DEVICE_TREES}/{machine.devicetree}",
                      f"{DEVICE_TREES}/dtbs-{kernel.release}/{machine.devicetree}")  # fmt: skip
            found = [path for path in places if host_path(self._tree, path).is_file()]
            place = places[0]
            others[place] = self._copy(found[0] if found else place, f"{machine.name}.dtb")
        return others

    def _copy(self, path: str, name: str) -> Path:
        target = self._parts / name
        take_file(self._tree, path, target)
        return target

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

    def _menu(self, kernel: Kernel, others: Collection[str]) -> Menu:
        speech = host_path(self._tree, SPEECH).is_dir()
        return live_menu(self._recipe, self._volume_id, kernel, others, speech=speech)

    def _remove_build_packages(self) -> None:
        names = [
            package.step.pkgname
            for stage in self._build_stages
            for package in self._order.packages[stage]
        ]
        if not names:
            return
        arch = self._recipe.arch
        with TreeScripts(self._tree, arch, epoch=self._epoch) as scripts:
            remove(self._tree, names[::-1], arch=arch, runner=scripts, listener=self._listener)


def _squashfs_options(live: Live) -> SquashfsOptions:
    wanted = live.squashfs
    return SquashfsOptions(wanted.compression, wanted.level, wanted.block_size)


def _netboot_url(recipe: Recipe) -> str:
    live = _live_of(recipe)
    if live.netboot is None:  # checked with the artifacts that are asked for
        raise AssertionError(f"{recipe.platform} does not start over the network")
    return live.netboot.url


def _live_of(recipe: Recipe) -> Live:
    if recipe.live is None:
        raise LayoutError(
            f"{recipe.platform} with {recipe.profile} is no live system",
            code="NO-LIVE",
            where="live",
        )
    return recipe.live
