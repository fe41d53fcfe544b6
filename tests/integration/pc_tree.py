"""Installs packages of the x86_64 repository in a tree and runs its programs, in the namespace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.testrepo import RepositoryFixture
from voidimg.events import Listener, ignore
from voidimg.rootfs import steps
from voidimg.sandbox import namespace
from voidimg.sandbox.chroot import Chroot
from voidimg.xbps.install.install import InstallReport, VerifiedPackage
from voidimg.xbps.repository.local import read_repodata
from voidimg.xbps.resolve.pool import Repository
from voidimg.xbps.resolve.resolver import resolve

EPOCH = 1_710_374_400
"""2024-03-14 UTC."""

DRACUT = (
    *("/usr/bin/dracut", "-N", "--force", "--add", "dmsquash-live overlayfs", "--reproducible"),
    *("--omit", "systemd plymouth"),
)
"""Makes the initramfs of a live system: generic, and able to lay a file in memory over a disc."""


def planned(fixture: RepositoryFixture, requests: Sequence[str]) -> list[VerifiedPackage]:
    """The packages that `requests` need, in the order of installing."""
    repodata = read_repodata(fixture.path, fixture.arch)
    found = resolve(requests, [Repository(str(fixture.path), repodata.index)])
    return [
        VerifiedPackage(fixture.path / f"{step.pkgver}.{step.entry['architecture']!s}.xbps", step)
        for step in found.steps
    ]


def install(root: Path, packages: Sequence[VerifiedPackage], *, arch: str) -> InstallReport:
    """Install and configure `packages` in the new tree `root`, by the steps of an image build."""
    return namespace.call(_install, root, list(packages), arch)


def initramfs(root: Path, release: str, *, arch: str) -> tuple[int, str]:
    """Run dracut in the tree for the kernel `release`; its status and what it said.

    The result is /boot/initrd in the tree.
    """
    return namespace.call(_run, root, arch, [*DRACUT, "/boot/initrd", release], {})


def run(
    root: Path, argv: Sequence[str], *, arch: str, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a program of the tree; its status and what it said."""
    return namespace.call(_run, root, arch, list(argv), dict(env or {}))


def _install(
    root: Path, packages: list[VerifiedPackage], arch: str, listener: Listener = ignore
) -> InstallReport:
    steps.install_keys(root, {}, epoch=EPOCH)
    return steps.install_stage(
        root,
        packages,
        arch=arch,
        epoch=EPOCH,
        scratch=root.with_name(f"{root.name}.bootstrap"),
        locale="en_US.UTF-8",
        jobs=2,
        listener=listener,
    )


def _run(
    root: Path, arch: str, argv: list[str], env: dict[str, str], listener: Listener = ignore
) -> tuple[int, str]:
    with Chroot(root, arch, epoch=EPOCH) as chroot:
        outcome = chroot.run(argv, env=env)
    return outcome.status, outcome.text
