"""Cuts Debian's generic kernel into the Raspberry Pi packages: kernel, device trees, initramfs."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from voidimg.run import run

from .cpio import Node, gzip, write_cpio
from .deb import read_deb
from .model import Member
from .modules import KernelSource, choose, module_members, read_kernel

_HERE = Path(__file__).parent
_SETTINGS = tomllib.loads((_HERE / "kernel.toml").read_text("utf-8"))


def kernel_members(source: KernelSource) -> list[Member]:
    """/boot/kernel8.img (gzip, as Void has it), its configuration, and the kept modules."""
    deb = read_kernel(source.kernel)
    content = {member.path: member for member in deb.members}
    image = content[f"/boot/vmlinuz-{source.release}"]
    return [
        Member("/boot/kernel8.img", "file", 0o755, mtime=image.mtime, content=gzip(image.content)),
        content[f"/boot/config-{source.release}"],
        *module_members(deb, source.release, _SETTINGS["keep"], mtime=image.mtime),
    ]


def firmware_members(source: KernelSource) -> list[Member]:
    """Device trees under every name that is looked for, and the overlays."""
    deb = read_kernel(source.kernel)
    trees = {
        member.path.rsplit("/", 1)[1]: member for member in deb.members if "dtb" in member.path
    }
    members = []
    for name, others in _SETTINGS["device_trees"].items():
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


def initramfs_members(source: KernelSource) -> list[Member]:
    """/boot/initramfs: a static busybox, the modules that lead to a root filesystem, `init`."""
    shell = next(
        member.content
        for member in read_deb(source.busybox).members
        if member.path == "/bin/busybox"
    )
    modules = choose(read_kernel(source.kernel), _SETTINGS["initramfs"])
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


EXTRA: Mapping[str, Callable[[KernelSource], list[Member]]] = {
    "rpi-firmware": firmware_members,
    "rpi-initramfs": initramfs_members,
    "rpi-kernel": kernel_members,
}
"""Packages whose files are computed from the kernel, beside what Debian and package.toml give."""
