"""The small tree for the first scripts: found by dependencies as packagers write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from voidimg.rootfs.bootstrap import bootstrap_packages
from voidimg.xbps.install.install import VerifiedPackage
from voidimg.xbps.resolve.resolver import Step


def package(pkgver: str, *needs: str, provides: Sequence[str] = ()) -> VerifiedPackage:
    """A step of a transaction; its file is never opened."""
    name = pkgver.rpartition("-")[0]
    entry: dict[str, object] = {"pkgver": pkgver, "run_depends": list(needs)}
    if provides:
        entry["provides"] = list(provides)
    step = Step(pkgver, name, "install", None, entry, automatic=True)  # type: ignore[arg-type]
    return VerifiedPackage(Path(pkgver), step)


@pytest.mark.parametrize(
    ("pkgver", "dependency"),
    [
        ("libpcre2-8-0-10.42_1", "libpcre2-8-0>=10.22_1"),
        ("util-linux-2.40.2_1", "util-linux>=2.38_1"),
        ("ncurses-libs-6.5_1", "ncurses-libs>=6.4_1"),
        ("ncurses-libs-6.5_1", "ncurses-libs-6.5_1"),
        ("ncurses-libs-6.5_1", "ncurses-libs-[0-9]*"),
        ("ncurses-libs-6.5_1", "ncurses-libs>=6.4_1<7"),
        ("ncurses-libs-6.5_1", "ncurses-libs<6.9_2"),
        ("ncurses-libs-6.5_1", "ncurses-libs>0"),
        ("libstdc++-13.2.0_2", "libstdc++>=4.4.0_1"),
        ("gtk+3-3.24.41_1", "gtk+3>=3.22.1_3"),
        ("glibc-2.39_1", "glibc>=2.32_1"),
        ("python3.12-tk-3.12.1_1", "python3.12-tk>=3.12.0_1"),
        ("a-1-2-1.0_1", "a-1-2>=1.0_1"),
    ],
)
def test_a_dependency_is_a_pattern_first(pkgver: str, dependency: str) -> None:
    """A dash and a revision do not make a pkgver of a pattern; a pkgver is one all the same."""
    transaction = (package(pkgver), package("dash-0.5_1"), package("grep-3.11_1", dependency))
    assert bootstrap_packages(transaction) == transaction


@pytest.mark.parametrize("wanted", ["libedit-vi>=1.0_1", "libedit-vi-1.0_1", "libedit-vi>=0"])
def test_a_provided_name_is_one_too(wanted: str) -> None:
    """The dependency of a shell may be met by a package of another name."""
    provider = package("libedit-20240808.3.1_1", provides=["libedit-vi-1.0_1"])
    transaction = (provider, package("dash-0.5_1", wanted), package("other-1_1"))
    assert bootstrap_packages(transaction) == transaction[:2]
