"""The repositories that are made: architecture, and the directories they are made from."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .generic import GenericKernel
from .model import Member
from .modules import KernelSource
from .raspberry import RaspberryKernel

HERE = Path(__file__).parent
COMMON = HERE / "packages"
NAMES = "names.toml"
Arch = Literal["aarch64", "aarch64-musl", "armv6l", "armv7l", "i686", "x86_64"]
_LIVE, _PC = HERE / "live", HERE / "pc"


@dataclass(frozen=True, slots=True)
class Target:
    """One repository.

    Attributes:
        name: of it, and of the directory it is kept in.
        arch: XBPS's name of its architecture.
        debian: Debian's name of it.
        layers: directories of what it has beyond the common parts, `names.toml` and `packages/`;
            later ones are laid over earlier ones.
        kernel: the Debian package whose version the kernel packages have.
        extra: packages whose files are computed from that kernel, beside what Debian and
            package.toml give.
    """

    name: str
    arch: Arch
    debian: str
    layers: tuple[Path, ...]
    kernel: str
    extra: Mapping[str, Callable[[KernelSource], list[Member]]]

    @property
    def sources(self) -> tuple[Path, ...]:
        """The directories of written parts; later ones are laid over earlier ones."""
        return (COMMON, *(layer / "packages" for layer in self.layers))

    @property
    def names(self) -> tuple[Path, ...]:
        """The files that choose and name its packages."""
        return (HERE / NAMES, *(layer / NAMES for layer in self.layers))

    def settings(self) -> dict[str, Any]:
        """What the names.toml of its layers say beyond the common one."""
        found: dict[str, Any] = {}
        for layer in self.layers:
            found = _laid_over(found, tomllib.loads((layer / NAMES).read_text("utf-8")))
        return found

    def inputs(self) -> Iterator[Path]:
        """The files here that may change this repository."""
        targets = (*TARGETS.values(), TINY_MUSL)
        all_layers = {layer for target in targets for layer in target.layers}
        others = all_layers - {*self.layers}
        for path in HERE.rglob("*"):
            if "__pycache__" in path.parts or not path.is_file():
                continue
            if not any(path.is_relative_to(other) for other in others):
                yield path


def _laid_over(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lists grow at their beginning: what only one architecture has is chosen first."""
    joined = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(over[key], list):
            joined[key] = [*over[key], *under[key]]
        elif key == "merge":
            joined[key] = {**under[key], **over[key]}
        elif isinstance(over[key], dict):
            joined[key] = _laid_over(under[key], over[key])
    return joined


def _live(
    arch: Arch, debian: str, layers: tuple[Path, ...], kernel: str, *, name: str = "", image: str
) -> Target:
    layers = (_LIVE, *layers)
    extra = {"linux6.1": GenericKernel(image, tuple(layer / "kernel.toml" for layer in layers))}
    return Target(name or arch, arch, debian, layers, kernel, extra)


def _arm32(arch: Arch, debian: str, kernel: str, image: str) -> Target:
    layers = (HERE / "arm32", HERE / arch)
    extra = RaspberryKernel(image, packed=False, table=HERE / arch / "kernel.toml").extra
    return Target(arch, arch, debian, layers, kernel, extra)


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("aarch64", "aarch64", "arm64", (), "linux-image-arm64", RaspberryKernel().extra),
        _arm32("armv6l", "armel", "linux-image-rpi", "kernel.img"),
        _arm32("armv7l", "armhf", "linux-image-armmp", "kernel7.img"),
        _live(
            "aarch64", "arm64", (HERE / "aarch64",), "linux-image-arm64",
            name="aarch64-live", image="vmlinux",
        ),
        _live("i686", "i386", (_PC, HERE / "i686"), "linux-image-686-pae", image="vmlinuz"),
        _live("x86_64", "amd64", (_PC, HERE / "x86_64"), "linux-image-amd64", image="vmlinuz"),
    )
}  # fmt: skip
"""By name."""
DEFAULT = TARGETS["aarch64"]
TINY_MUSL = Target(
    "aarch64-musl", "aarch64-musl", "arm64", (HERE / "musl",), "linux-image-arm64", {}
)
"""Of the tiny set alone: Debian has no packages that are built with musl."""
