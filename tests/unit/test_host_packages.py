"""Advice names the package as the host's own distribution calls it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

import voidimg
from voidimg.host_packages import PACKAGES, Host, Tool, host_of

_CALLS = re.compile(
    r"""(?<![._\w])(?:run|run_bounded|streamed|find_program)\(\s*\[?\s*f?"([a-z0-9.{}_-]+)\""""
)
_WORDS = re.compile(r"""words(?:: list\[[^]]*\])? = \[\s*"([a-z0-9._-]+)\"""")


@pytest.mark.parametrize(
    ("text", "installed", "tool"),
    [
        ("ID=void\n", ["xbps"], "xbps"),
        ('ID="debian"\n', ["apt"], "apt"),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'\n", ["apt"], "apt"),
        ("ID=rocky\nID_LIKE=\"rhel centos fedora\"\n", ["dnf"], "dnf"),
        ("ID=manjaro\nID_LIKE=arch\n", ["pacman"], "pacman"),
        ("ID=alpine\n", ["apk"], "apk"),
        ("ID=debian\n", ["apt", "xbps"], "apt"),  # xbps tools on a foreign host
        ("ID=void\n", [], "xbps"),
        ("ID=nixos\n", [], None),
        ("ID=nixos\n", ["pacman"], "pacman"),
        ("# ID=void\nnonsense\n", [], None),
        ("", [], None),
    ],
)  # fmt: skip
def test_the_family_of_a_host(text: str, installed: list[Tool], tool: Tool | None) -> None:
    """By os-release(5), and by what is there."""
    assert host_of(text, installed).tool == tool


@pytest.mark.parametrize(
    ("tool", "command"),
    [
        ("xbps", "xbps-install -S mtools shadow"),
        ("apt", "apt-get install mtools uidmap"),
        ("dnf", "dnf install mtools shadow-utils"),
        ("pacman", "pacman -S mtools shadow"),
        ("apk", "apk add mtools shadow-subids"),
        (None, "install what Debian calls mtools uidmap"),
    ],
)
def test_the_command_that_installs(tool: Tool | None, command: str) -> None:
    """Each package once, sorted."""
    assert Host("x", tool).installing(["newuidmap", "newgidmap", "mcopy"]) == command


def test_every_program_that_is_called_has_its_packages() -> None:
    """In all families, but for Debian's own tools; a program that nobody knows is its own."""
    called = set()
    for path in Path(voidimg.__file__).parent.rglob("*.py"):
        text = path.read_text()
        called |= {name for name in _CALLS.findall(text) if "{" not in name}
        called |= set(_WORDS.findall(text)) & PACKAGES.keys()
    assert called - PACKAGES.keys() == set()
    assert {"mkfs.vfat", "openssl", "grub-mkimage", "debugfs"} <= called
    for program, packages in PACKAGES.items():
        if not program.startswith("apt-"):
            assert set(packages) == set(get_args(Tool)), program
    assert Host("x", "apt").package_of("no-such") == "no-such"
