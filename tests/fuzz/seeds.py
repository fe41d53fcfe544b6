"""Makes the inputs that fuzzing starts from: the recorded vectors, and small ones of each form."""

from __future__ import annotations

import base64
import bz2
import contextlib
import gzip
import hashlib
import io
import json
import lzma
import os
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pycdlib import PyCdlib

from tests.live_medium import MENU, TEMPLATES, cpio_archive, initramfs, kernel_image
from voidimg.catalog.catalog import Catalog
from voidimg.errors import VoidimgError
from voidimg.formats.compression import open_stream
from voidimg.formats.iso9660 import SYSTEM_AREA_BYTES
from voidimg.formats.partition_table import SECTOR_BYTES
from voidimg.live.menus import render_grub, render_isolinux
from voidimg.run import run
from voidimg.supply.lock import Lock, LockedPackage, LockedPlatform, LockedRepository, LockedStage

VECTORS = Path(__file__).parent.parent / "vectors" / "xbps"
_MAX_SEED_BYTES = 64 * 1024


def write_seeds(name: str, directory: Path) -> None:
    """Write the seeds of the target `name` into `directory`, named by their content."""
    directory.mkdir(parents=True, exist_ok=True)
    for seed in _SEEDS[name]():
        if len(seed) <= _MAX_SEED_BYTES:
            (directory / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)


def _table(name: str) -> Iterator[list[str]]:
    """The strings of each row of a recorded table."""
    content = json.loads((VECTORS / "tables" / f"{name}.json").read_text())
    for row in content if isinstance(content, list) else content.get("rows", content.values()):
        yield list(_strings(row))


def _plain(pattern: str) -> Iterator[bytes]:
    """The archives that match `pattern`, decompressed."""
    for path in sorted(VECTORS.glob(pattern)):
        with contextlib.suppress(VoidimgError):
            stream = open_stream(path)
            content = stream.read(2 * _MAX_SEED_BYTES)
            stream.close()
            yield content


def _raw(pattern: str) -> Iterator[bytes]:
    return (path.read_bytes() for path in sorted(VECTORS.glob(pattern)))


def _plists() -> Iterator[bytes]:
    for strings in _table("plist"):
        for text in strings:
            yield text.encode("utf-8", "surrogateescape")
            try:
                yield base64.b64decode(text, validate=True)
            except ValueError:
                continue


def _members(pattern: str, member: str) -> Iterator[bytes]:
    """The member `member` of every archive that matches `pattern`."""
    for plain in _plain(pattern):
        try:
            with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
                found = archive.extractfile(member)
                yield b"" if found is None else found.read()
        except (tarfile.TarError, KeyError):
            continue


def _packages() -> Iterator[bytes]:
    yield from _plain("repos/evil/*.xbps")
    yield from _plain("repos/main/*.xbps")


def _payloads() -> Iterator[bytes]:
    """Packages without their metadata, so that the target can list them truly."""
    for plain in _packages():
        try:
            with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
                infos = archive.getmembers()
        except tarfile.TarError:
            continue
        named = [info for info in infos if info.name.endswith("files.plist")]
        if named:
            last = named[0]
            yield plain[last.offset_data + -(-last.size // 512) * 512 :]


def _compressed() -> Iterator[bytes]:
    yield from _raw("repos/compression/*.xbps")
    yield from _raw("repos/compression-index/*/*repodata")
    for content in (b"", b"void" * 40):
        yield from (gzip.compress(content, mtime=0), bz2.compress(content), lzma.compress(content))


def _names() -> Iterator[bytes]:
    for table in ("cmpver", "pkgmatch", "names"):
        for strings in _table(table):
            yield "\n".join(strings).encode("utf-8", "surrogateescape")


def _config() -> Iterator[bytes]:
    yield b"# a comment\nrepository=https://example.org/current\nvirtualpkg=a:b\ninclude=*.conf\n"
    yield b"noextract=/usr/share/*\nnoextract=!/usr/share/man/*\npreserve=/etc/*\nstaging=true\n"
    for table in ("conf-lines", "noextract", "remote-dirnames"):
        if (VECTORS / "tables" / f"{table}.json").exists():
            for strings in _table(table):
                yield "\n".join(strings).encode("utf-8", "surrogateescape")


def _locks() -> Iterator[bytes]:
    repository = LockedRepository("https://example.org", "x86_64", "0" * 64, None)
    package = LockedPackage("a-1.0_1", "x86_64", 0, 1, "1" * 64, "rootfs", automatic=False)
    boot = LockedPackage("b-1.0_1", "x86_64", 0, 1, "2" * 64, "platformfs", True, group=1)
    stages = (LockedStage(0, ("a>=0",)), LockedStage(1, ()))
    platform = LockedPlatform("pc", "base", "x86_64", *stages)
    yield Lock((repository,), (package, boot), (platform,)).encode()
    yield Lock((), ()).encode()


def _disks() -> Iterator[bytes]:
    boot = bytearray(SECTOR_BYTES)
    boot[510:] = b"\x55\xaa"
    fat = bytearray(boot)
    fat[0] = 0xEB
    struct.pack_into("<HBHBHH", fat, 11, SECTOR_BYTES, 1, 1, 2, 16, 64)
    struct.pack_into("<H", fat, 22, 1)
    for kind in (12, 32):  # the volume is the whole disk, or the first partition
        fat32 = bytearray(fat)
        if kind == 32:
            struct.pack_into("<HII", fat32, 22, 0, 0, 64)
            struct.pack_into("<I", fat32, 36, 2)
        mbr = bytearray(boot)
        struct.pack_into("<B3xB3xII", mbr, 446, 0x80, 0x0C, 4, 64)
        yield bytes(fat32)
        yield bytes(mbr) + bytes(3 * SECTOR_BYTES) + bytes(fat32) + bytes(SECTOR_BYTES)
    ext4 = bytearray(1024)
    struct.pack_into("<H", ext4, 0x38, 0xEF53)
    yield bytes(1024) + bytes(ext4)
    mbr = bytearray(boot)
    struct.pack_into("<B3xB3xII", mbr, 446, 0, 0xEE, 1, 64)
    header = bytearray(SECTOR_BYTES)
    header[:8] = b"EFI PART"
    struct.pack_into("<I", header, 12, 92)
    struct.pack_into("<QII", header, 72, 2, 4, 128)
    entry = bytes(range(1, 33)) + struct.pack("<QQQ", 34, 40, 4) + "RootFS".encode("utf-16-le")
    yield bytes(mbr) + bytes(header) + entry.ljust(SECTOR_BYTES, b"\0")


def _documents() -> Iterator[bytes]:
    yield from (path.read_bytes() for path in Catalog().files())
    yield b'schema = 1\nkind = "profile"\nextends = "base"\nsummary = "x"\n'
    yield b'schema = 1\nkind = "profile"\nsummary = "x"\n[[users]]\nname = "a"\n[rootfs]\n'


def _bundles() -> Iterator[bytes]:
    key = b"keys/" + b":".join([b"00"] * 16) + b".plist"
    sound = [
        b"flock.json @lock",
        b"f" + key + b" @key",
        b"frepository-0/aarch64-repodata @index",
        b"frepository-0/a-1.0_1.noarch.xbps x",
        b"frepository-0/a-1.0_1.noarch.xbps.sig2 x",
    ]
    yield b"\n".join(sound)
    for odd in (
        b"fREADME x",
        b"frepository-0/notes x",
        b"d.git",
        b"fkeys/id_rsa x",
        b"prepository-1",
        b"lrepository-0/b-1.0_1.noarch.xbps /etc/passwd",
        b"drepository-01",
    ):
        yield b"\n".join([*sound, odd])
    yield b"plock.json\ndkeys"
    yield b"llock.json /dev/zero\ndkeys"
    yield b"flock.json {}\ndkeys\nd.git"
    yield b"lkeys /etc\nflock.json @lock"
    yield b""


def _release_files() -> Iterator[bytes]:
    raw = base64.b64encode
    signature = raw(b"ED" + bytes(72)) + b"\ntrusted comment: x\n" + raw(bytes(64)) + b"\n"
    yield b"untrusted comment: minisign public key 0\n" + raw(b"Ed" + bytes(40)) + b"\n"
    yield b"untrusted comment: x\n" + signature
    yield raw(b"Ed" + bytes(40))
    yield b"SHA256 (void.tar.xz) = " + b"0" * 64 + b"\n"
    yield b"<!DOCTYPE html>"
    yield bz2.compress(b"")
    yield b"\x28\xb5\x2f\xfd\x24\x00\x01\x00\x00\x99\xe9\xd8\x51"


def _keys() -> Iterator[bytes]:
    yield from _raw("keys/*.plist")
    yield from _raw("keys/*.pem")
    yield from (gzip.compress(one, mtime=0) for one in _raw("keys/*.plist"))


def _indexes() -> Iterator[bytes]:
    yield from _members("repos/*/x86_64-repodata", "index.plist")
    yield from _members("repos/evil-index/*/x86_64-repodata", "index.plist")


def _entries() -> Iterator[bytes]:
    yield from _members("repos/*/*.xbps", "./files.plist")
    yield from _members("repos/main/*.xbps", "./props.plist")
    yield from _raw("scenarios/*/**/pkgdb-0.38.plist")


def _initramfs() -> Iterator[bytes]:
    files = {"/init": b"#!/bin/sh\n", "/lib": "usr/lib", "/usr/lib": None, "/usr/lib/x.ko": b"1"}
    archive = cpio_archive(files)
    yield archive
    yield initramfs(files)
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        yield archive + bytes(12) + pack(archive + bytes(8) + archive)


def _menus() -> Iterator[bytes]:
    menu = replace(MENU, memtest_bios="/boot/memtest.bin", memtest_efi="/boot/memtest.efi",
                   serial="ttyS0,115200", splash="/splash.png", font="/font.pf2")  # fmt: skip
    yield render_isolinux(menu, TEMPLATES).encode()
    yield render_grub(menu, TEMPLATES).encode()
    yield kernel_image()[:2048]
    yield gzip.compress(b"\0" * 56 + b"ARM\x64Linux version 6.6.22_1 (x)")
    yield b"LIVE_USER='anon'\nLIVE_GROUPS='audio video'\nLIVE_SUDO=\"x\n"


def _answers() -> Iterator[bytes]:
    """Answers of HTTP servers: whole, in parts, in chunks, elsewhere, and to be asked again."""
    heads = {
        "200 OK": [
            "Content-Length: 4",
            'ETag: "x"',
            "Last-Modified: Fri, 15 Mar 2024 00:00:00 GMT",
        ],
        "206 Partial Content": ["Content-Length: 4", "Content-Range: bytes 3-6/7"],
        "301 Moved": ["Location: https://other.example/file", "Content-Length: 0"],
        "302 Found": ["Location: file", "Content-Length: 0"],
        "304 Not Modified": ['ETag: "x"'],
        "404 Not Found": ["Content-Type: text/html", "Content-Length: 4"],
        "416 Range Not Satisfiable": ["Content-Range: bytes */3"],
        "503 Busy": ["Retry-After: 7", "Content-Length: 0"],
    }
    for status, lines in heads.items():
        yield "\r\n".join([f"HTTP/1.1 {status}", *lines, "", "abcd"]).encode()
    yield b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nabcd"
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nabcd\r\n0\r\nA: b\r\n\r\n"
    yield b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n<!DOCTYPE html>"
    yield b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n"


def _rests() -> Iterator[bytes]:
    """A part of a file, right and wrong ones of some lengths, and an answer to it."""
    for answer in _answers():
        for first in (0, 3, 3 + 16, 7, 8 + 16):
            yield bytes([first]) + answer
    for said in ("bytes 3-6/7", "bytes 0-6/7", "bytes */7", "bytes 3-6/99", ""):
        head = f"HTTP/1.1 206 Part\r\nContent-Length: 4\r\nContent-Range: {said}\r\n\r\n"
        yield b"\x13" + head.encode() + b"abcd"
    yield b"\x00HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nxyzabcd"


def _squashfs() -> Iterator[bytes]:
    """Small ones of each compressor, and what unsquashfs lists of one."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, "tree")
        (tree / "usr/bin").mkdir(parents=True)
        (tree / "usr/bin/sh").write_bytes(b"#!" + bytes(range(256)) * 8)
        (tree / "bin").symlink_to("usr/bin")
        os.mkfifo(tree / "pipe")
        for number, how in enumerate((("-comp", "gzip"), ("-comp", "zstd"), ("-noI", "-noD"))):
            image = Path(scratch, f"{number}.img")
            run(["mksquashfs", tree, image, *how, "-nopad", "-all-root", "-quiet"])
            yield image.read_bytes()
        yield run(["unsquashfs", "-lln", image]).stdout


def _qcow2() -> Iterator[bytes]:
    """Disks of small clusters: empty, one that is stored, one that is compressed."""
    size = struct.Struct(">4sIQIIQIIQQIIQQQQII")
    for bits in (9, 12):
        cluster = 1 << bits
        packer = zlib.compressobj(9, zlib.DEFLATED, -12)
        packed = packer.compress(b"void" * (cluster // 4)) + packer.flush()
        stored = 1 << 63 | 3 * cluster
        compressed = 1 << 62 | 4 * cluster
        for entries in ((), (stored,), (compressed, 0, stored)):
            header = size.pack(b"QFI\xfb", 3, 0, 0, bits, 4 * cluster, 0, 1, cluster,
                               0, 0, 0, 0, 0, 0, 0, 4, 104)  # fmt: skip
            tables = struct.pack(">Q", 1 << 63 | 2 * cluster)
            second = struct.pack(f">{len(entries)}Q", *entries)
            parts = (header, tables, second, b"V" * cluster, packed + bytes(512))
            yield b"".join(part.ljust(cluster, b"\0") for part in parts)


def _isos() -> Iterator[bytes]:
    """A small medium with and without what firmware starts, behind its system area."""
    for boots in (False, True):
        iso = PyCdlib()
        iso.new(rock_ridge="1.09", vol_ident="VOID_LIVE")
        iso.add_directory("/BOOT", rr_name="boot")
        for name in ("KERNEL", "INITRD"):
            content = name.encode() * 9
            path, real = f"/BOOT/{name}.;1", name.lower()
            iso.add_fp(io.BytesIO(content), len(content), path, rr_name=real)
        iso.add_symlink("/LINK.;1", "link", "boot/kernel")
        if boots:
            iso.add_eltorito("/BOOT/KERNEL.;1", bootcatfile="/BOOT/BOOT.CAT;1",
                             rr_bootcatname="boot.cat")  # fmt: skip
        whole = io.BytesIO()
        iso.write_fp(whole)
        iso.close()
        yield whole.getvalue()[SYSTEM_AREA_BYTES:]


_SEEDS = {
    "iso": _isos,
    "qcow2": _qcow2,
    "squashfs": _squashfs,
    "http": _answers,
    "resume": _rests,
    "initramfs": _initramfs,
    "menus": _menus,
    "plist": _plists,
    "entries": _entries,
    "repodata": lambda: (*_plain("repos/evil-index/*/*repodata"), *_plain("repos/*/*repodata")),
    "resolve": _indexes,
    "compression": _compressed,
    "tar": _packages,
    "package": _packages,
    "unpack": _payloads,
    "key": _keys,
    "names": _names,
    "config": _config,
    "lock": _locks,
    "disk": _disks,
    "spec": _documents,
    "release": _release_files,
    "bundle": _bundles,
}
