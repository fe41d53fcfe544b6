"""Reads initramfs images: archives one after the other, the first often not compressed.

The kernel takes any number of cpio archives, each compressed or not, with zeros between them
(kernel documentation, "initramfs buffer format"). An entry of a "newc" archive, all in ASCII::

    offset  size  field
    0       6     magic "070701" ("070702" with checksums)
    6       8     inode, and each of the following likewise in 8 hex digits:
    14            mode, owner, group, links, time, size, device (2), special device (2),
    94            size of the name with its closing zero, checksum
    110           name, zeros up to a multiple of 4; content, zeros up to a multiple of 4

The entry ``TRAILER!!!`` ends an archive.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Protocol

from voidimg.errors import LayoutError, PackageError
from voidimg.formats.compression import Stream
from voidimg.formats.entries import EntryKind, TreeEntry

MAX_DECODED_BYTES = 2 * 2**30
"""Most that an initramfs may decompress to; Void's have some 100 MiB."""

_HEADER_BYTES = 110
_HEADER = re.compile(rb"07070[12][0-9A-Fa-f]{104}")
_TRAILER = "TRAILER!!!"
_MAX_NAME_BYTES = 4096
_MAX_ENTRIES = 500_000
_MAX_NAMES_BYTES = 64 * 2**20
"""Most of all names and targets together; Void's have some 200 KiB."""
_MAX_KEPT_BYTES = 256 * 2**20
_SKIP_BYTES = 2**20
_MAX_ZEROS = 2**20
_NOT_ZERO = re.compile(rb"[^\0]")
_MAGICS = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x02\x21\x4c\x18": "lz4",
}
_KINDS: dict[int, EntryKind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
}


@dataclass(slots=True)
class Initramfs:
    """The files of an initramfs; paths are absolute.

    `compression` is that of the last part, `early` names the files of parts before it that are not
    compressed: microcode and tables for the kernel itself. `contents` has the wanted files only.
    """

    size_bytes: int
    compression: str = "none"
    early: tuple[str, ...] = ()
    entries: dict[str, TreeEntry] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


def decode_initramfs(
    content: bytes,
    wanted: Callable[[str], bool],
    where: str,
    *,
    max_bytes: int = MAX_DECODED_BYTES,
) -> Initramfs:
    """The files of the initramfs `content`; those whose path is `wanted` with their content.

    It may decompress to `max_bytes`.

    Raises:
        LayoutError: it is damaged or truncated, or decompresses to more than it may.
    """
    reader = _Reader(Initramfs(len(content)), wanted, where)
    source = BytesIO(content)
    try:
        while (begin := _NOT_ZERO.search(content, source.tell())) is not None:
            source.seek(begin.start())
            if _HEADER.match(content, begin.start()) is not None:
                reader.archive(source)
                continue
            rest = content[begin.start() :]
            reader.found.early = tuple(reader.found.entries)
            reader.found.compression = _compression(rest, where)
            stream = Stream(BytesIO(rest), where=where, max_bytes=max_bytes)
            reader.archives(stream)
            break
    except PackageError as error:
        raise _damaged(error.what, where) from error
    if not reader.found.entries:
        raise _damaged("it holds no files", where)
    return reader.found


def _compression(content: bytes, where: str) -> str:
    for magic, name in _MAGICS.items():
        if content.startswith(magic):
            return name
    raise _damaged("it is neither an archive nor compressed in a known way", where)


@dataclass(slots=True)
class _Reader:
    found: Initramfs
    wanted: Callable[[str], bool]
    where: str
    kept_bytes: int = 0
    seen: int = 0
    named_bytes: int = 0

    def archives(self, source: _Source) -> None:
        """All archives of `source`."""
        while (header := self._next_header(source)) is not None:
            self._entries(source, header)

    def archive(self, source: _Source) -> None:
        """The one archive at the beginning of `source`."""
        self._entries(source, source.read(_HEADER_BYTES))

    def _next_header(self, source: _Source) -> bytes | None:
        """The header after any zeros; None at the end."""
        passed = 0
        while word := source.read(4):
            if word.strip(b"\0"):
                return word + source.read(_HEADER_BYTES - len(word))
            passed += len(word)
            if passed > _MAX_ZEROS:
                raise _damaged(f"it has more than {_MAX_ZEROS} zeros after an archive", self.where)
        return None

    def _entries(self, source: _Source, header: bytes) -> None:
        for name, mode, size in _headers(source, header, self.where):
            path = "/" + name.removeprefix("./").strip("/")
            path = "/" if path == "/." else path
            kind = _KINDS.get(stat.S_IFMT(mode), "other")
            entry = TreeEntry(kind, stat.S_IMODE(mode), size if kind == "file" else 0)
            if kind == "symlink":
                text = self._content(source, min(size, _MAX_NAME_BYTES), size)
                entry = TreeEntry(kind, stat.S_IMODE(mode), target=_text(text))
            elif kind == "file" and self.wanted(path):
                self.kept_bytes += size
                if self.kept_bytes > _MAX_KEPT_BYTES:
                    raise _damaged("what is looked at in it fills memory", self.where)
                self.found.contents[path] = self._content(source, size, size)
            else:
                self._content(source, 0, size)
            if path != "/":
                self.found.entries[path] = entry
            self.seen += 1
            self.named_bytes += len(path) + len(entry.target)
            if self.seen > _MAX_ENTRIES:
                raise _damaged(f"it has more than {_MAX_ENTRIES} files", self.where)
            if self.named_bytes > _MAX_NAMES_BYTES:
                raise _damaged("the names of its files fill memory", self.where)

    def _content(self, source: _Source, kept: int, size: int) -> bytes:
        """The first `kept` bytes of a content of `size`, which is passed with its padding."""
        content = source.read(kept)
        left = size - len(content) + -size % 4
        while left > 0:
            passed = len(source.read(min(left, _SKIP_BYTES)))
            if not passed:
                raise _damaged("it ends within a file", self.where)
            left -= passed
        return content


def _headers(source: _Source, header: bytes, where: str) -> Iterator[tuple[str, int, int]]:
    """Name, mode and size of each entry; its content is read by who iterates."""
    while True:
        if _HEADER.fullmatch(header) is None:
            raise _damaged("an entry has no header", where)
        mode, size, name_bytes = (int(header[at : at + 8], 16) for at in (14, 54, 94))
        if not 1 < name_bytes <= _MAX_NAME_BYTES:
            raise _damaged(f"a name has {name_bytes} bytes", where)
        padded = name_bytes + -(_HEADER_BYTES + name_bytes) % 4
        raw = source.read(padded)
        if len(raw) < padded:
            raise _damaged("it ends within a name", where)
        name = _text(raw[: name_bytes - 1])
        if name == _TRAILER:
            return
        yield name, mode, size
        header = source.read(_HEADER_BYTES)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _damaged(why: str, where: str) -> LayoutError:
    return LayoutError(
        f"the initramfs is not sound: {why}", code="INITRAMFS", where=where,
        hint="the kernel would not find what it needs in it: build it again",
    )  # fmt: skip
