"""Cuts Debian's generic kernel into the Raspberry Pi packages: kernel, device trees, initramfs."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voidimg.run import run

from .cpio import Node, gzip, write_cpio
from .deb import read_deb
from .model import Member
from .modules import KernelSource, choose, module_members, read_kernel

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class RaspberryKernel:
    """Makes the members of three packages: `kernel`, `firmware` and `initramfs`.

    `image` is the name of the kernel that the firmware starts, `packed` whether it is compressed
    with gzip (a zImage is so by itself). `table` has the kernel modules to `keep`, those of the
    `initramfs`, and the `device_trees` to ship, each with its further names.
    """

    image: str = "kernel8.img"
    packed: bool = True
    table: Path = _HERE / "kernel.toml"

    @property
    def extra(self) -> Mapping[str, Callable[[KernelSource], list[Member]]]:
        """Package -> what computes its files from the kernel."""
        return {
            "rpi-firmware": self.firmware_members,
            "rpi-initramfs": self.initramfs_members,
            "rpi-kernel": self.kernel_members,
        }

    def kernel_members(self, source: KernelSource) -> list[Member]:
        """The kernel under the name that the firmware starts, its configuration, its modules."""
        deb = read_kernel(source.kernel)
        content = {member.path: member for member in deb.members}
        image = content[f"/boot/vmlinuz-{source.release}"]
        kernel = gzip(image.content) if self.packed else image.content
        return [
            Member(f"/boot/{self.image}", "file", 0o644, mtime=image.mtime, content=kernel),
            content[f"/boot/config-{source.release}"],
            *module_members(deb, source.release, self._settings["keep"], mtime=image.mtime),
        ]

    def firmware_members(self, source: KernelSource) -> list[Member]:
        """Device trees under every name that is looked for, and the overlays."""
        deb = read_kernel(source.kernel)
        trees = {
            member.path.rsplit("/", 1)[1]: member for member in deb.members if "dtb" in member.path
        }
        members = []
        for name, others in self._settings["device_trees"].items():
            tree = trees[name]
            members += [
                Member(f"/boot/{place}", "file", 0o644, mtime=tree.mtime, content=tree.content)
                for place in (name, *others)
            ]
        for overlay in sorted((_HERE / "overlays").glob("*.dts")):
            compiled = run(["dtc", "-@", "-I", "dts", "-O", "dtb", overlay]).stdout
            members.append(
                Member(f"/boot/overlays/{overlay.stem}.dtbo", "file", 0o644, content=compiled)
            )
        return members

    def initramfs_members(self, source: KernelSource) -> list[Member]:
        """/boot/initramfs: a static busybox, the modules that lead to a root filesystem, `init`."""
        shell = next(
            member.content
            for member in read_deb(source.busybox).members
            if member.path == "/bin/busybox"
        )
        modules = choose(read_kernel(source.kernel), self._settings["initramfs"])
        names = [module.member.path.rsplit("/", 1)[1] for module in modules]
        directory, regular = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o644
        program = stat.S_IFREG | 0o755
        nodes = [
            *(Node(name, directory) for name in ("bin", "dev", "modules", "proc", "root", "sys")),
            Node("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
            Node("bin/busybox", program, shell),
            Node("bin/sh", stat.S_IFLNK | 0o777, b"busybox"),
            Node("init", program, (_HERE / "initramfs-init").read_bytes()),
            Node("modules/order", regular, "".join(f"{name}\n" for name in names).encode()),
            *(
                Node(f"modules/{name}", regular, module.member.content)
                for name, module in zip(names, modules, strict=True)
            ),
        ]
        return [Member("/boot/initramfs", "file", 0o644, content=gzip(write_cpio(nodes)))]

    @property
    def _settings(self) -> Mapping[str, Any]:
        return tomllib.loads(self.table.read_text("utf-8"))
