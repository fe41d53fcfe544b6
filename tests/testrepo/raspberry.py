"""Cuts Debian's generic kernel into the Raspberry Pi packages: kernel, device trees, initramfs."""

from __future__ import annotations

import stat
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock

from voidimg.run import run

from . import elf
from .cpio import Node, gzip, write_cpio
from .deb import Deb, read_deb
from .model import HANDMADE_MTIME, Member
from .paths import merged

_HERE = Path(__file__).parent
_SETTINGS = tomllib.loads((_HERE / "kernel.toml").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class KernelSource:
    """What the packages are cut from: the kernel's `.deb`, its release, a static busybox's."""

    kernel: Path
    release: str
    busybox: Path


@dataclass(frozen=True, slots=True)
class Module:
    """A kernel module: its file, and the modules that must be loaded before it."""

    member: Member
    needs: tuple[str, ...]


def kernel_members(source: KernelSource) -> list[Member]:
    """/boot/kernel8.img (gzip, as Void has it), its configuration, and the kept modules."""
    deb = _read_kernel(source.kernel)
    release = source.release
    content = {member.path: member for member in deb.members}
    image = content[f"/boot/vmlinuz-{release}"]
    kept = _closure(_modules(deb), _SETTINGS["keep"])
    listings = [
        content[f"/lib/modules/{release}/modules.{name}"]
        for name in ("builtin", "builtin.modinfo", "order")
    ]
    return [
        Member("/boot/kernel8.img", "file", 0o755, mtime=image.mtime, content=gzip(image.content)),
        content[f"/boot/config-{release}"],
        *_moved([module.member for module in kept]),
        *_module_index([*listings, *(module.member for module in kept)], release, image.mtime),
    ]


def firmware_members(source: KernelSource) -> list[Member]:
    """Device trees under every name that is looked for, and the overlays."""
    deb = _read_kernel(source.kernel)
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
    modules = _closure(_modules(_read_kernel(source.kernel)), _SETTINGS["initramfs"])
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


def _read_kernel(path: Path) -> Deb:
    # Three packages are cut from it, perhaps in three threads: it is read once.
    with _reading:
        return _read_deb_once(path)


_reading = Lock()
_read_deb_once = cache(read_deb)


def _modules(deb: Deb) -> dict[str, Module]:
    found = {}
    for member in deb.members:
        if not member.path.endswith(".ko"):
            continue
        fields = elf.module_fields(member.content)
        needs = [
            name for key, value in fields if key == "depends" for name in value.split(",") if name
        ]
        for key, value in fields:
            words = value.split()
            if key == "softdep" and words and words[0] == "pre:":
                needs += words[1:]
        name = member.path.rsplit("/", 1)[1].removesuffix(".ko")
        found[_same(name)] = Module(member, tuple(_same(need) for need in needs))
    return found


def _same(name: str) -> str:
    return name.replace("-", "_")


def _closure(modules: Mapping[str, Module], wanted: Iterable[str]) -> list[Module]:
    # Dependencies first. A soft dependency may be built in or not exist: then there is no file.
    ordered: dict[str, Module] = {}

    def add(name: str, chain: tuple[str, ...]) -> None:
        if name in ordered or name in chain or name not in modules:
            return
        for need in modules[name].needs:
            add(need, (*chain, name))
        ordered[name] = modules[name]

    for name in wanted:
        if _same(name) not in modules:
            raise LookupError(f"the kernel has no module {name}")
        add(_same(name), ())
    return list(ordered.values())


def _moved(members: Iterable[Member]) -> list[Member]:
    return [
        Member(merged(member.path), "file", 0o644, mtime=member.mtime, content=member.content)
        for member in members
    ]


def _module_index(inputs: Sequence[Member], release: str, mtime: int) -> list[Member]:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        for member in inputs:
            path = top / member.path.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(member.content)
        run(["depmod", "-b", top, release])
        directory = top / "lib" / "modules" / release
        return [
            Member(
                f"/usr/lib/modules/{release}/{file.name}",
                "file",
                0o644,
                mtime=mtime or HANDMADE_MTIME,
                content=file.read_bytes(),
            )
            for file in sorted(directory.glob("modules.*"))
        ]
