"""What U-Boot is told to start: entries of extlinux.conf, and what a boot script loads. Pure.

Keywords of extlinux.conf are those of U-Boot's ``boot/pxe_utils.c``. Of a script only what boot
scripts are made of is understood: ``setenv`` and ``load``, within ``if``.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

EXTLINUX = "/extlinux/extlinux.conf"
SCRIPT = "/boot.scr"
"""Where U-Boot looks for them on a partition, beside the same below ``/boot``."""
MAX_LINES = 20_000
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_KEYWORDS = {
    "linux": "kernel",
    "kernel": "kernel",
    "fit": "kernel",
    "initrd": "initrd",
    "fdt": "device_tree",
    "devicetree": "device_tree",
    "fdtdir": "device_trees",
    "devicetreedir": "device_trees",
}


@dataclass(slots=True)
class UbootEntry:
    """One way to start: paths from the top of the partition; empty where nothing is said.

    `device_trees` is a directory in which U-Boot looks for the file that its variable ``fdtfile``
    names. A path may hold variables of U-Boot's (``${fdtfile}``) that only the board knows.
    """

    label: str
    kernel: str = ""
    initrd: str = ""
    device_tree: str = ""
    device_trees: str = ""
    cmdline: str = ""

    def paths(self) -> Iterator[tuple[str, str]]:
        """What must be there: a word for people, and the path; with no variable in it."""
        for name, path in (
            ("kernel", self.kernel),
            ("initramfs", self.initrd),
            ("device tree", self.device_tree),
            ("directory of device trees", self.device_trees),
        ):
            if path and "$" not in path:
                yield name, path


@dataclass(frozen=True, slots=True)
class UbootMenu:
    """The entries of an extlinux.conf; `default` is the label that starts by itself."""

    entries: tuple[UbootEntry, ...]
    default: str = ""


def read_extlinux(text: str, path: str = EXTLINUX) -> UbootMenu:
    """The menu of the extlinux.conf at `path`; names without ``/`` in front are beside it."""
    entries: list[UbootEntry] = []
    default = ""
    for line in text.splitlines()[:MAX_LINES]:
        keyword, _, rest = line.strip().replace("\t", " ").partition(" ")
        keyword, rest = keyword.casefold(), rest.strip()
        if keyword in ("default", "ontimeout"):
            default = rest
        elif keyword == "label":
            entries.append(UbootEntry(rest))
        elif keyword == "append" and entries:
            entries[-1].cmdline = rest
        elif keyword in _KEYWORDS and entries and rest:
            place = posixpath.join(posixpath.dirname(path), rest.split()[0])
            setattr(entries[-1], _KEYWORDS[keyword], place)
    return UbootMenu(tuple(entries), default)


def read_boot_script(text: str) -> UbootEntry:
    """What a boot script loads, by the variables of the addresses, and its ``bootargs``.

    A later load of the same kind is not taken: scripts try the preferred one first.
    """
    variables: dict[str, str] = {}
    entry = UbootEntry("boot.scr")
    for line in text.splitlines()[:MAX_LINES]:
        words = line.strip().partition("#")[0].replace(";", " ").split()
        while words[:1] and words[0] in ("if", "then", "else", "test"):
            words = words[1:]
        if words[:1] == ["setenv"] and len(words) > 1:
            variables[words[1]] = _expanded(" ".join(words[2:]), variables)
        elif words[:1] == ["load"] and len(words) >= 5:
            _note_load(entry, words[3], _expanded(words[4], variables))
    entry.cmdline = variables.get("bootargs", "")
    return entry


def _note_load(entry: UbootEntry, address: str, path: str) -> None:
    place = path if path.startswith("/") else f"/{path}"
    for variable, name in (
        ("kernel_addr_r", "kernel"),
        ("fdt_addr_r", "device_tree"),
        ("ramdisk_addr_r", "initrd"),
    ):
        if variable in address and not getattr(entry, name):
            setattr(entry, name, place)


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """`text` with the variables that the script has set; the board's own stay as they are."""
    return _VARIABLE.sub(lambda found: variables.get(found[1] or found[2], found[0]), text)
