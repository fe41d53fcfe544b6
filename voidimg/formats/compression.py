"""Decompression by content, bounded, that never takes a truncated stream for a whole one."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

from voidimg.errors import PackageError, StoreError
from voidimg.foreign import open_regular
from voidimg.formats import lz4, zstd_frames

MAX_BYTES = 16 * 2**30
"""Most bytes any archive is decompressed to unless the caller says otherwise."""
_CHUNK_BYTES = 128 * 1024
_WINDOW_BYTES = 128 * 2**20
"""Largest zstd window: what the zstd command accepts without being asked."""
_XZ_MEMORY_BYTES = 256 * 2**20
"""Enough for `xz -9`, which needs 65 MiB."""


class _Decoder(Protocol):
    """What decoded bytes are read from; short reads only at the end."""

    def read(self, size: int, /) -> bytes: ...


class Stream:
    """The decompressed bytes of a file, read forward in pieces of any size.

    Every error of the libraries below becomes a PackageError that names `where`.
    """

    def __init__(self, file: BinaryIO, *, where: str, max_bytes: int = MAX_BYTES):
        self.where = where
        self._file = file
        self._max_bytes = max_bytes
        self._made = 0
        self._buffer = b""
        self._position = 0
        try:
            self._decoder = _decoder(file)
        except OSError as error:
            raise _unreadable(where, error) from error
        except EOFError as error:
            raise _truncated(where) from error
        except ValueError as error:
            raise _damaged(where, error) from error

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only where the stream ends soundly.

        Raises:
            PackageError: the compressed bytes are damaged or truncated, or give too much.
        """
        end = self._position + size
        if end <= len(self._buffer):
            start, self._position = self._position, end
            return self._buffer[start:end]
        head = self._buffer[self._position :]
        if size >= _CHUNK_BYTES:
            self._buffer, self._position = b"", 0
            return head + self._decode(size - len(head))
        self._buffer = head + self._decode(_CHUNK_BYTES)
        self._position = min(size, len(self._buffer))
        return self._buffer[:size]

    def _decode(self, size: int) -> bytes:
        try:
            data = self._decoder.read(size)
        except EOFError as error:
            raise _truncated(self.where) from error
        except OSError as error:
            raise _unreadable(self.where, error) from error
        except (ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
            raise _damaged(self.where, error) from error
        self._made += len(data)
        if self._made > self._max_bytes:
            raise PackageError(
                f"the archive decompresses to more than {self._max_bytes} bytes",
                code="ARCHIVE-SIZE",
                where=self.where,
                hint="it was made to fill disks or memory",
            )
        return data

    def close(self) -> None:
        """Close the file below."""
        self._file.close()


def open_stream(path: Path, *, where: str | None = None, max_bytes: int = MAX_BYTES) -> Stream:
    """The decompressed bytes of the file `path`.

    Formats: zstd, gzip, bzip2, xz, lz4 and none of them, told by the first bytes.

    Raises:
        StoreError: the file cannot be opened.
        PackageError: it begins like a compressed file but is not a whole one.
    """
    try:
        file = open_regular(path, block_device=True)
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror}",
            code="IO",
            where=str(path),
            hint=getattr(error, "hint", None),
        ) from error
    try:
        return Stream(file, where=where or str(path), max_bytes=max_bytes)
    except BaseException:
        file.close()
        raise


def _decoder(file: BinaryIO) -> _Decoder:
    """The decoder for what `file` begins with; nothing recognised is not compressed."""
    head = file.read(6)
    file.seek(0)
    if zstd_frames.begins_like_zstd(head):
        # The library's reader takes a truncated frame for the end of the data.
        deque(zstd_frames.frames(file), maxlen=0)
        file.seek(0)
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
        return decompressor.stream_reader(file, read_across_frames=True, closefd=False)
    if head.startswith(b"\x1f\x8b"):
        return _Members(file, _Gzip, b"\x1f\x8b")
    if head.startswith(b"BZh"):
        return _Members(file, bz2.BZ2Decompressor, b"BZh")
    if head == b"\xfd7zXZ\0":
        return _Members(file, _xz, b"\xfd7zXZ\0")
    if head.startswith(lz4.MAGIC):
        return _Members(file, lz4.FrameDecompressor, lz4.MAGIC)
    if head.startswith(lz4.LEGACY_MAGIC):
        return _Blocks(lz4.legacy_blocks(file))
    return file


class _Inflater(Protocol):
    """The interface shared by the standard library's incremental decompressors."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


class _Gzip:
    """zlib's decompressor with the interface of the others."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def needs_input(self) -> bool:
        return not self._inflater.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inflater.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inflater.decompress(self._inflater.unconsumed_tail + data, max_length)


def _xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)


class _Members:
    """A file of one or more compressed members, as gzip, bzip2 and xz allow."""

    def __init__(self, file: BinaryIO, make: Callable[[], _Inflater], magic: bytes):
        self._file = file
        self._make = make
        self._magic = magic
        self._inflater = make()

    def read(self, size: int, /) -> bytes:
        pieces = []
        while size > 0 and (piece := self._piece(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _piece(self, size: int) -> bytes:
        """At least one and at most `size` bytes; nothing at the end."""
        data = b""
        while True:
            if self._inflater.eof:
                data = self._after_member()
                if not data:
                    return b""
                self._inflater = self._make()
            elif not data and self._inflater.needs_input:
                data = self._file.read(_CHUNK_BYTES)
                if not data:
                    raise EOFError("the compressed data ends too early")
            if piece := self._inflater.decompress(data, size):
                return piece
            data = b""

    def _after_member(self) -> bytes:
        """The first bytes of the next member; nothing at the end, which may be padded with NUL."""
        data = self._inflater.unused_data.lstrip(b"\0")
        while len(data) < len(self._magic) and (more := self._file.read(_CHUNK_BYTES)):
            data = (data + more).lstrip(b"\0")
        if data and not data.startswith(self._magic):
            raise ValueError("bytes after the end of the compressed data")
        return data


class _Blocks:
    """Reads of any size from decoded blocks."""

    def __init__(self, blocks: Iterator[bytes]):
        self._blocks = blocks
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        pieces = [self._rest]
        left = size - len(self._rest)
        while left > 0 and (block := next(self._blocks, None)) is not None:
            pieces.append(block)
            left -= len(block)
        whole = b"".join(pieces)
        self._rest = whole[size:]
        return whole[:size]


def _truncated(where: str) -> PackageError:
    return PackageError(
        "the archive is truncated",
        code="ARCHIVE-TRUNCATED",
        where=where,
        hint="fetch or copy the file again",
    )


def _damaged(where: str, error: Exception) -> PackageError:
    return PackageError(
        f"the archive is damaged: {error}",
        code="ARCHIVE-DAMAGED",
        where=where,
        hint="fetch or copy the file again",
    )


def _unreadable(where: str, error: OSError) -> PackageError | StoreError:
    # bz2 reports damaged data as an OSError without a number.
    if error.errno is None:
        return _damaged(where, error)
    return StoreError(f"cannot read {where}: {error.strerror}", code="IO", where=where)
