"""Writes the netboot tarball: PXELINUX with its menu, kernel, initramfs, and the root to be served.

The tarball is gzipped because Void names it so, but not compressed: all that is large in it is
compressed already, and what zlib makes of the rest differs between its versions.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from voidimg.errors import LayoutError, raise_all, storing
from voidimg.formats.tar_writer import DIRECTORY, FILE, Member, encode_member, end_of_archive
from voidimg.live.media import syslinux_file
from voidimg.live.menus import NO_DIGEST, Menu, files_of, render_pxelinux
from voidimg.spec.templates import Templates

LOADER = "pxelinux.0"
CONFIG = "pxelinux.cfg/default"
SQUASHFS = "squashfs.img"
README = "README"

_COPY_BYTES = 2**20
_BLOCK = 512
_STORED_BYTES = 0xFFFF
"""The most that a block of deflate that is only stored can hold (RFC 1951, 3.2.4)."""
_GZIP_HEAD = bytes((0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255))
"""RFC 1952: deflate, no flags, no time, unknown system."""


@dataclass(frozen=True, slots=True)
class NetbootParts:
    """The parts, as files of the host.

    `tools` is the tree that has syslinux. `others` has, by name, what else the menu may name.
    """

    squashfs: Path
    kernel: Path
    initrd: Path
    tools: Path
    others: Mapping[str, Path] = field(default_factory=dict)


Source = Path | bytes
"""A file of the host, or content."""


def plan_netboot(menu: Menu, parts: NetbootParts, templates: Templates) -> Mapping[str, Source]:
    """What the tarball of `parts` holds, by path, with the menu `menu`.

    The menu says what the root must be. Before there is one, the plan says whether all else is.

    Raises:
        LayoutError: the menu names a file that is not there, or the tree lacks syslinux.
        SpecError: a template is missing or broken.
    """
    # It comes by a protocol that whoever is on the way can change.
    menu = replace(menu, root_sha256=_root_sha256(parts.squashfs))
    files: dict[str, Source] = {
        menu.kernel: parts.kernel,
        menu.initrd: parts.initrd,
        SQUASHFS: parts.squashfs,
        LOADER: syslinux_file(parts.tools, LOADER),
        CONFIG: render_pxelinux(menu, templates).encode(),
        README: templates.render("live/netboot-readme.txt.j2", {"menu": menu}).encode(),
    }
    named = files_of(menu, "bios")
    for name in sorted(named - files.keys()):
        if name.endswith(".c32"):
            files[name] = syslinux_file(parts.tools, name)
        elif name in parts.others:
            files[name] = parts.others[name]
    problems = [
        LayoutError(
            f"the boot menu names {name}, which is not in the tarball", code="MENU-FILE", where=name
        )
        for name in sorted(named - files.keys())
    ]
    raise_all(problems, "the boot menu does not fit the tarball")
    return files


def write_netboot(files: Mapping[str, Source], out: Path, epoch: int) -> None:
    """Write `files` as the gzipped tarball `out`: by name, root's, mode 0644, of the time `epoch`.

    Raises:
        StoreError: a file cannot be read, or the tarball written.
    """
    with storing(out, "write the netboot tarball"), out.open("wb") as file:
        stream = _StoredGzip(file)
        written = 0
        for block in _blocks(files, epoch):
            stream.write(block)
            written += len(block)
        stream.write(end_of_archive(written))
        stream.finish()


def _root_sha256(squashfs: Path) -> str:
    if not squashfs.exists():
        return NO_DIGEST
    with storing(squashfs, "read"), squashfs.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _blocks(files: Mapping[str, Source], epoch: int) -> Iterator[bytes]:
    """The members, directories before what is in them."""
    made: set[str] = set()
    for name, source in sorted(files.items()):
        directory = name.rpartition("/")[0]
        if directory and directory not in made:
            made.add(directory)
            yield encode_member(Member(f"{directory}/".encode(), DIRECTORY, 0o755, 0, 0, epoch))
        yield from _file(name, source, epoch)


def _file(name: str, source: Source, epoch: int) -> Iterator[bytes]:
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    yield encode_member(Member(name.encode(), FILE, 0o644, 0, 0, epoch, size))
    if isinstance(source, bytes):
        yield source
    else:
        with source.open("rb") as file:
            yield from iter(lambda: file.read(_COPY_BYTES), b"")
            if os.fstat(file.fileno()).st_size != size:
                raise OSError(f"{source} changed while it was read")
    yield bytes(-size % _BLOCK)


class _StoredGzip:
    """A gzip stream whose content is stored as it is."""

    def __init__(self, out: BinaryIO):
        self._out = out
        self._crc = 0
        self._size = 0
        out.write(_GZIP_HEAD)

    def write(self, content: bytes) -> None:
        self._crc = zlib.crc32(content, self._crc)
        self._size += len(content)
        for at in range(0, len(content), _STORED_BYTES):
            self._block(content[at : at + _STORED_BYTES], last=False)

    def finish(self) -> None:
        self._block(b"", last=True)
        self._out.write(struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))

    def _block(self, content: bytes, *, last: bool) -> None:
        length = len(content)
        self._out.write(struct.pack("<BHH", last, length, length ^ 0xFFFF))
        self._out.write(content)
