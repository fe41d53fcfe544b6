r"""Tar archives as XBPS writes them, read forward once, fast and without benefit of doubt.

tarfile takes three times as long and forgives much: what two readers could understand in two
ways is refused here. Read are POSIX ustar and pax headers (IEEE Std 1003.1-2017, "pax Interchange
Format") and GNU long names. A header block is::

    offset  size  field                 offset  size  field
    0       100   name                  257     6     magic "ustar\0" ("ustar " for GNU)
    100     8     mode, octal           263     2     version "00" (" \0" for GNU)
    108     8     uid, octal            265     32    uname
    116     8     gid, octal            297     32    gname
    124     12    size, octal           329     8     device major
    136     12    mtime, octal          337     8     device minor
    148     8     checksum, octal       345     155   prefix of the name
    156     1     type                  500     12    unused
    157     100   link name
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self, TypeAlias

from voidimg.errors import PackageError
from voidimg.formats.compression import MAX_BYTES, Stream, open_stream

Kind: TypeAlias = Literal[
    "file", "hardlink", "symlink", "character-device", "block-device", "directory", "fifo"
]
"""What a member is."""

CHUNK_BYTES = 2**20
"""Size of the pieces in which content is handed out."""

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_MAX_EXTENDED_BYTES = 2**20
_MAX_TRAILING_BYTES = 2**20
_USTAR_SIZE_LIMIT = 8**11
_OWNER_LIMIT = 2**32 - 1
_FIELDS = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s16x155s12x")
_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "character-device",
    b"4": "block-device",
    b"5": "directory",
    b"6": "fifo",
}
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_DECIMAL = re.compile(rb"[0-9]{1,20}")
_TIME = re.compile(rb"(-?)([0-9]{1,18})(?:\.([0-9]*))?")


class Member(NamedTuple):
    """One member of an archive.

    Text is decoded from UTF-8 with `surrogateescape`. `mode` has the twelve permission bits,
    `mtime_ns` is in nanoseconds since 1970, `size` in bytes (0 unless `kind` is file), `target`
    is the text of a symlink or the name of the member a hard link repeats.
    """

    name: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    uname: str
    gname: str
    mtime_ns: int
    size: int
    target: str

    @property
    def mtime(self) -> int:
        """Whole seconds since 1970, rounded down."""
        return self.mtime_ns // 10**9


class _Extended(NamedTuple):
    """What a pax header or GNU long names say about the member that follows."""

    path: bytes | None = None
    linkpath: bytes | None = None
    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    mtime_ns: int | None = None
    uname: bytes | None = None
    gname: bytes | None = None


_NOTHING = _Extended()


class TarReader:
    """The members of a decompressed tar archive, in order.

    Iterate over it, and for each member read its content, or not, before going on. The end of
    the archive is checked: it must be marked, and followed by nothing but zeros.
    """

    def __init__(self, stream: Stream):
        self.where = stream.where
        self._stream = stream
        self._left = 0
        self._padding = 0
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file below."""
        self._stream.close()

    def __iter__(self) -> Iterator[Member]:
        """Yield every member; raises PackageError at the first thing that is not sound."""
        while (member := self.next()) is not None:
            yield member

    def next(self) -> Member | None:
        """The next member, None at the end of the archive.

        Raises:
            PackageError: a header is malformed or ambiguous, or the archive is truncated.
        """
        self._skip()
        extended = _NOTHING
        while True:
            block = self._block()
            if block == _ZEROS:
                if extended is not _NOTHING:
                    raise self._malformed("an extended header describes no member")
                self._check_end()
                return None
            fields = self._fields(block)
            kind = fields[7]
            if kind in b"xLK":
                extended = self._extend(extended, kind, fields)
            else:
                return self._member(fields, extended)

    def read(self, limit: int) -> bytes:
        """The rest of the content of the current member, which must be at most `limit` bytes."""
        if self._left > limit:
            raise PackageError(
                f"a member of {self._left} bytes where at most {limit} make sense",
                code="ARCHIVE-SIZE",
                where=self.where,
            )
        data = self._exactly(self._left)
        self._left = 0
        return data

    def chunks(self, size: int = CHUNK_BYTES) -> Iterator[bytes]:
        """The rest of the content of the current member in pieces of at most `size` bytes."""
        while self._left:
            data = self._exactly(min(size, self._left))
            self._left -= len(data)
            yield data

    def _skip(self) -> None:
        for _ in self.chunks():
            pass
        if self._padding:
            self._exactly(self._padding)
            self._padding = 0

    def _block(self) -> bytes:
        """The next block, a header; a first one that is none is told from a truncated archive."""
        if self._begun:
            return self._exactly(_BLOCK)
        self._begun = True
        block = self._stream.read(_BLOCK)
        if block[257:262] == b"ustar" and len(block) < _BLOCK:
            raise self._truncated()
        if block[257:262] != b"ustar" and block != _ZEROS:
            raise PackageError(
                "not a tar archive",
                code="ARCHIVE-FORMAT",
                where=self.where,
                hint="expected POSIX tar, plain or in zstd, gzip, bzip2, xz or lz4",
            )
        return block

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) != size:
            raise self._truncated()
        return data

    def _check_end(self) -> None:
        """Read to the end of the stream, so that damage there is noticed too."""
        total = 0
        while data := self._stream.read(64 * 1024):
            total += len(data)
            if total > _MAX_TRAILING_BYTES or data.count(0) != len(data):
                raise self._malformed("something follows the end of the archive")

    def _fields(self, block: bytes) -> tuple[bytes, ...]:
        if block[257:263] not in (b"ustar\0", b"ustar "):
            raise self._malformed("a header without the mark of tar")
        # The checksum counts its own field as eight blanks.
        if sum(block) - sum(block[148:156]) + 256 != self._number(block[148:156], "checksum"):
            raise self._malformed("the checksum of a header does not fit")
        return _FIELDS.unpack(block)

    def _member(self, fields: tuple[bytes, ...], extended: _Extended) -> Member:
        name, mode, uid, gid, size, mtime, _, flag, link, _, uname, gname, prefix = fields
        kind = _KINDS.get(flag)
        if kind is None:
            raise self._malformed(f"a member of type {flag!r}, which XBPS does not use")
        gnu = fields[9].startswith(b"ustar ")
        length = self._size(size, extended.size)
        if kind != "file" and length:
            raise self._malformed(f"a {kind} with content")
        seconds = self._number(mtime, "time")
        self._left, self._padding = length, -length % _BLOCK
        path = extended.path
        if path is None:
            path = _text(name)
            if not gnu and (before := _text(prefix)):
                path = before + b"/" + path
        target = _text(link) if extended.linkpath is None else extended.linkpath
        return Member(
            _decoded(path),
            kind,
            self._number(mode, "mode") & 0o7777,
            self._owner(uid, extended.uid),
            self._owner(gid, extended.gid),
            _decoded(_text(uname) if extended.uname is None else extended.uname),
            _decoded(_text(gname) if extended.gname is None else extended.gname),
            seconds * 10**9 if extended.mtime_ns is None else extended.mtime_ns,
            length,
            _decoded(target) if kind in ("symlink", "hardlink") else "",
        )

    def _owner(self, field: bytes, extended: int | None) -> int:
        """A uid or gid, which must be one that Linux has; its last means "leave it" to chown."""
        number = self._number(field, "uid or gid") if extended is None else extended
        if number >= _OWNER_LIMIT:
            raise self._malformed(f"the owner {number}, which no file can have")
        return number

    def _size(self, field: bytes, extended: int | None) -> int:
        """The size of the content; an extended one may only say what the field cannot."""
        if extended is None:
            return self._number(field, "size")
        if extended < _USTAR_SIZE_LIMIT and extended != self._number(field, "size"):
            raise self._malformed("two different sizes of one member")
        return extended

    def _extend(self, known: _Extended, kind: bytes, fields: tuple[bytes, ...]) -> _Extended:
        """`known` with what the extended header that was just read adds."""
        size = self._number(fields[4], "size")
        if size > _MAX_EXTENDED_BYTES:
            raise self._malformed("an extended header of more than 1 MiB")
        content = self._exactly(size)
        self._exactly(-size % _BLOCK)
        new = self._pax(content) if kind == b"x" else self._long_name(content, kind)
        for one, other in zip(known, new, strict=True):
            if one is not None and other is not None:
                raise self._malformed("two extended headers say the same of one member")
        if known is not _NOTHING and kind == b"x":
            raise self._malformed("a pax header follows another extended header")
        return known._replace(
            **{key: value for key, value in new._asdict().items() if value is not None}
        )

    def _long_name(self, content: bytes, kind: bytes) -> _Extended:
        name = content.removesuffix(b"\0")
        if not name or b"\0" in name:
            raise self._malformed("a long name with a NUL, or none at all")
        return _Extended(path=name) if kind == b"L" else _Extended(linkpath=name)

    def _pax(self, content: bytes) -> _Extended:
        records = self._records(content)
        for key in records:
            if key.startswith(b"GNU.sparse"):
                raise self._malformed("a sparse file, which XBPS does not use")
        for key in (b"path", b"linkpath"):
            if key in records and (not records[key] or b"\0" in records[key]):
                raise self._malformed("a name with a NUL, or none at all")
        time = records.get(b"mtime")
        return _Extended(
            path=records.get(b"path"),
            linkpath=records.get(b"linkpath"),
            size=self._decimal(records.get(b"size")),
            uid=self._decimal(records.get(b"uid")),
            gid=self._decimal(records.get(b"gid")),
            mtime_ns=None if time is None else self._time(time),
            uname=records.get(b"uname"),
            gname=records.get(b"gname"),
        )

    def _records(self, content: bytes) -> dict[bytes, bytes]:
        """The records ``<length> <key>=<value><LF>`` of a pax header; each key once."""
        records: dict[bytes, bytes] = {}
        position = 0
        while position < len(content):
            space = content.find(b" ", position, position + 9)
            digits = content[position:space]
            length = int(digits) if space > 0 and _DECIMAL.fullmatch(digits) else 0
            record = content[space + 1 : position + length]
            key, equals, value = record.partition(b"=")
            if not equals or not key or position + length > len(content) or record[-1:] != b"\n":
                raise self._malformed("a damaged pax header")
            if key in records:
                raise self._malformed(f"a pax header that says {_decoded(key)!r} twice")
            records[key] = value[:-1]
            position += length
        return records

    def _decimal(self, value: bytes | None) -> int | None:
        if value is None:
            return None
        if not _DECIMAL.fullmatch(value) or int(value) >= 2**63:
            raise self._malformed(f"{value!r} in a pax header is not a number")
        return int(value)

    def _time(self, value: bytes) -> int:
        match = _TIME.fullmatch(value)
        if match is None:
            raise self._malformed(f"{value!r} in a pax header is not a time")
        nanoseconds = int(match[2]) * 10**9 + int((match[3] or b"0")[:9].ljust(9, b"0"))
        return -nanoseconds if match[1] else nanoseconds

    def _number(self, field: bytes, what: str) -> int:
        number = _number(field)
        if number < 0:
            raise self._malformed(f"a header with a {what} that is not a number")
        return number

    def _truncated(self) -> PackageError:
        return PackageError(
            "the archive is truncated",
            code="ARCHIVE-TRUNCATED",
            where=self.where,
            hint="fetch or copy the file again",
        )

    def _malformed(self, what: str) -> PackageError:
        return PackageError(
            f"malformed archive: {what}",
            code="ARCHIVE-MALFORMED",
            where=self.where,
            hint="it is damaged, hostile, or was not made by xbps-create",
        )


def open_archive(path: Path, *, where: str | None = None, max_bytes: int = MAX_BYTES) -> TarReader:
    """The archive `path`, however it is compressed; a context manager.

    Args:
        path: the file.
        where: what it is called in errors; its path by default.
        max_bytes: most bytes it may decompress to.

    Raises:
        StoreError: it cannot be read.
        PackageError: it is truncated or not compressed soundly.
    """
    return TarReader(open_stream(path, where=where, max_bytes=max_bytes))


@lru_cache(maxsize=4096)
def _number(field: bytes) -> int:
    """An octal field, or GNU's base 256 for what octal cannot hold; -1 if it is neither."""
    if field[0] == 0x80:
        number = int.from_bytes(field[1:], "big")
        return number if number < 2**63 else -1
    match = _OCTAL.fullmatch(field)
    return -1 if match is None else int(match[1] or b"0", 8)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
