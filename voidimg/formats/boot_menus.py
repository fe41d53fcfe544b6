"""Reads the boot menus of an ISO: entries of isolinux.cfg and grub.cfg, as loaders do. Pure.

Only what menus of live systems are made of is understood. What a loader computes (a path with a
variable in it) is left out, and so are files that are included: each is read as a menu of its own.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

Loader = Literal["isolinux", "grub"]

_MAX_LINES = 20_000
_GRUB_FILE_COMMANDS = ("loadfont", "background_image", "source", "configfile")
_ISOLINUX_BACKGROUND = re.compile(r"MENU\s+BACKGROUND\s+(\S+)", re.IGNORECASE)
_ISOLINUX_TITLE = re.compile(r"MENU\s+LABEL\s+(.*)", re.IGNORECASE)
SYSLINUX_LIBRARIES = ("ldlinux.c32", "libcom32.c32", "libutil.c32")
"""What isolinux, PXELINUX and their modules load themselves (syslinux 6)."""

_CDLABEL = re.compile(r"root=live:(?:CDLABEL|LABEL)=(\S+)")


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """An entry of a menu; `files` are the absolute paths that it names, the kernel first.

    `kernel` is None for entries that start none, `initrds` are empty for programs like memtest.
    """

    id: str
    title: str
    kernel: str | None = None
    initrds: tuple[str, ...] = ()
    cmdline: str = ""
    others: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Every path that it names."""
        return (*(() if self.kernel is None else (self.kernel,)), *self.initrds, *self.others)

    @property
    def is_live(self) -> bool:
        """Whether it starts the live system, and not some program."""
        return bool(self.initrds) or "root=" in self.cmdline

    @property
    def label(self) -> str | None:
        """The volume id that the kernel is told to look for."""
        match = _CDLABEL.search(self.cmdline)
        return None if match is None else match[1]


@dataclass(frozen=True, slots=True)
class BootMenu:
    """A menu: `path` is that of its file, `files` are named outside of any entry."""

    path: str
    loader: Loader
    entries: tuple[MenuEntry, ...]
    files: tuple[str, ...] = ()

    @property
    def live_entries(self) -> tuple[MenuEntry, ...]:
        """The entries that start the live system."""
        return tuple(entry for entry in self.entries if entry.is_live)


@dataclass(slots=True)
class _Open:
    """An entry while its lines are read."""

    id: str
    title: str
    kernel: str | None = None
    initrds: list[str] = field(default_factory=list)
    cmdline: str = ""
    others: list[str] = field(default_factory=list)

    def closed(self) -> MenuEntry:
        return MenuEntry(
            self.id, self.title, self.kernel, tuple(self.initrds), self.cmdline, tuple(self.others)
        )


def read_isolinux(text: str, path: str) -> BootMenu:
    """The menu of an ``isolinux.cfg`` that lies at `path` of the ISO."""
    directory = posixpath.dirname(path)
    modules = directory
    entries: list[_Open] = []
    files: list[str] = []
    entry: _Open | None = None
    for line in text.splitlines()[:_MAX_LINES]:
        keyword, _, rest = line.strip().partition(" ")
        keyword, rest = keyword.upper(), rest.strip()
        named = entry.others if entry is not None else files
        if keyword == "PATH":
            modules = posixpath.join("/", rest)
        elif keyword == "LABEL":
            entry = _Open(rest, rest)
            entries.append(entry)
        elif match := _ISOLINUX_BACKGROUND.match(line.strip()):
            files.append(posixpath.join(directory, match[1]))
        elif keyword in ("UI", "COM32") and rest:
            named.append(_module(rest.split()[0], directory, modules))
        elif entry is not None:
            _isolinux_line(entry, keyword, rest, line.strip(), directory)
    return BootMenu(path, "isolinux", tuple(entry.closed() for entry in entries), tuple(files))


def _module(name: str, directory: str, modules: str) -> str:
    return posixpath.join(directory if "/" in name else modules, name)


def _isolinux_line(entry: _Open, keyword: str, rest: str, line: str, directory: str) -> None:
    if match := _ISOLINUX_TITLE.match(line):
        entry.title = match[1].replace("^", "")
    elif keyword in ("LINUX", "KERNEL") and rest:
        path = posixpath.join(directory, rest.split(maxsplit=1)[0])
        if path.endswith(".c32"):
            entry.others.append(path)
        else:
            entry.kernel = path
    elif keyword == "INITRD":
        entry.initrds += [posixpath.join(directory, name) for name in rest.split(",") if name]
    elif keyword == "FDT" and rest:
        entry.others.append(posixpath.join(directory, rest))
    elif keyword == "APPEND" and rest != "-":
        entry.cmdline = " ".join(rest.split())


def read_grub(text: str, path: str) -> BootMenu:
    """The menu of a ``grub.cfg`` that lies at `path` of the ISO; submenus are taken apart."""
    entries: list[_Open] = []
    files: list[str] = []
    entry: _Open | None = None
    for words in _grub_lines(text):
        command, *rest = words
        if command == "menuentry" and rest:
            entry = _Open(_option(rest, "--id") or rest[0], rest[0])
            entries.append(entry)
        elif command == "}":
            entry = None
        elif command in ("if", "elif", "while") and "loadfont" in rest:
            files += _paths(rest[rest.index("loadfont") + 1 :][:1])
        elif command in _GRUB_FILE_COMMANDS:
            files += _paths(rest[-1:])
        elif entry is not None:
            _grub_line(entry, command, rest)
    return BootMenu(path, "grub", tuple(entry.closed() for entry in entries), tuple(files))


def _grub_line(entry: _Open, command: str, rest: Sequence[str]) -> None:
    if command in ("linux", "linuxefi", "linux16") and rest:
        entry.kernel = next(iter(_paths(rest[:1])), None)
        entry.cmdline = " ".join(rest[1:])
    elif command in ("initrd", "initrdefi", "initrd16"):
        entry.initrds += _paths(rest)
    elif command in ("devicetree", "chainloader") and rest:
        entry.others += _paths(rest[-1:])


def _grub_lines(text: str) -> Iterator[list[str]]:
    for line in text.splitlines()[:_MAX_LINES]:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
        lexer.whitespace_split = True
        lexer.commenters = "#"
        try:
            words = list(lexer)
        except ValueError:  # quotes over several lines; menus of live systems have none
            words = line.split()
        if words:
            yield words


def _option(words: Sequence[str], name: str) -> str | None:
    """The value of the option `name` in ``--name value`` or ``--name=value``."""
    for at, word in enumerate(words):
        if word == name and at + 1 < len(words):
            return words[at + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def _paths(words: Sequence[str]) -> list[str]:
    """Those of `words` that are plain absolute paths; ``(root)/boot`` loses its device."""
    plain = (re.sub(r"^\([^)]*\)", "", word) for word in words)
    return [word for word in plain if word.startswith("/") and "$" not in word]
