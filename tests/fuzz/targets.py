"""What is fuzzed: one function for each parser of foreign bytes.

A target takes any bytes and returns. Only a `VoidimgError` may come out of a parser; where there is
an encoder too, what was decoded is encoded and decoded again and must be the same. Whatever else
happens is a finding. Time and memory are bounded by who calls the targets.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
from collections.abc import Callable, Iterator

from tests.fuzz.answering import ask_for, go_on_with
from tests.fuzz.bundling import replace_bundle
from tests.fuzz.installing import unpack_package
from tests.fuzz.scratch import file_with, with_gpt_checksums, with_tar_checksums
from tests.xbps_install.options import XbpsInstallOptions
from tests.xbps_install.resolve import resolve_as_xbps_install
from voidimg.catalog.catalog import Catalog
from voidimg.errors import VoidimgError
from voidimg.formats.boot_menus import read_grub, read_isolinux
from voidimg.formats.compression import Stream
from voidimg.formats.cpio import decode_initramfs
from voidimg.formats.ext4 import read_ext4
from voidimg.formats.fat import read_fat
from voidimg.formats.iso9660 import BLOCK_BYTES, SYSTEM_AREA_BYTES, open_iso
from voidimg.formats.kernel_image import read_kernel_image
from voidimg.formats.partition_table import SECTOR_BYTES, read_table
from voidimg.formats.qcow2 import read_qcow2, stored_clusters
from voidimg.formats.squashfs import read_squashfs
from voidimg.formats.tar_reader import TarReader
from voidimg.inspection.access import decode_live_conf
from voidimg.inspection.squashfs_files import SquashfsFiles, listed
from voidimg.signing.keys import key_id_of, read_public_key
from voidimg.signing.recognise import kind_of, looks_like_signify, why_damaged
from voidimg.signing.signed_sums import read_signature
from voidimg.signing.sums import decode_sums, encode_sums
from voidimg.supply.lock import Lock
from voidimg.xbps import config, names, pattern, plist, tarwriter, version
from voidimg.xbps.install.alternatives import alternatives_of
from voidimg.xbps.install.pkgdb import Pkgdb
from voidimg.xbps.keys import PublicKey
from voidimg.xbps.package.file_list import decode_list
from voidimg.xbps.package.reader import BinaryPackage
from voidimg.xbps.repository.repodata import Repodata
from voidimg.xbps.resolve.resolver import Repository, resolve

MAX_DECODED_BYTES = 4 * 2**20
"""Targets decompress no further; the limits of the parsers have tests of their own."""
_DISK_BYTES = 2**20


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Let errors of voidimg end the block, after making sure that they can be told."""
    try:
        yield
    except VoidimgError as error:
        json.dumps(error.as_json())
        str(error).encode("utf-8", "surrogateescape")


def fuzz_plist(data: bytes) -> None:
    """Property lists: canonical form is reached at once."""
    with refusing():
        value = plist.decode(data, where="fuzz")
        encoded = plist.encode(value)
        if b"<data/>" not in encoded:  # proplib does not read what it writes there
            assert plist.encode(plist.decode(encoded, where="fuzz")) == encoded


def fuzz_entries(data: bytes) -> None:
    """File lists, alternatives and the package database, from whatever a property list holds."""
    with refusing():
        value = plist.decode(data, where="fuzz")
        for parse in (lambda: decode_list(value, where="fuzz"), lambda: alternatives_of(value)):
            with refusing():
                parse()
        database = Pkgdb(value)
        for entry in database.packages.values():
            with refusing():
                alternatives_of(entry)
        Pkgdb(database.content())


def fuzz_repodata(data: bytes) -> None:
    """Repository indexes, in any compression."""
    with refusing():
        decoded = Repodata.decode(with_tar_checksums(data), "fuzz")
        again = Repodata.decode(decoded.encode(level=1), "fuzz")
        assert again == decoded


def fuzz_resolve(data: bytes) -> None:
    """Dependency strings and property types of an index, through the resolver."""
    with refusing():
        document = tarwriter.file_header("index.plist", len(data)) + tarwriter.padded(data)
        empty = tarwriter.file_header("index-meta.plist", 0)
        index = Repodata.decode(document + empty + tarwriter.END, "fuzz").index
        repositories = [Repository("https://example.org", index, {}, remote=True)]
        for name in list(index)[:8]:
            with refusing():
                resolve([name], repositories, {})
            with refusing():
                resolve_as_xbps_install([name], repositories, {}, XbpsInstallOptions())


def fuzz_compression(data: bytes) -> None:
    """Every compression: the same content whatever the size of the reads, and as others say."""
    contents = []
    for size in (1000, MAX_DECODED_BYTES):
        with refusing():
            stream = Stream(io.BytesIO(data), where="fuzz", max_bytes=MAX_DECODED_BYTES)
            contents.append(b"".join(iter(lambda: stream.read(size), b"")))  # noqa: B023
    if not contents:
        return
    assert len(contents) == 2
    assert contents[0] == contents[1]
    for magic, others in _OTHERS.items():
        if data.startswith(magic):
            assert others(data) == contents[0]


_OTHERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ\0": lzma.decompress,
}


def fuzz_tar(data: bytes) -> None:
    """Tar archives, member by member with their content."""
    with refusing(), TarReader(_plain(data)) as reader:
        for member in reader:
            content = b"".join(reader.chunks())
            assert len(content) == member.size
            assert "\0" not in member.name + member.target


def fuzz_package(data: bytes) -> None:
    """Binary packages: metadata, then the payload."""
    with refusing(), BinaryPackage(TarReader(_plain(data))) as package:
        for member in package.members():
            assert member.name.startswith("./")
            assert ".." not in member.name.split("/")
            if member.kind == "file":
                assert sum(map(len, package.chunks())) == member.size


def _plain(data: bytes) -> Stream:
    plain = io.BytesIO(with_tar_checksums(data))
    return Stream(plain, where="fuzz", max_bytes=MAX_DECODED_BYTES)


def fuzz_key(data: bytes) -> None:
    """Repository keys, as key files and as PEM."""
    with refusing():
        PublicKey.from_pem(data)
    with refusing():
        key = PublicKey.from_plist(data, where="fuzz")
        again = PublicKey.from_plist(key.plist(), where="fuzz")
        assert again == key


def fuzz_names(data: bytes) -> None:
    """Names, versions and patterns: two lines are compared and matched."""
    text = data.decode("utf-8", "surrogateescape")
    one, _, other = text.partition("\n")
    split = names.split_pkgver(one)
    assert split is None or str(split) == one
    parts = names.file_name_parts(one)
    assert parts is None or one.endswith(str(parts))
    assert version.compare(one, other) == -version.compare(other, one)
    assert version.compare(one, one) == 0
    pattern.matches(one, other)
    pattern.glob_matches(one, other, period=False)
    pattern.name_of(other)
    pattern.condition_of(other)


def fuzz_config(data: bytes) -> None:
    """Lines of xbps.d, including each other, and what they exclude."""
    text = data.decode("utf-8", "surrogateescape")
    found = config.parse_files({"/etc/xbps.d/a.conf": text, "/usr/share/xbps.d/b.conf": text})
    config.is_excluded("/usr/share/man/man1/a.1", found.noextract)
    for repository in found.repositories:
        with refusing():
            config.remote_directory(repository)


def fuzz_lock(data: bytes) -> None:
    """Locks: canonical form is reached at once."""
    with refusing():
        lock = Lock.decode(data, "fuzz")
        encoded = lock.encode()
        assert Lock.decode(encoded, "fuzz") == lock
        assert Lock.decode(encoded, "fuzz").encode() == encoded


def fuzz_disk(data: bytes) -> None:
    """Partition tables, and the FAT and ext4 volumes they lead to."""
    path = file_with(with_gpt_checksums(data[:_DISK_BYTES]), "disk.img")
    with path.open("r+b") as image:
        image.truncate(_DISK_BYTES)
        places = [(0, _DISK_BYTES)]
        with refusing():
            table = read_table(path)
            places += [(entry.offset_bytes, entry.size_bytes) for entry in table.partitions[:16]]
        for offset, size in places:
            assert 0 <= offset <= offset + size <= _DISK_BYTES
            fat = read_fat(image, offset, size)
            assert fat is None or 0 <= fat.free_bytes <= size // SECTOR_BYTES * SECTOR_BYTES
            ext4 = read_ext4(image, offset)
            assert ext4 is None or ext4.growth_limit_bytes >= 0


def fuzz_initramfs(data: bytes) -> None:
    """Initramfs images: any archives in any compression; every path is absolute."""
    with refusing():
        found = decode_initramfs(
            data, lambda path: len(path) % 2 == 0, "fuzz", max_bytes=MAX_DECODED_BYTES
        )
        assert all(path.startswith("/") for path in found.entries)
        assert found.contents.keys() <= found.entries.keys() | {"/"}


def fuzz_squashfs(data: bytes) -> None:
    """Squashfs: the superblock, what unsquashfs lists of it, and the files that it then reads."""
    with contextlib.suppress(ValueError):
        assert all(path.startswith("/") for path, _ in listed(data))
    path = file_with(data, "squashfs.img")
    with refusing():
        read_squashfs(path)
        files = SquashfsFiles(path)
        small = {name for name, one in files.entries().items() if one.size_bytes < 2**20}
        contents = files.contents(sorted(small)[:4])
        assert all(len(content) == files.entries()[name].size_bytes
                   for name, content in contents.items())  # fmt: skip


def fuzz_qcow2(data: bytes) -> None:
    """Disks of virtual machines: clusters in the disk's order, and none beyond its end."""
    with refusing():
        image = io.BytesIO(data)
        disk = read_qcow2(image, "fuzz").virtual_bytes
        end = 0
        for count, (at, content) in enumerate(stored_clusters(image, "fuzz")):
            assert end <= at < at + len(content) <= disk
            end = at + len(content)
            if count > 256:
                break


def fuzz_iso(data: bytes) -> None:
    """ISO images behind their system area: files, the boot catalog, and contents."""
    path = file_with(bytes(SYSTEM_AREA_BYTES) + data, "medium.iso")
    with path.open("r+b") as file:
        file.truncate(-(-path.stat().st_size // BLOCK_BYTES) * BLOCK_BYTES)
    with refusing(), open_iso(path) as iso:
        str(iso.created + iso.volume_id).encode()
        for name in list(iso.files)[:8]:
            with refusing():
                iso.offset_bytes(name)
                assert len(iso.read(name, 2**20)) == iso.files[name]
        assert all(one.block >= 0 for one in iso.boot_entries)


def fuzz_menus(data: bytes) -> None:
    """Boot menus, the heads of kernels, and what our hooks are told: read whatever they are."""
    text = data.decode("utf-8", "replace")
    for read in (read_isolinux, read_grub):
        menu = read(text, "/boot/menu.cfg")
        named = [*menu.files, *(path for entry in menu.entries for path in entry.files)]
        assert all(path.startswith("/") for path in named)
        assert all(entry.label != "" for entry in menu.entries)
    read_kernel_image(data)
    decode_live_conf(data)


def fuzz_spec(data: bytes) -> None:
    """Platform and profile files: everything wrong with one comes back as a list."""
    path = file_with(data, "document.toml")
    for error in Catalog().check_files([path]):
        json.dumps(error.as_json())


def fuzz_release(data: bytes) -> None:
    """Checksum files, minisign keys and signatures, and what files are taken for."""
    kind_of(data)
    looks_like_signify(data)
    with refusing():
        sums = decode_sums(data, "fuzz")
        assert decode_sums(encode_sums(sums), "fuzz") == sums or not sums
    with refusing():
        key_id_of(read_signature(data, "fuzz"))
    for name in ("void.xz", "void.zst"):
        why_damaged(file_with(data, name))
    with refusing():
        read_public_key(file_with(data, "void.pub"))


def fuzz_http(data: bytes) -> None:
    """All that a server sends: status, head, redirections, framing and content."""
    ask_for(data, refusing)


def fuzz_resume(data: bytes) -> None:
    """Answers to who asks for the rest of a file: the right file comes of it, or none."""
    go_on_with(data, refusing)


def fuzz_unpack(data: bytes) -> None:
    """Payloads that are listed truly, installed into a tree full of traps: nothing gets out."""
    unpack_package(with_tar_checksums(data), refusing)


def fuzz_bundle(data: bytes) -> None:
    """Directories in whose place a bundle is wanted: only bundles are replaced, the rest stays."""
    replace_bundle(data, refusing)


TARGETS: dict[str, Callable[[bytes], None]] = {
    name.removeprefix("fuzz_"): target
    for name, target in sorted(globals().items())
    if name.startswith("fuzz_")
}
"""Every target by its name."""

MAX_BYTES = {"tar": 16384, "package": 16384, "unpack": 16384, "repodata": 16384, "disk": 16384,
             "iso": 65536, "qcow2": 16384, "squashfs": 8192}  # fmt: skip
"""How long inputs get; 4096 bytes for the targets not named."""
