"""Cuts Debian's generic kernel into the kernel package of PCs."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from .model import Member
from .modules import KernelSource, module_members, read_kernel

_TABLE = Path(__file__).parent / "x86_64" / "kernel.toml"


def kernel_members(source: KernelSource) -> list[Member]:
    """/boot/vmlinuz-<release>, its configuration, and the kept modules."""
    deb = read_kernel(source.kernel)
    content = {member.path: member for member in deb.members}
    image = content[f"/boot/vmlinuz-{source.release}"]
    keep = tomllib.loads(_TABLE.read_text("utf-8"))["keep"]
    return [
        image,
        content[f"/boot/config-{source.release}"],
        *module_members(deb, source.release, keep, mtime=image.mtime),
    ]


EXTRA: Mapping[str, Callable[[KernelSource], list[Member]]] = {"linux6.1": kernel_members}
"""Packages whose files are computed from the kernel, beside what Debian and package.toml give."""
