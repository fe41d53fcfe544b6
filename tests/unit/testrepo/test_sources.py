"""The written parts of the packages are sound: they parse, and so do their shell scripts."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.testrepo.scripts import TRIGGERS, targets_of
from tests.testrepo.selection import read_names
from tests.testrepo.source import PACKAGES, read_source, source_names
from tests.testrepo.target import TARGETS
from tests.testrepo.tinyset import TINY
from voidimg.run import run

PC = TARGETS["x86_64"].sources
ROOTS = (*sorted({root for target in TARGETS.values() for root in target.sources}), TINY)
TOP = PACKAGES.parent
VOIDS = [
    "appstream-cache", "binfmts", "dkms", "gconf-schemas", "gdk-pixbuf-loaders", "gio-modules",
    "gsettings-schemas", "gtk-icon-cache", "gtk-immodules", "gtk3-immodules", "hwdb.d-dir",
    "info-files", "initramfs-regenerate", "kernel-hooks", "mimedb", "mkdirs", "openjdk-profile",
    "pango-modules", "pycompile", "register-shell", "system-accounts", "texmf-dist",
    "update-desktopdb", "x11-fonts", "xml-catalog",
]  # fmt: skip
"""What xbps-triggers has in Void."""

FROM_DEBIAN = {"/boot/kernel8.img", "/usr/lib/polkit-1/polkit-agent-helper-1"}


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.relative_to(TOP).as_posix())
def test_every_package_toml_is_read(root: Path) -> None:
    """Unknown keys are refused, and everything listed exists or comes from Debian."""
    names = sorted(path.parent.name for path in root.glob("*/package.toml"))
    assert names
    for name in names:
        source = read_source(name, root)
        paths = {member.path for member in source.files}
        for pattern in set(source.modes) - FROM_DEBIAN:
            assert any(fnmatchcase(path, pattern) for path in paths), pattern
        assert all(path.startswith("/") for path in source.links)


def test_the_shell_scripts_have_no_syntax_errors() -> None:
    """The host's shell reads them without running them."""
    scripts = [*TOP.rglob("INSTALL"), *TOP.rglob("REMOVE"), *TOP.rglob("core-services/*.sh")]
    scripts.extend(
        path
        for path in TOP.rglob("files/**/*")
        if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh")
    )
    scripts.append(TOP / "initramfs-init")
    assert len(scripts) > 30
    for script in scripts:
        run(["sh", "-n", script])


def test_files_that_start_like_programs_are_executable() -> None:
    """A service script without the bit would be ignored at boot."""
    for path in TOP.rglob("files/**/*"):
        if path.is_file() and path.read_bytes().startswith(b"#!"):
            assert path.stat().st_mode & 0o111, path


def test_the_meta_packages_are_there() -> None:
    """The names that platforms ask for."""
    wanted = {"base-container-full", "base-files", "base-system", "cloud-guest-utils", "rpi-base"}
    assert wanted <= set(source_names())


def test_a_part_is_laid_over_that_of_all_architectures() -> None:
    """Lists are added, one value replaces another, files of the same path too."""
    common, pc = read_source("base-files"), read_source("base-files", *PC)
    assert pc.architecture == "x86_64"
    assert pc.depends == common.depends
    assert [member for member in pc.files if member.path.endswith("/xbps-arch.conf")][
        -1
    ].content == b"architecture=x86_64\n"
    kernel = read_source("base-system", *PC).depends
    assert kernel == (*read_source("base-system").depends, "linux>=0")


def test_no_repository_is_made_from_what_only_others_have() -> None:
    """A change there must not make it anew."""
    tops = {
        name: {path.relative_to(TOP).parts[0] for path in target.inputs() if path.parent != TOP}
        for name, target in TARGETS.items()
    }
    assert {name: sorted(found - tops["aarch64"]) for name, found in tops.items()} == {
        "aarch64": [],
        "aarch64-live": ["aarch64", "live"],
        "armv6l": ["arm32", "armv6l"],
        "armv7l": ["arm32", "armv7l"],
        "i686": ["i686", "live", "pc"],
        "x86_64": ["live", "pc", "x86_64"],
    }


def test_later_layers_are_laid_over_earlier_ones() -> None:
    """What only one architecture has is chosen first; it may say anew what a package is made of."""
    names = read_names(TARGETS["x86_64"])
    assert names.roots.index("dbus") < names.roots.index("isolinux") < names.roots.index("dmsetup")
    assert names.merge["grub"] == ("grub-common", "grub2-common", "grub-pc-bin")
    assert read_names(TARGETS["aarch64-live"]).merge["grub"] == ("grub-common", "grub2-common")
    assert {"rpi-kernel", "rpi-firmware"} <= {*TARGETS["i686"].settings()["without_packages"]}
    assert "linux-image-arm64" not in names.roots
    assert "linux-image-arm64" in read_names(TARGETS["aarch64-live"]).roots


def test_all_triggers_of_void_are_there() -> None:
    """Under their names, each saying when it wants to be called, by the words of the protocol."""
    names = sorted(path.name for path in TRIGGERS.iterdir())
    assert names == VOIDS
    words = {f"{when}-{what}" for when in ("pre", "post") for what in ("install", "remove")}
    for name in names:
        assert set(targets_of(name)) <= words
        assert "post-install" in targets_of(name)
        for wrong in ([], ["nothing"]):
            run(["sh", TRIGGERS / name, *wrong], good=(1,))
    assert targets_of("kernel-hooks") == (
        "pre-install", "post-install", "pre-remove", "post-remove",
    )  # fmt: skip
