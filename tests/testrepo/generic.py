"""Cuts Debian's generic kernel into the kernel package of live systems."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from .model import Member
from .modules import KernelSource, module_members, read_kernel


@dataclass(frozen=True, slots=True)
class GenericKernel:
    """Makes the members of the kernel package.

    `image` is what Void calls the kernel on this architecture: ``vmlinuz``, or ``vmlinux`` on ARM.
    `tables` are files with the kernel modules to `keep` and the `device_trees` to ship; a file
    need not exist, all that do count.
    """

    image: str
    tables: tuple[Path, ...]

    def __call__(self, source: KernelSource) -> list[Member]:
        """/boot/<image>-<release>, its configuration, the kept modules, the device trees."""
        deb = read_kernel(source.kernel)
        content = {member.path: member for member in deb.members}
        image = content[f"/boot/vmlinuz-{source.release}"]
        trees = f"/usr/lib/{source.kernel.name.partition('_')[0]}"
        return [
            replace(image, path=f"/boot/{self.image}-{source.release}"),
            content[f"/boot/config-{source.release}"],
            *module_members(deb, source.release, self._listed("keep"), mtime=image.mtime),
            *(
                replace(content[f"{trees}/{tree}"], path=f"/boot/dtbs/dtbs-{source.release}/{tree}")
                for tree in self._listed("device_trees")
            ),
        ]

    def _listed(self, key: str) -> list[str]:
        found: list[str] = []
        for table in self.tables:
            if table.is_file():
                found += tomllib.loads(table.read_text("utf-8")).get(key, [])
        return list(dict.fromkeys(found))
