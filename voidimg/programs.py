"""Where programs of the host are looked for, and which of them can change a byte of a result."""

from __future__ import annotations

import os
import shutil
from typing import Literal

from voidimg.arch import emulators_of

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The usual one of root, on hosts and in trees: users' often lacks the sbin directories."""

_CHANGE_BYTES = (
    "debugfs",
    "grub-mkimage",
    "mcopy",
    "mke2fs",
    "mkfs.vfat",
    "mksquashfs",
    "mmd",
    "openssl",
)

CHANGE_NOTHING = frozenset(
    {"cp", "e2fsck", "fsck.vfat", "mdir", "mount", "newgidmap", "newuidmap", "sh", "unshare"}
)
"""Programs that builds start too: they copy, look, or make room for others."""


_DISK = ("mke2fs", "mkfs.vfat", "mmd", "mcopy")
_LIVE = ("mksquashfs", "grub-mkimage", "mkfs.vfat", "mmd", "mcopy")


def programs_that_make(role: Literal["tree", "disk", "live"]) -> tuple[str, ...]:
    """The programs without which no artifact of a kind with `role` can be made."""
    return ("openssl", *{"tree": (), "disk": _DISK, "live": _LIVE}[role])


def program_path(name: str) -> str | None:
    """The absolute path of the program `name`: the user's search path first, then the usual one."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), SEARCH_PATH)))


def programs_that_change_bytes(arch: str) -> tuple[str, ...]:
    """The programs whose version can change bytes of a result for the XBPS architecture `arch`.

    Scripts of packages run in its emulator where the host is of another architecture.
    """
    return (*_CHANGE_BYTES, *emulators_of(arch))
