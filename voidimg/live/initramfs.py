"""Makes the initramfs of a live system with the target's own dracut, in the sandbox.

Runs inside the namespace of the tree. What dracut leaves in the tree is taken out again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from voidimg.errors import LayoutError, storing
from voidimg.live.verify_initramfs import check_initramfs
from voidimg.rootfs.dracut import run_dracut
from voidimg.rootfs.kernels import KERNELS, Kernel, find_kernels, listed
from voidimg.tree.tree import Tree

MODULE = "void-live"
"""The name of our dracut module."""

MODULES = "/usr/lib/dracut/modules.d"
_NEEDED = "dmsquash-live"
_LIVENET = "livenet"
_WISHED = ("overlayfs",)
"""A module of its own only in some versions of dracut."""

_NETWORK = ("network-legacy",)
"""dracut's own network, of shell scripts and dhclient; newer versions have only others."""

_OMITTED = ("systemd", "plymouth")
_OUTPUT = "/boot/initrd"
_MODULE_DIRECTORY = f"{MODULES}/90{MODULE}"


def find_kernel(root: Path) -> Kernel:
    """The one kernel of the tree `root`, with modules and image.

    Raises:
        LayoutError: there is none, or there are several.
    """
    found = find_kernels(root)
    if len(found) == 1:
        return found[0]
    if found:
        releases = ", ".join(kernel.release for kernel in found[::-1])
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
        before = set(listed(tree, "/boot"))
        known = {re.sub(r"^\d+", "", name) for name in listed(tree, MODULES)}
        _require_modules(known, network=network)
        for name, content in sorted(module.items()):
            mode = 0o755 if name.endswith(".sh") else 0o644
            path = f"{_MODULE_DIRECTORY}/{name}"
            tree.write(path, content, mode, mtime=epoch, parents=True)
    modules = [_NEEDED, *(name for name in _WISHED if name in known), MODULE]
    if network:
        modules += [_LIVENET, *(name for name in _NETWORK if name in known)]
    words = [f"--{compression}", "--add", " ".join(modules), "--omit", " ".join(_OMITTED)]
    run_dracut(root, kernel, words, _OUTPUT, arch=arch, epoch=epoch, needed=modules)
    with Tree(root) as tree:
        content = tree.read(_OUTPUT)
        tree.remove_tree(_MODULE_DIRECTORY)
        for name in listed(tree, "/boot"):
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
