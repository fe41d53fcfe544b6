"""A tree, and packages made for it: what tests of the installer work with."""

from __future__ import annotations

import os
from pathlib import Path

from voidimg.xbps.install import install
from voidimg.xbps.install.install import InstallReport, VerifiedPackage
from voidimg.xbps.install.scripts import ScriptRunner
from voidimg.xbps.package.writer import PackageMember, PackageMeta, write_package
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.repository.local import entry_of
from voidimg.xbps.resolve.resolver import Step

ARCH = "x86_64"
EPOCH = 1_600_000_000


class Shop:
    """Makes packages, installs them into a tree and takes them out again."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.root = directory / "root"

    def package(
        self,
        name: str,
        *members: PackageMember,
        version: str = "1_1",
        arch: str = ARCH,
        **meta: object,
    ) -> VerifiedPackage:
        described = PackageMeta(name, version, arch, "test package", **meta)  # type: ignore[arg-type]
        path = write_package(self.directory / "packages", described, members)
        return VerifiedPackage(path, self.step(name, version, entry_of(path)[2]))

    def step(self, name: str, version: str, entry: PlistDict, action: str = "install") -> Step:
        return Step(f"{name}-{version}", name, action, None, entry, automatic=False)  # type: ignore[arg-type]

    def as_update(self, package: VerifiedPackage) -> VerifiedPackage:
        one = package.step
        version = one.pkgver.rpartition("-")[2]
        return VerifiedPackage(
            package.path, self.step(one.pkgname, version, one.entry, action="update")
        )

    def install(self, *packages: VerifiedPackage, **options: object) -> InstallReport:
        return install.install(
            self.root, packages, arch=ARCH, **({"runner": None} | options)  # type: ignore[arg-type]
        )  # fmt: skip

    def remove(self, *names: str, runner: ScriptRunner | None = None) -> InstallReport:
        return install.remove(self.root, names, arch=ARCH, runner=runner)

    def there(self, path: str) -> bool:
        return os.path.lexists(self.root / path[1:])


def file(path: str, content: bytes = b"x", mode: int = 0o644) -> PackageMember:
    return PackageMember(path, "file", mode, 0, 0, EPOCH, content)


def link(path: str, target: str) -> PackageMember:
    return PackageMember(path, "symlink", mtime=EPOCH, target=target)
