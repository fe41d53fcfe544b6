"""Finds out which version of GRUB a loader, its modules, and this host's program are of."""

from __future__ import annotations

import re

from voidimg.run import run

_SAID = re.compile(rb"GNU GRUB  version %s\0+(\d[\x21-\x7e]{0,63})\0")
"""What the module normal writes above its menu, and the version, which compilers put behind it."""
_ALONE = re.compile(rb"\0([2-9]\.\d\d(?:[-~.+][\x21-\x7e]{0,60})?)\0")
_MODINFO = re.compile(r'^grub_version="([^"]+)"', re.MULTILINE)
_PROGRAM = re.compile(r"\(GRUB\) (\S+)")


def version_of_loader(program: bytes) -> str | None:
    """The version that a core image with a menu says of itself: ``2.06-13+deb12u2``."""
    match = _SAID.search(program) or _ALONE.search(program)
    return None if match is None else match[1].decode("ascii")


def version_of_modules(modinfo: str) -> str | None:
    """The version in the ``modinfo.sh`` of a directory of modules: ``2.12``."""
    match = _MODINFO.search(modinfo)
    return None if match is None else release_of(match[1])


def version_of_host() -> str | None:
    """The version of this host's own ``grub-mkimage``.

    Raises:
        ToolError: it is missing or failed.
    """
    said = run(["grub-mkimage", "--version"]).stdout.decode("utf-8", "replace")
    match = _PROGRAM.search(said)
    return None if match is None else release_of(match[1])


def release_of(version: str) -> str:
    """`version` without what a distribution adds: ``2.06`` of ``2.06-13+deb12u2``."""
    match = re.match(r"\d+(?:\.\d+)*(?:~?rc\d+)?", version)
    return version if match is None else match[0]
