"""Makes the initramfs of a live system with the target's own dracut, in the sandbox.

Runs inside the namespace of the tree. What dracut leaves in the tree is taken out again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import LayoutError, ScriptError, storing
from voidimg.live.verify_initramfs import check_initramfs
from voidimg.sandbox.chroot import Chroot
from voidimg.tree.tree import NotInTreeError, Tree

MODULE = "void-live"
"""The name of our dracut module."""

MODULES = "/usr/lib/dracut/modules.d"
KERNELS = "/usr/lib/modules"
PROGRAMS = ("/usr/bin/dracut", "/usr/sbin/dracut")
"""Where dracut is."""
_NEEDED = "dmsquash-live"
_LIVENET = "livenet"
_WISHED = ("overlayfs",)
"""A module of its own only in some versions of dracut."""

_NETWORK = ("network-legacy",)
"""dracut's own network, of shell scripts and dhclient; newer versions have only others."""

_OMITTED = ("systemd", "plymouth")
_OUTPUT = "/boot/initrd"
_MODULE_DIRECTORY = f"{MODULES}/90{MODULE}"
_ABSENT = re.compile(r"odule '?([\w-]+)'? (?:cannot be (?:found|installed)|will not be installed)")


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel of a tree: its release, as ``uname -r`` says it, and the path of its image."""

    release: str
    image: str

    @property
    def name(self) -> str:
        """The name of the image without its release: ``vmlinuz`` or ``vmlinux``."""
        return self.image.rpartition("/")[2].partition("-")[0]


def find_kernel(root: Path) -> Kernel:
    """The one kernel of the tree `root`, with modules and image.

    Raises:
        LayoutError: there is none, or there are several.
    """
    with Tree(root) as tree:
        found = [
            Kernel(release, image)
            for release in _listed(tree, KERNELS)
            for image in (f"/boot/vmlinuz-{release}", f"/boot/vmlinux-{release}")
            if tree.exists(image) and tree.exists(f"{KERNELS}/{release}")
        ]
    if len(found) == 1:
        return found[0]
    if found:
        releases = ", ".join(kernel.release for kernel in found)
        raise LayoutError(
            f"the live system has several kernels: {releases}",
            code="KERNELS",
            where=KERNELS,
            hint="only one package of a kernel can be among its packages",
        )
    raise LayoutError(
        "the live system has no kernel: no directory of modules has its image in /boot",
        code="NO-KERNEL",
        where=KERNELS,
        hint="add the package of a kernel, such as linux",
    )


def make_initramfs(
    root: Path,
    out: Path,
    kernel: Kernel,
    *,
    arch: str,
    module: Mapping[str, bytes],
    compression: str,
    epoch: int,
    network: bool = False,
) -> None:
    """Write the initramfs of `kernel` as the file `out`.

    It is for any machine, with dracut's module for live media and ours.

    Args:
        root: the tree, in which dracut and `compression` are installed.
        out: the initramfs; replaced when it exists.
        kernel: of the tree.
        arch: XBPS architecture of the tree.
        module: file name -> content of our dracut module.
        compression: a program of the tree, and the option of dracut that takes it.
        epoch: the build's time, in seconds since 1970.
        network: whether it can fetch the root over the network (``root=live:http://...``).

    Raises:
        LayoutError: the tree has no dracut, or none that can start live media, or from a network;
            or what it made is not for this kernel, or lacks something.
        ScriptError: dracut failed, or left something out.
        SandboxError: it cannot be started.
    """
    with Tree(root) as tree:
        before = set(_listed(tree, "/boot"))
        known = {re.sub(r"^\d+", "", name) for name in _listed(tree, MODULES)}
        _require_modules(known, network=network)
        for name, content in sorted(module.items()):
            mode = 0o755 if name.endswith(".sh") else 0o644
            path = f"{_MODULE_DIRECTORY}/{name}"
            tree.write(path, content, mode, mtime=epoch, parents=True)
    modules = [_NEEDED, *(name for name in _WISHED if name in known), MODULE]
    if network:
        modules += [_LIVENET, *(name for name in _NETWORK if name in known)]
    _run_dracut(root, kernel, modules, arch=arch, compression=compression, epoch=epoch)
    with Tree(root) as tree:
        content = tree.read(_OUTPUT)
        tree.remove_tree(_MODULE_DIRECTORY)
        for name in _listed(tree, "/boot"):
            # The kernel's own hook may have made one for this host, which no live system uses.
            if name not in before or name == f"initramfs-{kernel.release}.img":
                tree.remove(f"/boot/{name}")
    check_initramfs(content, kernel.release)
    with storing(out, "write the initramfs"):
        out.write_bytes(content)
        out.chmod(0o644)


def _require_modules(known: set[str], *, network: bool) -> None:
    """Ensure that dracut has the modules that live media, or the network, need."""
    needed = [(_NEEDED, "dracut", "[live]")]
    if network:
        needed.append((_LIVENET, "dracut-network", "[live.netboot]"))
    for module, package, table in needed:
        if module not in known:
            raise LayoutError(
                f"the tree has no dracut with the module {module}",
                code="NO-DRACUT",
                where=MODULES,
                hint=f"add the package {package} to build_packages of {table}",
            )


def _run_dracut(
    root: Path, kernel: Kernel, modules: list[str], *, arch: str, compression: str, epoch: int
) -> None:
    words = [
        "--force",
        "--no-hostonly",
        f"--{compression}",
        "--add",
        " ".join(modules),
        "--omit",
        " ".join(_OMITTED),
        "--kver",
        kernel.release,
    ]
    with Chroot(root, arch, epoch=epoch) as chroot:
        program = chroot.first_program(PROGRAMS)
        if program is None:
            raise LayoutError("the tree has no dracut", code="NO-DRACUT", where=PROGRAMS[0])
        if _has_word(root, program, "--reproducible"):
            words.insert(0, "--reproducible")
        ended = chroot.run((program, *words, _OUTPUT))
    absent = [name for name in _ABSENT.findall(ended.text) if name in modules]
    if ended.status or absent:
        why = f"left out its module {absent[0]}" if absent else f"failed with {ended.status}"
        raise ScriptError(
            f"dracut {why}: {_last_line(ended.text)}",
            code="DRACUT",
            where=kernel.release,
            output=ended.text,
        )


def _has_word(root: Path, program: str, word: str) -> bool:
    """Whether `program`, a script, knows the option `word`."""
    with Tree(root) as tree:
        descriptor = tree.open_file(program)
        with os.fdopen(descriptor, "rb") as file:
            return word.encode() in file.read(1 << 20)


def _listed(tree: Tree, path: str) -> list[str]:
    try:
        return sorted(tree.listdir(path))
    except NotInTreeError:
        return []


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
