"""Checks of a netboot tarball: what PXELINUX is told to load by TFTP is there."""

from __future__ import annotations

from collections.abc import Iterator

from voidimg.formats.boot_menus import SYSLINUX_LIBRARIES, read_isolinux
from voidimg.lint.model import Problem
from voidimg.lint.subject import NETBOOT_ROOT, PXELINUX_CONFIG, Subject
from voidimg.live.netboot import LOADER

_DIGEST_WORD = "live.sha256="
_REBUILD = "build the tarball again, or take another version of what was added by hand"


def is_netboot(subject: Subject) -> bool:
    """Of netboot tarballs; they hold no system that can be looked into."""
    return subject.artifact.kind == "tar" and PXELINUX_CONFIG in subject.entries


def netboot_root_digest(subject: Subject) -> Iterator[Problem]:
    """Every entry says by its SHA-256 which root may be started, and that one is there."""
    text = (subject.tree.read(PXELINUX_CONFIG) or b"").decode("utf-8", "replace")
    found = subject.digests.get(NETBOOT_ROOT)
    for entry in read_isolinux(text, f"/{LOADER}").live_entries:
        words = [word for word in entry.cmdline.split() if word.startswith(_DIGEST_WORD)]
        place = f"{PXELINUX_CONFIG}: {entry.id}"
        if not words:
            what = "the root is fetched, and started whatever it is"
            yield Problem(place, what, f"add {_DIGEST_WORD} and the SHA-256 of squashfs.img")
        elif found is not None and words[-1] != f"{_DIGEST_WORD}{found}":
            what = f"{NETBOOT_ROOT[1:]} has another SHA-256 than the entry says: it is not started"
            yield Problem(place, what, _REBUILD)


def netboot_menu_file(subject: Subject) -> Iterator[Problem]:
    """The loader is there, and every file that its menu names."""
    text = (subject.tree.read(PXELINUX_CONFIG) or b"").decode("utf-8", "replace")
    menu = read_isolinux(text, f"/{LOADER}")  # names count from the directory of the loader
    if not menu.live_entries:
        yield Problem(PXELINUX_CONFIG, "no entry starts the live system", _REBUILD)
    named = dict.fromkeys((f"/{LOADER}", *menu.files), "the menu")
    named |= {f"/{name}": "PXELINUX itself" for name in SYSLINUX_LIBRARIES}
    for entry in menu.entries:
        named |= {path: f"the entry {entry.id}" for path in entry.files if path not in named}
    for path, who in sorted(named.items()):
        if path not in subject.entries:
            what = f"{who} names {path[1:]}, which is not in the tarball"
            yield Problem(PXELINUX_CONFIG, what, _REBUILD)
