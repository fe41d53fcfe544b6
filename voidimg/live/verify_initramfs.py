"""Checks that an initramfs can start a live medium, before anything is built upon it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from voidimg.errors import LayoutError
from voidimg.formats.cpio import Initramfs, decode_initramfs

NEEDED_DRIVERS = ("isofs", "loop", "overlay", "squashfs")
"""What mounts the root of a live medium, in the kernel or as modules."""

_MODULES = re.compile(r"(?:/usr)?/lib/modules/([^/]+)/")
_BUILTIN = "/modules.builtin"
_NEEDED = {
    "dracut's script that mounts live media": "/dmsquash-live-root",
    "the hooks that prepare the live system": "/void-live/lib.sh",
}
"""What it is -> how its path ends."""


def check_initramfs(content: bytes, release: str) -> None:
    """The initramfs `content` is for the kernel `release`, and has what starts a live medium.

    Raises:
        LayoutError: it is not, lacks something, or is damaged.
    """
    found = decode_initramfs(content, lambda path: path.endswith(_BUILTIN), "initramfs")
    releases = {match[1] for path in found.entries if (match := _MODULES.match(path))}
    if release not in releases:
        whose = ", ".join(sorted(releases)) or "no kernel"
        raise _unfit(f"has modules of {whose}, not of {release}")
    for what, end in _NEEDED.items():
        if not any(path.endswith(end) for path in found.entries):
            raise _unfit(f"has not {what}")
    missing = sorted(set(NEEDED_DRIVERS) - set(_drivers(found, release)))
    if missing:
        raise _unfit(f"has no driver {missing[0]} of the kernel {release}")


def _drivers(initramfs: Initramfs, release: str) -> Iterator[str]:
    """The names of its modules, and of those that are part of the kernel."""
    for path in initramfs.entries:
        match = _MODULES.match(path)
        if match is None or match[1] != release:
            continue
        paths = [path]
        if path.endswith(_BUILTIN):
            paths = initramfs.contents[path].decode("utf-8", "replace").splitlines()
        for each in paths:
            name, found, _ = each.rpartition("/")[2].partition(".ko")
            if found:
                yield name.replace("-", "_")


def _unfit(what: str) -> LayoutError:
    return LayoutError(
        f"the initramfs {what}",
        code="INITRAMFS-UNFIT",
        where="initramfs",
        hint="are dracut and the kernel of the live system from one state of the repository?",
    )
