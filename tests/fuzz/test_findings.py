"""What fuzzing, and looking for trouble by hand, has found: each by name.

Time is bounded by the input's size here: what took minutes or gigabytes must take a blink.
"""

from __future__ import annotations

import io
import json
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import zstandard

from tests.command import voidimg
from tests.fuzz.installing import unpack_package
from tests.fuzz.scratch import with_tar_checksums
from tests.fuzz.targets import refusing
from voidimg.catalog.catalog import Catalog
from voidimg.errors import CollectedError, LayoutError, PackageError, SpecError, VerifyError
from voidimg.formats.compression import Stream
from voidimg.formats.fat import read_fat
from voidimg.formats.lz4 import MAGIC
from voidimg.formats.partition_table import blank_crc, read_table
from voidimg.formats.qcow2 import stored_clusters
from voidimg.formats.tar_reader import TarReader
from voidimg.inspection.squashfs_files import listed
from voidimg.inspection.tree_files import TarFiles
from voidimg.signing.keys import read_public_key
from voidimg.signing.sums import decode_sums
from voidimg.spec.tree import parse_document
from voidimg.supply.lock import Lock
from voidimg.tree.tree import Tree
from voidimg.xbps import config, pattern, plist, tarwriter
from voidimg.xbps.install.alternatives import parse_link
from voidimg.xbps.install.file_plan import Change, plan_files
from voidimg.xbps.package.agreement import require_identity
from voidimg.xbps.package.file_list import Kind, Listed, decode_list
from voidimg.xbps.package.reader import MAX_DEPTH, BinaryPackage
from voidimg.xbps.repository.repodata import Repodata

SECONDS = 5.0
"""Far above what a sound reader needs, far below what the broken ones took."""
MEMORY_BYTES = 64 * 2**20


@contextmanager
def cheaply() -> Iterator[None]:
    """The block must not take long."""
    start = time.process_time()
    yield
    assert time.process_time() - start < SECONDS


@contextmanager
def in_little_memory() -> Iterator[None]:
    """The block must not allocate much at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece", ["[", "[:", "[!", "[\\]", "[a-"])
def test_a_row_of_open_brackets_takes_linear_time(piece: str) -> None:
    """Each ``[`` was searched to the end of the pattern for its ``]``."""
    with cheaply():
        assert not pattern.matches("foo-1.0_1", piece * 20_000)


@pytest.mark.parametrize(
    ("glob", "text"),
    [("[[a]", "["), ("[[a]", "a"), ("[a[b]", "b"), ("[[:digit:]", "[d"), ("[\\][x]", "x")],
)
def test_brackets_within_open_brackets_mean_what_they_did(glob: str, text: str) -> None:
    """What one search found open may still be closed for a bracket further on."""
    assert pattern.glob_matches(text, glob)


def test_blanks_in_configuration_lines_take_linear_time() -> None:
    """A regular expression tried every division of the blanks."""
    with cheaply():
        assert config.parse_line(" " * 200_000 + "a" + " " * 200_000 + "b") is None
        assert config.parse_line("repository = x" + " \f" * 100_000 + "y") is not None


@pytest.mark.parametrize("url", ["http://[::1", "http://[x]y/", "//[/"])
def test_a_malformed_repository_url_is_an_error_in_words(url: str) -> None:
    """urllib's ValueError came out."""
    with pytest.raises(PackageError, match="not a URL"):
        config.remote_directory(url)


def test_small_lz4_blocks_take_linear_time() -> None:
    """Every block was appended to all that had been read so far."""
    head = MAGIC + bytes((0x40, 0x40, 0xC0))
    data = head + (struct.pack("<I", 0x80001000) + bytes(4096)) * 8192 + bytes(4)
    with cheaply():
        assert len(Stream(io.BytesIO(data), where="x").read(2**26)) == 2**25


@pytest.mark.parametrize("sector", [2**64 - 1, 2**63, 2**55, 2**54, 2**40])
def test_a_gpt_whose_table_lies_nowhere_is_damaged(tmp_path: Path, sector: int) -> None:
    """Python refused to seek there with a ValueError."""
    boot, header = bytearray(512), bytearray(512)
    boot[510:] = b"\x55\xaa"
    struct.pack_into("<B3xB3xII", boot, 446, 0, 0xEE, 1, 1)
    header[:8] = b"EFI PART"
    struct.pack_into("<I", header, 12, 92)
    struct.pack_into("<QIII", header, 72, sector, 1, 128, 0)
    struct.pack_into("<I", header, 16, zlib.crc32(blank_crc(bytes(header[:92]))))
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(boot) + bytes(header) + bytes(4096))
    with pytest.raises(LayoutError, match="outside of the image"):
        read_table(image)


@pytest.mark.parametrize("clusters", [60_000, 400_000_000])
def test_free_clusters_are_counted_in_little_memory(tmp_path: Path, clusters: int) -> None:
    """The whole table was read, and one that is mostly a hole in a file can be of any size."""
    fat_sectors = 16_384
    sectors = clusters + 1 + fat_sectors
    boot = bytearray(512)
    boot[0], boot[510:] = 0xEB, b"\x55\xaa"
    struct.pack_into("<HBHBHH", boot, 11, 512, 1, 1, 1, 0, 0)
    struct.pack_into("<H4xIII", boot, 22, 0, 0, sectors, fat_sectors)
    path = tmp_path / "fat.img"
    with path.open("wb+") as image, in_little_memory(), cheaply():
        image.write(boot)
        image.truncate(sectors * 512)
        fat = read_fat(image, 0, sectors * 512)
    assert fat is not None
    assert fat.clusters == clusters
    assert fat.free_clusters == min(clusters, fat_sectors * 128 - 2)


def test_millions_of_wrong_lines_are_not_all_remembered() -> None:
    """Each line of a checksum file became an error, of which twenty were shown."""
    with in_little_memory(), pytest.raises(CollectedError) as caught:
        decode_sums(b"a" + b"\n" * 200_000, "sums")
    assert len(caught.value.errors) == 20
    with pytest.raises(VerifyError):
        decode_sums(b"a\n", "sums")


@pytest.mark.parametrize("name", [".", "..", "a\x1b[2J", "a\x07"])
def test_sums_of_no_file_are_wrong_lines(name: str) -> None:
    """Names that mean a directory, or that steer a terminal, were taken."""
    with pytest.raises(VerifyError, match="not a line"):
        decode_sums(f"SHA256 ({name}) = {'0' * 64}\n".encode(), "sums")


@pytest.mark.parametrize("written", ["line", "file", "bare file"])
def test_what_only_looks_like_a_minisign_key_is_an_error_in_words(
    tmp_path: Path, written: str
) -> None:
    """The library's ParseError came out, or the key was said not to be the key that it is."""
    line = "RW" + "A" * 54
    path = tmp_path / "x.pub"
    path.write_text(line if written == "bare file" else f"untrusted comment: x\n{line}\n")
    with pytest.raises(VerifyError, match="it is some other text"):
        read_public_key(line if written == "line" else path)


@pytest.mark.parametrize("number", ["0x" + "f" * 50_000, "0b" + "1" * 50_000, "9" * 30])
def test_giant_integers_in_documents_are_errors_in_words(number: str) -> None:
    """Python reads hexadecimal of any length and then refuses to print it."""
    with pytest.raises(SpecError, match="too long"):
        parse_document(f"schema = {number}\n", "x.toml")


def test_keys_of_thousands_of_parts_are_refused_before_they_are_read() -> None:
    """Time and memory grew with the square of the number of parts."""
    for key in ("a." * 20_000 + "a", "'a' . " * 20_000 + "a"):
        with cheaply(), pytest.raises(SpecError, match="too deep"):
            parse_document(f"{key} = 1\n", "x.toml")
    with cheaply():
        parse_document(f'a = "{"x" * 500_000}"\nb = 1\n', "x.toml")


def test_nul_in_a_document_is_an_error_in_words(tmp_path: Path) -> None:
    """As the path of a parent it became a ValueError of the operating system's interface."""
    path = tmp_path / "x.toml"
    path.write_text('schema = 1\nkind = "profile"\nextends = "./a\\u0000b.toml"\n')
    (error,) = Catalog().check_files([path])
    assert error.code == "E-SPEC-NUL"


@pytest.mark.parametrize(
    "pkgver", ["foo-1/../../etc/x_1", "a/b-1.0_1", "foo-1.0/_1", "../foo-1.0_1"]
)
def test_a_slash_in_a_pkgver_is_refused(pkgver: str) -> None:
    """The version is part of file names: of packages, and of ``.new-<version>`` in the tree."""
    props: plist.PlistDict = {"pkgver": pkgver, "architecture": "noarch"}
    with pytest.raises(PackageError):
        require_identity(props, "x86_64", where="x")
    document = plist.encode({pkgver.rpartition("-")[0]: {**props}})
    index = tarwriter.file_header("index.plist", len(document)) + tarwriter.padded(document)
    meta = tarwriter.file_header("index-meta.plist", 0)
    with pytest.raises(PackageError, match="file name"):
        Repodata.decode(index + meta + tarwriter.END, "x")


def pax(key: str, value: bytes) -> bytes:
    """A pax header with one record."""
    body = b" %b=%b\n" % (key.encode(), value)
    length = len(body) + 2
    while len(b"%d" % length) + len(body) != length:
        length += 1
    content = b"%d%b" % (length, body)
    header = bytearray(tarwriter.file_header("pax", len(content)))
    header[156:157] = b"x"
    return bytes(header) + tarwriter.padded(content)


@pytest.mark.parametrize("owner", [2**32 - 1, 2**32, 2**62])
@pytest.mark.parametrize("key", ["uid", "gid"])
def test_owners_that_linux_does_not_have_are_refused(key: str, owner: int) -> None:
    """chown of them was an OverflowError, or left the owner as it was."""
    data = pax(key, b"%d" % owner) + tarwriter.file_header("./a", 0) + tarwriter.END
    with pytest.raises(PackageError, match="owner"):
        list(TarReader(Stream(io.BytesIO(with_tar_checksums(data)), where="x")))


def test_paths_of_thousands_of_directories_are_refused() -> None:
    """Making them one within the other ended Python's recursion."""
    refused = []

    @contextmanager
    def told() -> Iterator[None]:
        with pytest.raises(PackageError) as caught:
            yield
        refused.append(caught.value.code)

    path = b"./" + b"a/" * 2000 + b"a"
    member = pax("path", path) + tarwriter.file_header("x", 0) + tarwriter.END
    unpack_package(with_tar_checksums(member), told)
    assert refused == ["E-PACKAGE-LIST-PATH"]


def test_directories_of_usual_depth_are_made() -> None:
    """The limit on depth leaves room above anything that packages have."""
    path = b"./" + b"a/" * (MAX_DEPTH - 1) + b"a"
    member = pax("path", path) + tarwriter.file_header("x", 0) + tarwriter.END
    unpack_package(with_tar_checksums(member), refusing)


def deep_names(count: int) -> Iterator[str]:
    """Names of 4 KB that have no directory in common."""
    return (f"/{number:08}" + ("/" + "d" * 31) * (MAX_DEPTH - 2) for number in range(count))


def test_deep_directories_of_a_payload_are_not_all_remembered() -> None:
    """Each name brought hundreds of kilobytes of parent directories."""
    props = plist.encode(
        {"pkgname": "a", "version": "1_1", "pkgver": "a-1_1", "architecture": "noarch"}
    )
    files = plist.encode({})
    metadata = {"./props.plist": props, "./files.plist": files}
    data = b"".join(
        tarwriter.file_header(name, len(content)) + tarwriter.padded(content)
        for name, content in metadata.items()
    )
    for name in deep_names(700):
        data += pax("path", b"." + name.encode()) + tarwriter.file_header("x", 0)
    stream = Stream(io.BytesIO(with_tar_checksums(data + tarwriter.END)), where="x")
    with pytest.raises(PackageError, match="too many"):
        list(BinaryPackage(TarReader(stream)).members())


def test_deep_directories_of_file_lists_are_not_all_remembered(tmp_path: Path) -> None:
    """Nor may the plan of a transaction remember them."""
    listed = tuple(Listed(name, Kind.FILE, "0" * 64) for name in deep_names(1300))
    change = Change("a", "a-1_1", listed, None, preserve=False)
    with Tree(tmp_path) as tree, pytest.raises(PackageError, match="too many"):
        plan_files(tree, [change])


def test_names_in_a_tar_are_not_all_remembered(tmp_path: Path) -> None:
    """Looking into a tar kept every name, and a name can be a compressed megabyte of one letter."""
    path = tmp_path / "x.tar.zst"
    compressor = zstandard.ZstdCompressor(level=1)
    member = with_tar_checksums(pax("path", b"a" * (2**20 - 30)) + tarwriter.file_header("x", 0))
    with path.open("wb") as file, compressor.stream_writer(file, closefd=False) as out:
        for _ in range(130):
            out.write(member)
        out.write(tarwriter.END)
    with pytest.raises(LayoutError, match="fill memory"):
        TarFiles.of(path, ())


def test_files_that_are_not_extracted_take_linear_time() -> None:
    """Each was compared with all that were still to come, for a hard link might need it."""
    payload = b"".join(
        tarwriter.file_header(f"./man/{number}", 8) + tarwriter.padded(b"%08d" % number)
        for number in range(12_000)
    )
    with cheaply():
        unpack_package(payload + tarwriter.END, refusing, noextract=("/man/*",))


def test_many_repositories_take_linear_time() -> None:
    """Each was looked for among all before it."""
    text = "".join(f"repository={number}\n" for number in range(100_000))
    with cheaply():
        found = config.parse_files({"/etc/xbps.d/a.conf": text + "repository=0\nrepository=\n"})
    assert len(found.repositories) == 100_001


def lock_of(packages: str) -> bytes:
    """A lock file with these rows of packages."""
    return b'{"schema": 1, "repositories": [], "platforms": [], "packages": [%b]}' % (
        packages.encode()
    )


@pytest.mark.parametrize("pkgver", ["a-1/../../b_1", "a/../b-1.0_1", "/a-1.0_1"])
def test_a_slash_in_a_locked_pkgver_is_refused(pkgver: str) -> None:
    """The file name of the package is made of it."""
    row = {
        "group": 0,
        "pkgver": pkgver,
        "arch": "x86_64",
        "repository": 0,
        "size": 1,
        "sha256": "0" * 64,
        "stage": "rootfs",
        "automatic": False,
    }
    with pytest.raises(SpecError, match="not a pkgver"):
        Lock.decode(lock_of(json.dumps(row)), "x")


def test_errors_of_a_lock_are_not_all_remembered() -> None:
    """Each missing key of each row became an error."""
    with cheaply(), pytest.raises(CollectedError) as caught:
        Lock.decode(lock_of("{}," * 100_000 + "{}"), "x")
    assert len(caught.value.errors) == 100


def test_names_that_are_not_utf8_are_shown_in_every_locale(tmp_path: Path) -> None:
    """Where the terminal's encoding is strict, printing one was a traceback."""
    path = tmp_path / "x.tar"
    name = b"etc/runit/runsvdir/default/s\xff"
    member = pax("path", name) + tarwriter.file_header("x", 0)
    path.write_bytes(with_tar_checksums(member + tarwriter.END))
    strict = {"PYTHONIOENCODING": "utf-8:strict"}
    assert "s\\udcff" in voidimg("inspect", path, env=strict).stdout
    found = json.loads(voidimg("inspect", "--json", path, env=strict).stdout)
    assert found["services"] == ["s\udcff"]


REFUSED_PATHS: dict[str, Callable[[str], object]] = {
    "file list": lambda path: decode_list(
        {"files": [{"file": path, "sha256": "0" * 64}]}, where="x"
    ),
    "alternatives": lambda path: parse_link(f"{path}:{path}", where="x"),
}


@pytest.mark.parametrize("reader", REFUSED_PATHS)
@pytest.mark.parametrize(
    "path", ["/a" * 20_000, "/" + "a" * 20_000, "/a" * 200, ("/" + "é" * 100) * 39]
)
def test_endless_paths_are_refused(reader: str, path: str) -> None:
    """Every directory on the way was remembered whole: gigabytes for a path of kilobytes.

    What counts are bytes: a path of 3,939 letters that take two each can be no path of Linux. It
    was let in, and its package could not be removed any more.
    """
    with in_little_memory(), pytest.raises(PackageError):
        REFUSED_PATHS[reader](path)


@pytest.mark.parametrize("offset", [2**48, 2**62, 2**63 - 1, 2**63, 2**64 - 8])
def test_tables_of_a_qcow2_beyond_every_file(offset: int, tmp_path: Path) -> None:
    """Where an offset ends what a file can have, seeking itself fails."""
    path = tmp_path / "disk.qcow2"
    header = struct.pack(">4sIQIIQIIQ", b"QFI\xfb", 3, 0, 0, 16, 2**20, 0, 1, offset)
    path.write_bytes(header.ljust(2**16, b"\0"))
    with path.open("rb") as image, pytest.raises(LayoutError, match="ends before its content"):
        list(stored_clusters(image, "disk"))
    ended = voidimg("inspect", path)
    assert (ended.returncode, "Traceback" in ended.stderr) == (8, False), ended.stderr


@pytest.mark.parametrize("offset", [2**48, 2**56 - 512])
def test_clusters_of_a_qcow2_beyond_every_file(offset: int) -> None:
    """Those of the disk, and those of a compressed cluster."""
    header = struct.pack(">4sIQIIQIIQ", b"QFI\xfb", 3, 0, 0, 16, 2**20, 0, 1, 2**16)
    for entry in (offset, 1 << 62 | offset % (1 << 54)):
        parts = (header, struct.pack(">Q", 2 << 16), struct.pack(">Q", entry))
        image = io.BytesIO(b"".join(part.ljust(2**16, b"\0") for part in parts))
        with pytest.raises(LayoutError):
            list(stored_clusters(image, "disk"))


@pytest.mark.parametrize(
    "forged",
    ["-rwxrwxsrwx 0/0 5", "-rwxrwxrws 0/0 5", "-rrrrrrrrr 0/0 5",
     "-rw-r--r-- 0/0 " + "9" * 5000, "-rw-r--r-- " + "9" * 5000 + "/0 5"],
)  # fmt: skip
def test_lines_of_a_squashfs_that_a_name_forged(forged: str) -> None:
    """A name that holds a line feed writes lines of its own: they are read, or refused in words."""
    listing = f"{forged} 2024-03-14 00:00 squashfs-root/etc/x\n".encode()
    with suppress(ValueError):
        list(listed(listing))
