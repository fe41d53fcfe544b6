"""The architectures the repository is made for, and what only one of them has."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from . import pc, raspberry
from .model import Member
from .modules import KernelSource

HERE = Path(__file__).parent
COMMON = HERE / "packages"
Arch = Literal["aarch64", "x86_64"]


@dataclass(frozen=True, slots=True)
class Target:
    """One architecture.

    Attributes:
        arch: XBPS's name of it.
        debian: Debian's name of it.
        own: the directory of what only it has: `names.toml` and `packages/`; None if nothing.
        kernel: the Debian package whose version the kernel packages have.
        extra: packages whose files are computed from that kernel.
    """

    arch: Arch
    debian: str
    own: Path | None
    kernel: str
    extra: Mapping[str, Callable[[KernelSource], list[Member]]]

    @property
    def sources(self) -> tuple[Path, ...]:
        """The directories of written parts; later ones are laid over earlier ones."""
        return (COMMON,) if self.own is None else (COMMON, self.own / "packages")

    def settings(self) -> dict[str, Any]:
        """What its own names.toml says beyond the common one."""
        if self.own is None:
            return {}
        return tomllib.loads((self.own / "names.toml").read_text("utf-8"))

    def inputs(self) -> Iterator[Path]:
        """The files here that may change its repository."""
        others = [other.own for other in TARGETS.values() if other.own not in (None, self.own)]
        for path in HERE.rglob("*"):
            if "__pycache__" in path.parts or not path.is_file():
                continue
            if not any(other is not None and path.is_relative_to(other) for other in others):
                yield path


TARGETS: Mapping[Arch, Target] = {
    "aarch64": Target("aarch64", "arm64", None, "linux-image-arm64", raspberry.EXTRA),
    "x86_64": Target("x86_64", "amd64", HERE / "x86_64", "linux-image-amd64", pc.EXTRA),
}
DEFAULT = TARGETS["aarch64"]
