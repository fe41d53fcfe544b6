"""Compressed streams: standard, whatever the number of threads, and made of reusable blocks."""

from __future__ import annotations

import io
import lzma
import random
import subprocess
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard

from voidimg.disk.compress import (
    BLOCK_BYTES,
    Compression,
    compress_file,
    compressor,
    parse_compression,
)
from voidimg.errors import UsageError
from voidimg.events import Event, Progress
from voidimg.run import run

GZIP = Compression("gzip", 9)
XZ = Compression("xz", 0)
ZSTD = Compression("zstd", 1)


def compressed(
    parts: Iterable[bytes],
    compression: Compression,
    *,
    jobs: int = 1,
    cache: Path | None = None,
) -> bytes:
    """The whole stream for these writes."""
    out = io.BytesIO()
    with compressor(out, compression, jobs=jobs, block_cache=cache) as writer:
        for part in parts:
            writer.write(part)
    return out.getvalue()


def decompressed(stream: bytes, kind: str) -> bytes:
    """By the command of that kind."""
    return run([kind, "-dc"], stdin=stream).stdout


@pytest.fixture(scope="module")
def content() -> bytes:
    """Two blocks and a bit: text, zeros over a block's border, and noise."""
    text = b"".join(f"line {n}\n".encode() for n in range(200_000))
    noise = random.Random(1).randbytes(100_000)
    whole = text + noise + bytes(BLOCK_BYTES) + noise
    return whole + text * (1 + (2 * BLOCK_BYTES - len(whole)) // len(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", Compression("none", 0)),
        ("xz", Compression("xz", 9)),
        ("xz:0", Compression("xz", 0)),
        ("zstd", Compression("zstd", 19)),
        ("zstd:3", Compression("zstd", 3)),
    ],
)
def test_compressions_are_parsed(text: str, expected: Compression) -> None:
    """Kind, or kind and level; `str` gives a form that parses to the same."""
    assert parse_compression(text) == expected
    assert parse_compression(str(expected)) == expected


@pytest.mark.parametrize(
    "text", ["", "gzip", "xz:10", "zstd:0", "zstd:20", "none:1", "xz:", "xz:-1", "XZ", "xz:2 "]
)
def test_what_is_no_compression_is_refused(text: str) -> None:
    """The hint lists what is possible."""
    with pytest.raises(UsageError, match="is not a compression") as caught:
        parse_compression(text)
    assert "zstd:LEVEL" in (caught.value.hint or "")


def test_xz_is_one_standard_stream(content: bytes, tmp_path: Path) -> None:
    """`xz -t`, `xz --list`, many threads and Python's lzma all read it."""
    path = tmp_path / "x.xz"
    path.write_bytes(compressed([content], XZ))
    run(["xz", "-t", "-v", path])
    robot = run(["xz", "--list", "--robot", path]).stdout.decode().splitlines()[1].split("\t")
    assert robot[:3] == ["file", "1", "3"]  # one stream, three blocks
    assert robot[4] == str(len(content))
    assert robot[6] == "CRC64"
    assert run(["xz", "-dc", "-T2", path]).stdout == content
    assert lzma.decompress(path.read_bytes()) == content


def test_zstd_is_read_by_its_command_and_by_the_library(content: bytes) -> None:
    """Frames in a row are one stream."""
    stream = compressed([content], ZSTD)
    assert decompressed(stream, "zstd") == content
    reader = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)
    assert reader.read() == content


def test_gzip_is_one_member(content: bytes) -> None:
    """Some readers take the first of several for the whole file."""
    stream = compressed([content], GZIP, jobs=2)
    assert decompressed(stream, "gzip") == content
    inflater = zlib.decompressobj(wbits=31)
    assert inflater.decompress(stream) == content
    assert inflater.eof
    assert not inflater.unused_data
    assert stream[:10] == b"\x1f\x8b\x08" + bytes(5) + b"\x02\xff"  # no name, no time


@pytest.mark.parametrize("compression", [XZ, ZSTD, GZIP], ids=str)
def test_bytes_do_not_depend_on_threads_or_on_the_size_of_writes(
    content: bytes, compression: Compression
) -> None:
    """One write and one thread, or many of both."""
    parts = [content[at : at + 777_777] for at in range(0, len(content), 777_777)]
    assert compressed([content], compression) == compressed(parts, compression, jobs=3)


@pytest.mark.parametrize("compression", [XZ, ZSTD, GZIP, Compression("none", 0)], ids=str)
@pytest.mark.parametrize("size", [0, 1, 3, 4, 4097])
def test_small_and_empty_content(compression: Compression, size: int) -> None:
    """Nothing at all is a valid stream too."""
    stream = compressed([b"x" * size], compression)
    if compression.kind == "none":
        assert stream == b"x" * size
    else:
        assert decompressed(stream, compression.kind) == b"x" * size


def test_noise_is_stored(tmp_path: Path) -> None:
    """Content that cannot be compressed is kept whole, and the headers still agree."""
    noise = random.Random(2).randbytes(3_000_001)
    assert decompressed(compressed([noise], XZ), "xz") == noise


@pytest.mark.parametrize("compression", [XZ, ZSTD], ids=str)
def test_an_unchanged_block_is_not_compressed_again(
    content: bytes, compression: Compression, tmp_path: Path
) -> None:
    """The second run takes all from the cache; a change costs its own block only."""
    first = compressed([content], compression, cache=tmp_path)
    out = io.BytesIO()
    with compressor(out, compression, block_cache=tmp_path) as writer:
        writer.write(content)
    assert (out.getvalue(), writer.report.cached_bytes) == (first, len(content))
    changed = b"!" + content[1:]
    with compressor(io.BytesIO(), compression, block_cache=tmp_path) as writer:
        writer.write(changed)
    assert writer.report.cached_bytes == len(content) - BLOCK_BYTES


def test_blocks_that_end_at_boundaries_survive_a_shift(tmp_path: Path) -> None:
    """A byte more in the first of many parts costs the first block only."""
    noise = random.Random(3)
    parts = [noise.randbytes(1000) * 3000 for _ in range(12)]
    reports = []
    for first in (parts[0], parts[0] + b"!"):
        out = io.BytesIO()
        with compressor(out, ZSTD, block_cache=tmp_path) as writer:
            for part in (first, *parts[1:]):
                writer.write(part)
                writer.boundary()
        assert decompressed(out.getvalue(), "zstd") == b"".join((first, *parts[1:]))
        reports.append(writer.report)
    assert reports[1].content_bytes - reports[1].cached_bytes < BLOCK_BYTES


def test_another_level_does_not_use_the_same_blocks(tmp_path: Path) -> None:
    """Settings are part of the key."""
    compressed([b"abc" * 1000], XZ, cache=tmp_path)
    with compressor(io.BytesIO(), Compression("xz", 1), block_cache=tmp_path) as writer:
        writer.write(b"abc" * 1000)
    assert writer.report.cached_bytes == 0


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 500])
def test_a_damaged_cached_block_is_made_again(tmp_path: Path, damage: bytes) -> None:
    """A truncated or foreign file in the cache is not believed, and is replaced."""
    good = compressed([b"abc" * 1000], XZ, cache=tmp_path)
    (stored,) = (path for path in tmp_path.rglob("*") if path.is_file())
    stored.write_bytes(damage)
    assert compressed([b"abc" * 1000], XZ, cache=tmp_path) == good
    assert stored.stat().st_size > 500 or len(stored.read_bytes()) != len(damage)


def test_a_failed_write_leaves_the_stream_incomplete() -> None:
    """An exception inside the block never produces a stream that looks whole."""
    out = io.BytesIO()
    writer = compressor(out, XZ)
    with suppress(RuntimeError), writer:
        writer.write(b"abc")
        raise RuntimeError
    ended = subprocess.run(["xz", "-t"], input=out.getvalue(), capture_output=True)
    assert ended.returncode != 0


@pytest.mark.parametrize("compression", [XZ, ZSTD], ids=str)
def test_holes_give_the_same_bytes_as_zeros(compression: Compression, tmp_path: Path) -> None:
    """A sparse file and a full one compress to the same; progress reaches the size."""
    sparse, full = tmp_path / "sparse", tmp_path / "full"
    with sparse.open("wb") as file:
        file.write(b"begin")
        file.seek(3 * BLOCK_BYTES + 5)
        file.write(b"end")
        file.truncate(4 * BLOCK_BYTES + 100)
    full.write_bytes(sparse.read_bytes())
    results, events = [], list[Event]()
    for path in (sparse, full):
        out = io.BytesIO()
        report = compress_file(path, out, compression, jobs=2, listener=events.append)
        assert report.content_bytes == full.stat().st_size
        assert report.compressed_bytes == len(out.getvalue())
        results.append(out.getvalue())
    assert results[0] == results[1]
    assert decompressed(results[0], compression.kind) == full.read_bytes()
    assert events[-1] == Progress("compress", 4 * BLOCK_BYTES + 100, 4 * BLOCK_BYTES + 100, "bytes")


def test_tar_reads_a_tar_that_went_through(tmp_path: Path) -> None:
    """`tar xJ` takes the result for an ordinary tar.xz."""
    (tmp_path / "hello").write_text("world")
    path = tmp_path / "x.tar.xz"
    with path.open("wb") as out, compressor(out, XZ, jobs=2) as writer:
        writer.write(run(["tar", "-c", "hello"], cwd=tmp_path).stdout)
    assert run(["tar", "-xJOf", path, "hello"]).stdout == b"world"


def test_frames_of_zstd_do_not_state_a_size() -> None:
    """A one-shot decoder fails instead of giving the first frame only; one frame is read by all."""
    content = random.Random(1).randbytes(1000) * 40_000
    out = io.BytesIO()
    with compressor(out, parse_compression("zstd:1"), jobs=2) as writer:
        writer.write(content)
    with pytest.raises(zstandard.ZstdError, match="content size"):
        zstandard.ZstdDecompressor().decompress(out.getvalue())
    reader = zstandard.ZstdDecompressor().stream_reader(out.getvalue(), read_across_frames=True)
    assert reader.read() == content
    small = io.BytesIO()
    with compressor(small, parse_compression("zstd:1")) as writer:
        writer.write(b"small")
    assert zstandard.ZstdDecompressor().decompress(small.getvalue()) == b"small"
