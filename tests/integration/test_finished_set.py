"""A finished rpi-aarch64 set, judged by the programs of others: tar, fsck, sfdisk, minisign."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.command import voidimg
from tests.integration.building import DATE
from tests.integration.gnu_tar import Entry, Unpacked, entries_of, unpack
from voidimg.run import run
from voidimg.sandbox import namespace
from voidimg.xbps import plist
from voidimg.xbps.plist import PlistDict

EPOCH = 1710374400
"""2024-03-14 in UTC."""

PKGDB = "var/db/xbps/pkgdb-0.38.plist"
IMAGE = f"void-rpi-aarch64-{DATE}.img.zst"
PLATFORMFS = f"void-rpi-aarch64-PLATFORMFS-{DATE}.tar.zst"

CAP_NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
"""vfs_cap_data of revision 2, effective, permitted bit 13 (capabilities(7))."""

LEFTOVERS = [
    "./etc/.pwd.lock",
    "./etc/machine-id",
    "./etc/resolv.conf",
    "./etc/ssh/ssh_host_*",
    "./etc/*-",
    "./root/?*",
    "./run/*/*",
    "./tmp/*",
    "./usr/bin/qemu-*",
    "./var/cache/*/*",
    "./var/lib/dbus/machine-id",
    "./var/lib/random-seed",
    "./var/log/*/*",
    "./var/tmp/*",
    "*.new-*",
]
"""What a builder could leave in a tree, and what every installed system must make for itself."""


@pytest.fixture(scope="module")
def archive(raspberry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The PLATFORMFS, uncompressed."""
    path = tmp_path_factory.mktemp("archive") / "platformfs.tar"
    run(["zstd", "-q", "-d", raspberry / "out" / DATE / PLATFORMFS, "-o", path])
    return path


@pytest.fixture(scope="module")
def said(archive: Path) -> dict[str, Entry]:
    """What the tarball says."""
    return entries_of(archive)


@pytest.fixture(scope="module")
def unpacked(archive: Path, said: dict[str, Entry]) -> Unpacked:
    """What GNU tar made of it, with the package database and all lists of files."""
    texts = [name for name in said if name.startswith("./var/db/xbps/") and "plist" in name]
    return namespace.call(unpack, archive, archive.parent / "tree", texts)


@pytest.fixture(scope="module")
def pkgdb(unpacked: Unpacked) -> dict[str, PlistDict]:
    """The packages of the unpacked tree."""
    entries = plist.decode(unpacked.texts[f"./{PKGDB}"], where=PKGDB)
    return {
        name: entry
        for name, entry in entries.items()
        if isinstance(entry, dict) and not name.startswith("_")
    }


def test_gnu_tar_makes_the_same_tree(said: dict[str, Entry], unpacked: Unpacked) -> None:
    """Kinds, owners, modes, times, contents, links and extended attributes of every member.

    Times of directories too only with --delay-directory-restore: members are in the order of
    packages, and tar forgets about a directory when it leaves it for the first time.
    """
    assert len(said) > 3000
    assert unpacked.entries.keys() == said.keys()
    different = {
        name: (entry, unpacked.entries[name])
        for name, entry in said.items()
        if _comparable(entry) != _comparable(unpacked.entries[name])
    }
    assert different == {}


def _comparable(entry: Entry) -> Entry:
    return replace(entry, mtime=0) if entry.kind == stat.S_IFDIR else entry


def test_owners_modes_and_capabilities_are_meant(unpacked: Unpacked) -> None:
    """A capability, a setuid program, secrets, and accounts made by scripts."""
    entries = unpacked.entries
    assert entries["./usr/bin/ping"].xattrs == {"security.capability": CAP_NET_RAW}
    with_capability = [name for name, entry in entries.items() if entry.xattrs]
    assert with_capability == ["./usr/bin/ping"]
    assert entries["./usr/bin/sudo"].mode == 0o4755
    assert entries["./etc/shadow"].mode & 0o007 == 0
    assert entries["./tmp"].mode == entries["./var/tmp"].mode == 0o1777
    chrony = entries["./var/lib/chrony"]
    assert (chrony.uid, chrony.gid) != (0, 0)
    assert entries["./bin"].kind == stat.S_IFLNK
    assert all(entry.uid < 65534 and entry.gid < 65534 for entry in entries.values())
    writable = [
        name
        for name, entry in entries.items()
        if entry.mode & 0o002 and entry.kind != stat.S_IFLNK and not entry.mode & stat.S_ISVTX
    ]
    assert writable == []


def test_no_time_is_later_than_the_date_of_the_set(said: dict[str, Entry]) -> None:
    """Older times of packages stay, newer ones and those of the build do not."""
    assert max(entry.mtime for entry in said.values()) == EPOCH
    assert min(entry.mtime for entry in said.values()) >= 0


def test_nothing_of_the_builder_is_left(unpacked: Unpacked) -> None:
    """No resolv.conf, cache, host key, machine id, lock or half-written file."""
    left = [name for name in unpacked.entries for shape in LEFTOVERS if fnmatch(name, shape)]
    assert left == []
    sockets = [
        name
        for name, entry in unpacked.entries.items()
        if entry.kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
    ]
    assert sockets == []


def test_the_host_is_not_mentioned(archive: Path, raspberry: Path) -> None:
    """No path of the cache or the repository, and no host name."""
    content = archive.read_bytes()
    for words in (str(raspberry), str(archive.parents[3]), os.uname().nodename):
        assert len(words) < 5 or words.encode() not in content


def test_every_package_is_installed(pkgdb: dict[str, PlistDict], raspberry: Path) -> None:
    """Those of the lock, each configured, with its version and whether it was asked for."""
    lock = json.loads((raspberry / "out" / DATE / f"void-rpi-aarch64-{DATE}.lock.json").read_text())
    locked = {one["pkgver"]: one for one in lock["packages"]}
    assert {entry["pkgver"] for entry in pkgdb.values()} == locked.keys()
    assert {entry["state"] for entry in pkgdb.values()} == {"installed"}
    for entry in pkgdb.values():
        automatic = locked[str(entry["pkgver"])]["automatic"]
        assert entry.get("automatic-install", False) == automatic
        # Where and when it was installed is left out, as xbps-install does in a reproducible mode.
        assert not {"repository", "install-date"} & entry.keys()


def test_every_file_is_what_its_package_lists(
    pkgdb: dict[str, PlistDict], unpacked: Unpacked
) -> None:
    """Lists of files are as the database says, and all listed files are there, unchanged."""
    seen, missing, changed = 0, [], []
    for name, entry in pkgdb.items():
        text = unpacked.texts.get(f"./var/db/xbps/.{name}-files.plist")
        if text is None:
            assert "metafile-sha256" not in entry
            continue
        assert hashlib.sha256(text).hexdigest() == entry["metafile-sha256"]
        files = plist.decode(text, where=name).get("files", [])
        assert isinstance(files, list)
        for file in files:
            assert isinstance(file, dict)
            path = "." + str(file["file"])
            seen += 1
            if path not in unpacked.entries:
                missing.append(path)
            elif unpacked.entries[path].content != file["sha256"]:
                changed.append(path)
    assert seen > 2000
    assert missing == []
    assert changed == []


@pytest.fixture(scope="module")
def image(raspberry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk image, uncompressed."""
    path = tmp_path_factory.mktemp("image") / "disk.img"
    run(["zstd", "-q", "-d", "--sparse", raspberry / "out" / DATE / IMAGE, "-o", path])
    return path


def test_the_partition_table_is_sound(image: Path) -> None:
    """sfdisk has nothing to say."""
    ended = run(["sfdisk", "-V", image])
    assert "No errors detected" in ended.stdout.decode() + ended.stderr


def test_the_filesystems_are_clean(image: Path, tmp_path: Path) -> None:
    """fsck.vfat and e2fsck find nothing to repair, and nothing is marked dirty."""
    table = json.loads(run(["sfdisk", "--json", image]).stdout)["partitiontable"]
    for name, partition in zip(("boot", "root"), table["partitions"], strict=True):
        extent = [f"skip={partition['start'] * 512}", f"count={partition['size'] * 512}"]
        flags = ["iflag=skip_bytes,count_bytes", "conv=sparse", "bs=1M"]
        run(["dd", f"if={image}", f"of={tmp_path / name}", *extent, *flags])
    checked = run(["fsck.vfat", "-n", "-v", tmp_path / "boot"])
    assert "dirty" not in checked.stdout.decode().lower()
    run(["e2fsck", "-f", "-n", tmp_path / "root"])
    assert "clean" in run(["dumpe2fs", "-h", tmp_path / "root"]).stdout.decode()


def test_the_signed_set_satisfies_sha256sum_and_minisign(raspberry: Path, tmp_path: Path) -> None:
    """Signed by voidimg, verified by the programs that Void's users have."""
    place = tmp_path / DATE
    shutil.copytree(raspberry / "out" / DATE, place, copy_function=os.link)
    made = voidimg("keygen", DATE, "--directory", tmp_path, "--no-passphrase")
    assert made.returncode == 0, made.stderr
    secret, public = sorted(tmp_path.glob("void-release-*"), key=lambda path: path.suffix != ".sec")
    signed = voidimg("sign", place, "--key", secret)
    assert signed.returncode == 0, signed.stderr
    checked = subprocess.run(
        ["sha256sum", "-c", "--strict", "sha256sum.txt"], cwd=place, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count(": OK") >= 3
    words: list[str | Path] = ["minisign", "-V", "-p", public, "-x", "sha256sum.sig"]
    words += ["-m", "sha256sum.txt"]
    verified = subprocess.run(words, cwd=place, capture_output=True, text=True)
    assert verified.returncode == 0, verified.stderr
    assert voidimg("verify", place, "--key", public).returncode == 0
