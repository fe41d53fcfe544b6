"""Compresses artifacts in independent blocks: the same bytes for any number of threads.

xz output is one standard stream of blocks (`voidimg.formats.xz_blocks`), gzip output one member of
them (`voidimg.formats.gzip_blocks`), for what others ask for in gzip; zstd output is a row of
frames, which the zstd command, tar, bsdtar and streaming readers take as one. A one-shot decoder
stops after the first frame, and would believe its size to be that of the file, so frames do not
state theirs: such a decoder fails. Output shorter than a block is one frame, and says its size.
A block depends on its content and the settings alone, so blocks are compressed side by side, and a
block seen before comes from the cache.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

from voidimg.disk.block_cache import BlockCache
from voidimg.errors import UsageError
from voidimg.events import Listener, Progress, ignore
from voidimg.formats import gzip_blocks, xz_blocks

BLOCK_BYTES = 16 * 2**20
"""Most content of one block: large for the sake of the ratio, small for that of the cache."""

_LEVELS = {"xz": range(10), "zstd": range(1, 20)}
_DEFAULT_LEVEL = {"xz": 9, "zstd": 19}
_COMPRESSION = re.compile(r"(none|xz|zstd)(?::(\d{1,2}))?")

Kind = Literal["none", "xz", "zstd", "gzip"]


@dataclass(frozen=True, slots=True)
class Compression:
    """A kind of compression and its level; `level` is 0 for ``none``."""

    kind: Kind
    level: int

    @property
    def suffix(self) -> str:
        """What is appended to the name of a file: ``.xz``, ``.zst`` or nothing."""
        return {"none": "", "xz": ".xz", "zstd": ".zst", "gzip": ".gz"}[self.kind]

    def __str__(self) -> str:
        """The form that `parse_compression` takes."""
        return self.kind if self.kind == "none" else f"{self.kind}:{self.level}"


GZIP = Compression("gzip", 9)
"""Of artifacts that others take in gzip only; users do not choose it."""


def parse_compression(text: str) -> Compression:
    """`text` as a compression: ``none``, ``xz``, ``xz:2``, ``zstd``, ``zstd:3``.

    Without a level it is xz 9 and zstd 19. Levels are 0 to 9 for xz and 1 to 19 for zstd.

    Raises:
        UsageError: an unknown kind or level.
    """
    match = _COMPRESSION.fullmatch(text)
    kind = match[1] if match else ""
    level = match[2] if match else None
    if kind == "none" and level is None:
        return Compression("none", 0)
    if kind == "xz" or kind == "zstd":
        chosen = _DEFAULT_LEVEL[kind] if level is None else int(level)
        if chosen in _LEVELS[kind]:
            return Compression("xz" if kind == "xz" else "zstd", chosen)
    raise UsageError(
        f"{text!r} is not a compression",
        code="COMPRESSION",
        where="--compression",
        hint="give none, xz, zstd, xz:LEVEL (0 to 9) or zstd:LEVEL (1 to 19)",
    )


@dataclass(frozen=True, slots=True)
class CompressionReport:
    """What was written: `cached_bytes` of the `content_bytes` were not compressed anew."""

    content_bytes: int
    compressed_bytes: int
    cached_bytes: int


@dataclass(frozen=True, slots=True)
class _Block:
    compressed: bytes
    content_bytes: int
    cached: bool


class CompressedWriter:
    """Takes bytes by `write` and puts them compressed into `out`; made by `compressor`.

    As a context manager it completes the stream, unless an exception passes through: then the
    stream stays visibly incomplete. `out` is not closed. About twice `jobs` blocks are in memory.
    """

    def __init__(self, out: IO[bytes], compression: Compression, jobs: int, cache: Path | None):
        self._out = out
        self._compression = compression
        self._settings = f"{compression} {BLOCK_BYTES} {_library_version(compression.kind)}"
        self._jobs = jobs
        self._cache = None if cache is None else BlockCache(cache)
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="compress")
        self._under_way: deque[Future[_Block]] = deque()
        self._filling = bytearray()
        self._records: list[xz_blocks.IndexRecord] = []
        self._zeros: Future[_Block] | None = None
        self._content_bytes = self._compressed_bytes = self._cached_bytes = 0
        self._blocks = 0
        self._pool_closed = False
        self._crc = 0
        if compression.kind in _BEGIN:
            self._put(_BEGIN[compression.kind])

    @property
    def report(self) -> CompressionReport:
        """What has been written so far; complete after `close`."""
        return CompressionReport(self._content_bytes, self._compressed_bytes, self._cached_bytes)

    def write(self, content: bytes | bytearray | memoryview) -> int:
        """Append `content`; returns its length."""
        view = memoryview(content).cast("B")
        if self._compression.kind == "none":
            self._content_bytes += len(view)
            self._put(view)
            return len(view)
        at = 0
        while at < len(view):
            piece = view[at : at + BLOCK_BYTES - len(self._filling)]
            self._filling += piece
            at += len(piece)
            if len(self._filling) == BLOCK_BYTES:
                self._finish_block()
        return len(view)

    def write_zero_block(self) -> bool:
        """Append a block of zeros without looking at it; False when one is half filled."""
        if self._filling or self._compression.kind == "none":
            return False
        self._submit(None)
        return True

    def boundary(self) -> None:
        """Say that a part ends here, such as the files of one package: a good end of a block.

        A block that is at least half full ends here. Then content that grows or shrinks early in
        the stream does not shift what every later block holds, and they come from the cache.
        """
        if len(self._filling) >= BLOCK_BYTES // 2:
            self._finish_block()

    def flush(self) -> None:
        """Nothing: a block is written when it is full."""

    def close(self) -> None:
        """Compress what is left and end the stream. Calling it again does nothing."""
        if self._pool_closed:
            return
        if self._compression.kind == "zstd" and not self._blocks:
            only = _compress_only_frame(bytes(self._filling), self._compression.level)
            self._content_bytes += len(self._filling)
            self._put(only)
        elif self._filling:
            self._finish_block()
        while self._under_way:
            self._collect()
        if self._compression.kind == "xz":
            self._put(xz_blocks.stream_end(self._records))
        if self._compression.kind == "gzip":
            self._put(gzip_blocks.member_end(self._crc, self._content_bytes))
        self.abort()

    def abort(self) -> None:
        """Stop the threads and leave the stream as it is."""
        self._under_way.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _finish_block(self) -> None:
        content = bytes(self._filling)
        self._filling.clear()
        self._submit(None if content == _ZEROS else content)

    def _submit(self, content: bytes | None) -> None:
        """Hand a block over for compression; None is a whole block of zeros."""
        while len(self._under_way) > self._jobs:
            self._collect()
        self._blocks += 1
        if self._compression.kind == "gzip":
            self._crc = gzip_blocks.checksum(_ZEROS if content is None else content, self._crc)
        if content is not None:
            self._under_way.append(self._pool.submit(self._compress, content))
            return
        if self._zeros is None:
            self._zeros = self._pool.submit(self._compress, _ZEROS)
        self._under_way.append(self._zeros)

    def _collect(self) -> None:
        block = self._under_way.popleft().result()
        if self._compression.kind == "xz":
            self._records.append(xz_blocks.record_of(block.compressed))
        self._content_bytes += block.content_bytes
        self._cached_bytes += block.content_bytes if block.cached else 0
        self._put(block.compressed)

    def _put(self, content: bytes | memoryview) -> None:
        self._out.write(content)
        self._compressed_bytes += len(content)

    def _compress(self, content: bytes) -> _Block:
        cache = self._cache
        if cache is not None:
            stored = cache.get(self._settings, content)
            if stored is not None:
                return _Block(stored, len(content), cached=True)
        compressed = _COMPRESS[self._compression.kind](content, self._compression.level)
        if cache is not None:
            cache.put(self._settings, content, compressed)
        return _Block(compressed, len(content), cached=False)


_ZEROS = bytes(BLOCK_BYTES)


def compressor(
    out: IO[bytes], compression: Compression, *, jobs: int = 1, block_cache: Path | None = None
) -> CompressedWriter:
    """A writable stream that puts what it is given into `out`, compressed.

    Args:
        out: where the compressed bytes go; stays open.
        compression: kind and level.
        jobs: threads; the bytes do not depend on it.
        block_cache: directory of compressed blocks (`BlockCache`); None compresses all anew.
    """
    return CompressedWriter(out, compression, jobs, block_cache)


def compress_file(
    source: Path,
    out: IO[bytes],
    compression: Compression,
    *,
    jobs: int = 1,
    block_cache: Path | None = None,
    listener: Listener = ignore,
    step: str = "compress",
) -> CompressionReport:
    """Compress the file `source` into `out`; holes of a sparse file are not read.

    Reports `Progress` of `step` in bytes.
    """
    writer = compressor(out, compression, jobs=jobs, block_cache=block_cache)
    with source.open("rb", buffering=0) as file, writer:
        total = os.fstat(file.fileno()).st_size
        for at, is_hole in _blocks_of(file, total):
            length = min(BLOCK_BYTES, total - at)
            if not (is_hole and length == BLOCK_BYTES and writer.write_zero_block()):
                writer.write(os.pread(file.fileno(), length, at))
            listener(Progress(step, at + length, total, "bytes"))
    return writer.report


def _blocks_of(file: IO[bytes], total: int) -> Iterator[tuple[int, bool]]:
    """The offset of each block, and whether the file has nothing stored for it."""
    next_stored = 0
    for at in range(0, total, BLOCK_BYTES):
        if next_stored <= at:
            try:
                next_stored = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing is stored from here to the end
                next_stored = total
        yield at, next_stored >= at + BLOCK_BYTES


def _compress_xz(content: bytes, level: int) -> bytes:
    return xz_blocks.compress_block(content, level, BLOCK_BYTES)


def _compress_zstd(content: bytes, level: int) -> bytes:
    import zstandard

    frame = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=False)
    return frame.compress(content)


def _compress_only_frame(content: bytes, level: int) -> bytes:
    """The one frame of output that is no longer than a block: it may say its size."""
    import zstandard

    return zstandard.ZstdCompressor(level=level, write_checksum=True).compress(content)


_COMPRESS: dict[str, Callable[[bytes, int], bytes]] = {
    "xz": _compress_xz,
    "zstd": _compress_zstd,
    "gzip": gzip_blocks.compress_block,
}
_BEGIN = {"xz": xz_blocks.STREAM_HEADER, "gzip": gzip_blocks.HEADER}


def library_versions() -> tuple[str, ...]:
    """The compressors of this installation; with another version an artifact may be another."""
    kinds: tuple[Kind, ...] = ("xz", "zstd", "gzip")
    return tuple(f"{kind} {_library_version(kind)}" for kind in kinds)


def _library_version(kind: Kind) -> str:
    """Which library compresses: another version may give other bytes, so it counts as a setting."""
    if kind == "gzip":
        return gzip_blocks.library_version()
    if kind == "zstd":
        import zstandard

        return ".".join(map(str, zstandard.ZSTD_VERSION)) + " without size"
    import _lzma

    try:
        version = ctypes.CDLL(_lzma.__file__).lzma_version_string
    except (AttributeError, OSError):  # liblzma is built in and keeps its name to itself
        return "unknown"
    version.restype = ctypes.c_char_p
    found: bytes = version()
    return found.decode()
