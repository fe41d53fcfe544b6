"""Squashfs images of small trees: what unsquashfs finds, the same bytes, and what is refused."""

from __future__ import annotations

import hashlib
import os
import random
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import voidimg
from tests.unit.live.isos import EPOCH
from voidimg.errors import LayoutError, StoreError, ToolError
from voidimg.formats.squashfs import Squashfs, read_squashfs
from voidimg.live.squashfs import SquashfsOptions, probe_squashfs, write_squashfs
from voidimg.run import run
from voidimg.sandbox import kernel
from voidimg.sandbox.namespace import call

PROJECT = Path(voidimg.__file__).parent.parent
FAST = SquashfsOptions("zstd", level=1)
FILES = {
    "usr/bin/su": (b"\x7fELF" + bytes(100_000), 0o4755),
    "usr/lib/library": (random.Random(5).randbytes(300_000), 0o644),
    "etc/shadow": (b"root:*:::::::\n", 0o600),
    **{f"usr/share/{number}": (b"%d" % number * 50, 0o644) for number in range(50)},
}


def make_tree(root: Path, seed: int) -> Path:
    """A tree of FILES, a link and the mount points, made in an order that follows from `seed`."""
    names = [*FILES, "proc", "sys", "dev"]
    random.Random(seed).shuffle(names)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name not in FILES:
            path.mkdir()
            continue
        content, mode = FILES[name]
        path.write_bytes(content)
        path.chmod(mode)
        os.utime(path, (1600000000, 1600000000))
    (root / "bin").symlink_to("usr/bin")
    os.link(root / "usr/bin/su", root / "usr/bin/sudo")
    for path in (root, *root.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The small tree."""
    return make_tree(tmp_path / "tree", 1)


@pytest.mark.parametrize(
    "options", [FAST, SquashfsOptions("xz", block_bytes=2**17)], ids=["zstd", "xz"]
)
def test_the_root_itself_is_at_the_top(
    tree: Path, tmp_path: Path, options: SquashfsOptions
) -> None:
    """unsquashfs finds the superblock that was asked for, and every file with mode and content."""
    out = tmp_path / "out" / "squashfs.img"
    made = write_squashfs(tree, out, options, epoch=EPOCH)
    assert made == read_squashfs(out)
    said = run(["unsquashfs", "-s", out]).stdout.decode()
    assert f"Compression {options.compressor}" in said
    assert f"Block size {options.block_bytes}" in said
    assert "Thu Mar 14 00:00:00 2024" in said
    assert out.stat().st_mode & 0o777 == 0o444
    target = tmp_path / "unpacked"
    run(["unsquashfs", "-no-progress", "-d", target, out])
    # Unpacking drops set-user-ID for who is not root, so the modes are those of the listing.
    listed = run(["unsquashfs", "-lln", out]).stdout.decode().splitlines()
    modes = {line.split("squashfs-root/")[-1]: line.split()[0] for line in listed}
    for name, (content, mode) in FILES.items():
        assert (target / name).read_bytes() == content
        assert modes[name] == stat.filemode(stat.S_IFREG | mode)
        assert (target / name).stat().st_mtime == 1600000000
    assert os.readlink(target / "bin") == "usr/bin"
    assert (target / "usr/bin/su").stat().st_nlink == 2
    assert (target / "proc").stat().st_mtime == EPOCH


SCRIPT = """
import os, sys
from pathlib import Path
from tests.unit.live.isos import EPOCH
from tests.unit.live.test_squashfs import FAST, make_tree
from voidimg.live.squashfs import write_squashfs
os.umask(0o077)
here = Path(sys.argv[1])
write_squashfs(make_tree(here / "tree", 9), here / "squashfs.img", FAST, epoch=EPOCH, jobs=1)
"""


def test_the_same_tree_gives_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    """Whatever order, directory, time zone, umask, own epoch and number of processors."""
    first = tmp_path / "squashfs.img"
    write_squashfs(tree, first, FAST, epoch=EPOCH)
    here = tmp_path / "elsewhere"
    variables = {"TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "5", "PYTHONPATH": str(PROJECT)}
    subprocess.run(
        [sys.executable, "-c", SCRIPT, here],
        env={**os.environ, **variables},
        check=True,
    )
    digests = {
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (first, here / "squashfs.img")
    }
    assert len(digests) == 1


def test_what_would_be_lost_is_an_error(tree: Path, tmp_path: Path) -> None:
    """mksquashfs drops what it cannot store and ends well; we do not."""
    entries = [(1, 6, 2**32 - 1), (2, 4, 1000), (4, 4, 2**32 - 1)]
    entries += [(0x10, 4, 2**32 - 1), (0x20, 4, 2**32 - 1)]
    access_list = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)
    os.setxattr(tree / "etc/shadow", "system.posix_acl_access", access_list)
    out = tmp_path / "squashfs.img"
    out.write_text("before")
    with pytest.raises(LayoutError, match=r"did not store the tree as it is.*posix_acl"):
        write_squashfs(tree, out, FAST, epoch=EPOCH)
    assert out.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["squashfs.img", "tree"]


def with_unreadable_file(tree: Path, out: Path) -> None:
    """Pack `tree` with a file in it that not even root can open for reading."""
    kernel.mount("/proc/sys/vm/drop_caches", str(tree / "usr/share/7"), flags=kernel.MS_BIND)
    write_squashfs(tree, out, FAST, epoch=EPOCH)


def test_an_unreadable_file_is_an_error(tree: Path, tmp_path: Path) -> None:
    """It would be an empty file in the live system."""
    with pytest.raises(LayoutError, match="Failed to read file"):
        call(with_unreadable_file, tree, tmp_path / "squashfs.img")
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


@pytest.mark.parametrize("name", ["usr", "proc", "sys", "dev"])
def test_a_tree_that_cannot_be_a_root_is_refused(tmp_path: Path, name: str) -> None:
    """dracut knows a root by /usr or /proc, and mounts onto the others."""
    for other in {"usr", "proc", "sys", "dev"} - {name}:
        (tmp_path / other).mkdir()
    with pytest.raises(LayoutError, match=f"has no /{name}"):
        write_squashfs(tmp_path, tmp_path / "out", FAST, epoch=EPOCH)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (SquashfsOptions("zstd", level=23), "no level 23 of zstd; they are 1 to 22"),
        (SquashfsOptions("xz", level=6), "no level 6 of xz; it has no levels"),
        (SquashfsOptions(block_bytes=5000), "power of two"),
        (SquashfsOptions(block_bytes=2**21), "power of two"),
    ],
)
def test_options_that_squashfs_does_not_know(options: SquashfsOptions, text: str) -> None:
    """Said before any work."""
    with pytest.raises(LayoutError, match=text):
        probe_squashfs(options)


def test_the_probe_asks_the_program_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mksquashfs without the compressor, one that has it, and none at all."""
    probe_squashfs(FAST)
    probe_squashfs(SquashfsOptions("xz"))
    program = tmp_path / "mksquashfs"
    program.write_text("#!/bin/sh\necho 'Compressor \"zstd\" is not supported!' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r'cannot compress with zstd.*"zstd" is not supported'):
        probe_squashfs(FAST)


def test_what_is_no_squashfs_is_said(tree: Path, tmp_path: Path) -> None:
    """Another file, a cut one, none."""
    path = tmp_path / "squashfs.img"
    made = write_squashfs(tree, path, FAST, epoch=EPOCH)
    assert made == Squashfs("zstd", 2**20, made.inodes, EPOCH, made.bytes_used)
    whole = path.read_bytes()
    for content, text in (
        (b"", "not a squashfs"),
        (bytes(4096), "not a squashfs"),
        (whole[: made.bytes_used - 1], "bytes of"),
        (whole[:20] + b"\2" + whole[21:], "unknown number 2"),
    ):
        path.unlink()
        path.write_bytes(content)
        with pytest.raises(LayoutError, match=text):
            read_squashfs(path)
    with pytest.raises(StoreError):
        read_squashfs(tmp_path / "none")
