"""Archives: bounded decompression of every format, and tar headers read with suspicion."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import random
import resource
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from voidimg.errors import PackageError, StoreError, ToolError
from voidimg.formats import lz4
from voidimg.formats.compression import Stream
from voidimg.formats.tar_reader import Member, TarReader, open_archive
from voidimg.xbps import tarwriter


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data)


FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
}
COMPRESSED = sorted(set(FORMATS) - {"none"})


def plain(data: bytes, max_bytes: int = 2**30, step: int = 100_000) -> bytes:
    stream = Stream(io.BytesIO(data), where="x", max_bytes=max_bytes)
    return b"".join(iter(lambda: stream.read(step), b""))


SAMPLE = random.Random(1).randbytes(200_000) + b"void" * 100_000
"""Incompressible and compressible, longer than any block."""


@pytest.mark.parametrize("kind", sorted(FORMATS))
@pytest.mark.parametrize("step", [1000, 131_072, 500_000, 10**7])
def test_every_format_is_told_by_its_content(kind: str, step: int) -> None:
    """Whole content, whatever the size of the reads."""
    assert plain(FORMATS[kind](SAMPLE), step=step) == SAMPLE


@pytest.mark.parametrize("kind", COMPRESSED)
def test_members_one_after_another_are_one_stream(kind: str) -> None:
    """As the command-line programs read them, and as parallel compressors write them."""
    one = FORMATS[kind]
    assert plain(one(SAMPLE) + one(b"") + one(b"end")) == SAMPLE + b"end"


@pytest.mark.parametrize("kind", COMPRESSED)
def test_every_truncated_stream_is_refused(kind: str) -> None:
    """Also one cut between two blocks, which python-zstandard takes for the end."""
    data = FORMATS[kind](SAMPLE)
    cuts = [
        *range(6, 60),
        *range(60, len(data), len(data) // 40 + 1),
        *range(len(data) - 20, len(data)),
    ]
    for size in cuts:
        with pytest.raises(PackageError) as caught:
            plain(data[:size])
        assert caught.value.code == "E-PACKAGE-ARCHIVE-TRUNCATED"


def test_a_zstd_frame_cut_between_blocks_is_refused() -> None:
    """Each boundary of blocks of an unchecked frame of unknown size."""
    compressor = zstandard.ZstdCompressor(level=1, write_content_size=False).compressobj()
    data = b"".join(
        compressor.compress(bytes([n]) * 1000) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        for n in range(5)
    )
    data += compressor.flush()
    assert len(plain(data)) == 5000
    for size in range(5, len(data)):
        with pytest.raises(PackageError, match="truncated"):
            plain(data[:size])


@pytest.mark.parametrize("kind", COMPRESSED)
def test_what_follows_the_data_is_refused(kind: str) -> None:
    """Two programs could disagree on whether it belongs to the archive."""
    with pytest.raises(PackageError) as caught:
        plain(FORMATS[kind](SAMPLE) + b"garbage behind the end")
    assert caught.value.code == "E-PACKAGE-ARCHIVE-DAMAGED"


@pytest.mark.parametrize("kind", COMPRESSED)
def test_damage_is_noticed(kind: str) -> None:
    """A flipped bit in the middle gives an error, not other content."""
    data = bytearray(FORMATS[kind](SAMPLE))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(PackageError):
        plain(bytes(data))


@pytest.mark.parametrize("kind", COMPRESSED)
def test_a_bomb_is_refused_in_little_memory(kind: str) -> None:
    """256 MiB of zeros behind a limit of 1 MiB: stopped there, without holding them."""
    chunk = FORMATS[kind](bytes(2**24))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PackageError) as caught:
        plain(chunk * 16, max_bytes=2**20)
    assert caught.value.code == "E-PACKAGE-ARCHIVE-SIZE"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_a_window_of_gigabytes_is_refused() -> None:
    """A frame header that asks for 2 GiB of memory is not obeyed."""
    header = b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + b"\x01\x00\x00"
    with pytest.raises(PackageError, match="damaged"):
        plain(header)


def test_lzma_alone_is_refused() -> None:
    """XBPS does not read it either."""
    with pytest.raises(PackageError) as caught:
        TarReader(Stream(io.BytesIO(lzma.compress(b"x", lzma.FORMAT_ALONE)), where="x")).next()
    assert caught.value.code == "E-PACKAGE-ARCHIVE-FORMAT"


# lz4: a frame of hand-made blocks, beside the recorded ones of libarchive in test_binpkg.

HEADER_CHECKS = {0b01100000: 0x82, 0b01100100: 0xA7, 0b01100001: 0xA1}
"""The check byte of a frame header by its flags, for blocks of 64 KiB."""


def frame(*blocks: bytes, flags: int = 0b01100000, tail: bytes = b"") -> bytes:
    parts = [len(block).to_bytes(4, "little") + block for block in blocks]
    head = lz4.MAGIC + bytes((flags, 0x40, HEADER_CHECKS[flags]))
    return head + b"".join(parts) + bytes(4) + tail


@pytest.mark.parametrize(
    ("block", "content"),
    [
        (b"\x30abc", b"abc"),
        (b"\x13a\x01\x00\x50bcdef", b"a" * 8 + b"bcdef"),
        (b"\x32abc\x03\x00\x50defgh", b"abcabcabcdefgh"),
        (b"\x1fa\x01\x00\x05\x50bcdef", b"a" * 25 + b"bcdef"),
        (b"\xf0\x01" + b"x" * 16, b"x" * 16),
    ],
)
def test_lz4_blocks(block: bytes, content: bytes) -> None:
    """Literals, overlapping matches, and lengths of more than four bits."""
    assert plain(frame(block)) == content


@pytest.mark.parametrize(
    "data",
    [
        frame(b"\x13a\x02\x00\x00"),
        frame(b"\x13a\x00\x00\x00"),
        frame(b"\x1fa\x01\x00" + b"\xff" * 70_000 + b"\x00\x00"),
        frame(b"\xf0\xff"),
        frame(b"\x13a"),
        frame(b"\x50abc"),
        frame(b"\x30abc", flags=0b01100100, tail=bytes(4)),
        frame(b"\x30abc", flags=0b01100001),
        frame(b"\x30abc")[:-4] + b"\xff\xff\xff\x7f",
        frame(b"\x30abc") + b"junk",
        frame(b"\x30abc").replace(b"\x60\x40", b"\x60\x50"),
        b"\x02\x21\x4c\x18" + bytes(600),
    ],
)
def test_damaged_lz4_is_refused(data: bytes) -> None:
    """Reaching back too far, too long, cut off, wrong checksums, the legacy format."""
    with pytest.raises(PackageError):
        TarReader(Stream(io.BytesIO(data), where="x")).next()


@pytest.mark.parametrize("head", [lz4.MAGIC, lz4.LEGACY_MAGIC])
def test_without_its_library_lz4_is_an_error(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("lz4.frame", "lz4.block"):
        monkeypatch.setitem(sys.modules, part, None)
    with pytest.raises(ToolError) as caught:
        plain(head + bytes(20))
    assert caught.value.code == "E-TOOL-LIBRARY"
    assert "voidimg[lz4]" in str(caught.value)


# Tar headers.


def members(data: bytes) -> list[tuple[Member, bytes]]:
    reader = TarReader(Stream(io.BytesIO(data), where="x"))
    return [(member, b"".join(reader.chunks())) for member in reader]


def block(name: str = "./f", flag: str = "0", **changes: bytes) -> bytes:
    """A header of ours with raw fields changed and the checksum made right again."""
    raw = bytearray(tarwriter.header(name, "0", mode=0o644))
    places = {"size": 124, "mtime": 136, "mode": 100, "uid": 108, "magic": 257, "link": 157}
    for field, value in changes.items():
        raw[places[field] : places[field] + len(value)] = value
    raw[156:157] = flag.encode()
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def pax(*records: bytes, flag: str = "x") -> bytes:
    content = b"".join(records)
    return block(flag=flag, size=b"%011o " % len(content)) + tarwriter.padded(content)


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    while len(b"%d" % length) + len(key) + len(value) + 3 != length:
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def archive(*parts: bytes) -> bytes:
    return b"".join(parts) + tarwriter.END


def tarfile_archive(format: int, *entries: tarfile.TarInfo) -> bytes:  # noqa: A002
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for entry in entries:
            tar.addfile(entry, io.BytesIO(b"x" * entry.size))
    return out.getvalue()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_other_writers_are_read(form: int) -> None:
    """ustar, pax and GNU tar with names and numbers that stretch each."""
    names = ["./f", "./" + "d/" * 60 + "f", "./" + "n" * 95]
    if form != tarfile.USTAR_FORMAT:
        names += ["./" + "n" * 250, "./ü" + "x" * 120]
    entries = []
    for name in names:
        entry = tarfile.TarInfo(name)
        entry.mode, entry.uid, entry.gid, entry.mtime, entry.size = 0o4711, 101, 102, 7, 1000
        entry.uname, entry.gname = "someone", "some"
        entries.append(entry)
    link = tarfile.TarInfo("./l")
    link.type, link.linkname = tarfile.SYMTYPE, "t" * (90 if form == tarfile.USTAR_FORMAT else 300)
    found = members(tarfile_archive(form, *entries, link))
    for entry, (member, content) in zip(entries, found, strict=False):
        assert member == Member(
            entry.name, "file", 0o4711, 101, 102, "someone", "some", 7 * 10**9, 1000, ""
        )
        assert content == b"x" * 1000
    assert (found[-1][0].kind, found[-1][0].target) == ("symlink", link.linkname)


def test_numbers_beyond_octal() -> None:
    """GNU's base 256 and pax records: large owners, fractional and early times."""
    data = archive(
        block(uid=b"\x80" + (5_000_000).to_bytes(7, "big")),
        pax(record(b"uid", b"7000000"), record(b"mtime", b"-1.5"), record(b"comment", b"hi")),
        block("./g"),
    )
    [(first, _), (second, _)] = members(data)
    assert first.uid == 5_000_000
    assert (second.uid, second.mtime_ns, second.mtime) == (7_000_000, -1_500_000_000, -2)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (archive(block())[:-1024], "truncated"),
        (archive(block(size=b"00000003000 ")), "truncated"),
        (archive(block(size=b"77777777777 ")), "truncated"),
        (archive(block(size=b"\x80" + (10 * 2**30).to_bytes(11, "big"))), "truncated"),
        (archive(block(size=b"\xff" * 12)), "not a number"),
        (archive(block(size=b"-0000000001 ")), "not a number"),
        (archive(block(size=b"0000_000001 ")), "not a number"),
        (archive(block(size=b"00000000x01 ")), "not a number"),
        (archive(block(mode=b"0o00644\0")), "not a number"),
        (archive(block()[:100] + b"1" + block()[101:]), "checksum"),
        (archive(block(), block(magic=bytes(8))), "mark of tar"),
        (archive(block()) + b"x", "follows the end"),
        (archive(block()) + bytes(512) + block(), "follows the end"),
        (archive(block(flag="2", size=b"00000000001 "), bytes(512)), "with content"),
        (archive(block(flag="1", size=b"00000000001 "), bytes(512)), "with content"),
        (archive(block(flag="5", size=b"00000000001 "), bytes(512)), "with content"),
        (archive(block(flag="S")), "type"),
        (archive(block(flag="D")), "type"),
        (archive(block(flag="V")), "type"),
        (archive(block(flag="7")), "type"),
        (archive(pax(record(b"path", b"./x"), flag="g"), block()), "type"),
        (archive(pax(record(b"GNU.sparse.major", b"1")), block()), "sparse"),
        (archive(pax(record(b"GNU.sparse.realsize", b"1")), block()), "sparse"),
        (archive(pax(record(b"size", b"5")), block(), bytes(512)), "two different sizes"),
        (archive(pax(record(b"size", b"-1")), block()), "not a number"),
        (archive(pax(record(b"size", b"99999999999999999999")), block()), "not a number"),
        (archive(pax(record(b"size", b"10000000000")), block()), "truncated"),
        (archive(pax(record(b"path", b"./a\0b")), block()), "NUL"),
        (archive(pax(record(b"path", b"")), block()), "none at all"),
        (archive(pax(record(b"linkpath", b"a\0")), block(flag="2")), "NUL"),
        (archive(pax(record(b"path", b"a"), record(b"path", b"b")), block()), "twice"),
        (archive(pax(record(b"mtime", b"now")), block()), "not a time"),
        (archive(pax(b"5 a=b\n"), block()), "damaged pax"),
        (archive(pax(b"99 a=b\n"), block()), "damaged pax"),
        (archive(pax(b"0 a=b\n"), block()), "damaged pax"),
        (archive(pax(b"6 abcd\n"), block()), "damaged pax"),
        (archive(pax(b" 6 a=b\n"), block()), "damaged pax"),
        (archive(pax(b"\0" * 20), block()), "damaged pax"),
        (archive(pax(record(b"path", b"a")), pax(record(b"path", b"b")), block()), "say the same"),
        (archive(pax(record(b"uid", b"1")), pax(record(b"gid", b"1")), block()), "another"),
        (archive(pax(b"./a\0", flag="L"), pax(record(b"path", b"./b")), block()), "say the same"),
        (archive(pax(b"./a\0b\0", flag="L"), block()), "NUL"),
        (archive(pax(b"", flag="L"), block()), "none at all"),
        (archive(pax(record(b"path", b"./a"))), "describes no member"),
        (pax(record(b"path", b"./a")), "truncated"),
        (block(flag="x", size=b"00010000000 ") + bytes(2**21), "1 MiB"),
    ],
)  # fmt: skip
def test_ambiguous_and_hostile_headers_are_refused(data: bytes, words: str) -> None:
    """Each shape is named; nothing is guessed."""
    with pytest.raises(PackageError, match=words):
        members(data)


def test_a_claimed_size_costs_nothing() -> None:
    """A header that claims 10 GB with nothing behind it is refused at once, in little memory."""
    data = archive(pax(record(b"size", b"10000000000")), block())
    started = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PackageError, match="truncated"):
        for _ in TarReader(Stream(io.BytesIO(zstd(data)), where="x")):
            pass
    assert time.monotonic() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024


def test_reading_more_than_makes_sense_is_refused() -> None:
    """The limit of a read is checked before anything is read."""
    reader = TarReader(Stream(io.BytesIO(archive(block(size=b"00000010000 "))), where="x"))
    reader.next()
    with pytest.raises(PackageError) as caught:
        reader.read(100)
    assert caught.value.code == "E-PACKAGE-ARCHIVE-SIZE"


def test_content_may_be_left_unread_or_half_read() -> None:
    """The next member begins where it begins."""
    first = tarwriter.header("./a", "0", mode=0, size=700) + tarwriter.padded(b"a" * 700)
    second = tarwriter.header("./b", "0", mode=0, size=3) + tarwriter.padded(b"bbb")
    reader = TarReader(Stream(io.BytesIO(archive(first, first, second)), where="x"))
    reader.next()
    reader.next()
    assert next(reader.chunks(10)) == b"a" * 10
    assert (member := reader.next()) is not None
    assert (member.name, reader.read(3)) == ("./b", b"bbb")
    assert reader.next() is None


def test_files_and_directories_that_are_no_archives(tmp_path: Path) -> None:
    """A missing file is a StoreError; a directory, an empty file and a text are named too."""
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").touch()
    for name in ("none", ""):
        with pytest.raises(StoreError):
            open_archive(tmp_path / name)
    for name in ("text", "empty"):
        with open_archive(tmp_path / name) as reader, pytest.raises(PackageError) as caught:
            reader.next()
        assert caught.value.code == "E-PACKAGE-ARCHIVE-FORMAT"


def test_no_file_stays_open(tmp_path: Path) -> None:
    """Refused archives are closed (warnings about open files would fail this test too)."""
    path = tmp_path / "bad"
    path.write_bytes(zstd(SAMPLE)[:-5])
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(PackageError):
        open_archive(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_headers_of_30000_members_are_read_quickly() -> None:
    """As many as a rootfs with a desktop has."""
    one = tarwriter.header("./usr/share/doc/file", "0", mode=0o644, size=100) + bytes(512)
    data = one * 30_000 + tarwriter.END
    started = time.process_time()
    assert sum(1 for _ in TarReader(Stream(io.BytesIO(data), where="x"))) == 30_000
    assert time.process_time() - started < 2


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_archives_never_raise_anything_else(data: st.DataObject) -> None:
    """Whatever bytes are changed: members or a PackageError."""
    raw = bytearray(
        archive(
            pax(record(b"path", b"./long"), record(b"mtime", b"1.5")),
            block(size=b"00000000005 "),
            tarwriter.padded(b"hello"),
            pax(b"./gnu\0", flag="L"),
            block(flag="2", link=b"target"),
        )
    )
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        raw = bytearray(FORMATS[data.draw(st.sampled_from(COMPRESSED))](bytes(raw)))
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(0, 255))
    with contextlib.suppress(PackageError):
        members(bytes(raw))
