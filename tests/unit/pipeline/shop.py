"""A signed repository made for a test, and boards that install from it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from voidimg.catalog.catalog import Catalog
from voidimg.spec.compose import ResolvedRecipe
from voidimg.xbps.keys import PrivateKey
from voidimg.xbps.repository.local import (
    PackageMember,
    PackageMeta,
    index_packages,
    packages_of,
    read_repodata,
    sign_packages,
    sign_repository,
    write_key_file,
    write_package,
)
from voidimg.xbps.repository.repodata import Repodata

KEYS = Path(__file__).parents[2] / "vectors/xbps/keys"
SIGNED_BY = "a test"
ARCHS = ("aarch64", "aarch64-musl")

_PLATFORM = """schema = 1
kind = "platform"
summary = "A board"
arch = "aarch64"
libc = ["glibc", "musl"]
boards = ["none"]
extends = "void"
[platformfs]
packages = [{platformfs}]
"""
_PROFILE = """schema = 1
kind = "profile"
summary = "Little"
hostname = "board"
timezone = "UTC"
[rootfs]
packages = [{rootfs}]
"""


class Shop:
    """A repository below `root`; `path` is its directory, `key_plist` the key to trust."""

    def __init__(self, root: Path, key: str = "second"):
        self.root = root
        self.path = root / "repo"
        self.path.mkdir(parents=True)
        self.key = PrivateKey.read(KEYS / f"{key}.private.pem")
        self.key_plist = write_key_file(root, self.key.public(SIGNED_BY))

    def put(
        self,
        name: str,
        version: str = "1.0_1",
        needs: Sequence[str] = (),
        *,
        arch: str = "noarch",
        archs: Sequence[str] = ARCHS,
        conflicts: Sequence[str] = (),
        provides: Sequence[str] = (),
        content: bytes = b"",
        index: bool = True,
    ) -> Path:
        """Add a package, or another version of it; the indexes are made anew unless told not to."""
        meta = PackageMeta(
            name,
            version,
            arch,
            "test package",
            run_depends=needs,
            conflicts=conflicts,
            provides=provides,
        )
        member = PackageMember(f"/usr/share/{name}", content=content or version.encode())
        path = write_package(self.path, meta, [member], level=1)
        if index:
            self.index(archs)
        return path

    def index(self, archs: Sequence[str] = ARCHS) -> None:
        """Index and sign what is in the directory."""
        sign_packages(packages_of(self.path), self.key)
        for arch in archs:
            index_packages(self.path, arch, prune=True)
            sign_repository(self.path, arch, self.key, SIGNED_BY)

    def stage(self, arch: str, name: str) -> None:
        """Move an entry of the index to the staged packages."""
        found = read_repodata(self.path, arch)
        rest = {key: value for key, value in found.index.items() if key != name}
        staged = Repodata(rest, {name: found.index[name]}, found.meta)
        (self.path / f"{arch}-repodata").write_bytes(staged.encode())

    def date(self, epoch: int) -> None:
        """Give every index this time of change."""
        for path in self.path.glob("*-repodata"):
            os.utime(path, (epoch, epoch))

    def board(
        self,
        platform: str = "board",
        rootfs: Sequence[str] = ("base",),
        platformfs: Sequence[str] = ("kernel",),
    ) -> ResolvedRecipe:
        """The recipe of `platform`, which asks for these packages."""
        for kind, name, text in (
            ("platforms", "board", _PLATFORM.format(platformfs=_list(platformfs))),
            ("profiles", "little", _PROFILE.format(rootfs=_list(rootfs))),
        ):
            directory = self.root / "spec" / kind
            directory.mkdir(parents=True, exist_ok=True)
            (directory / f"{name}.toml").write_text(text)
        return Catalog([self.root / "spec"]).recipe(platform, "little")


def _list(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
