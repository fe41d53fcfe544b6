"""write_tar: same tree, same bytes; what GNU tar and bsdtar unpack is the tree."""

from __future__ import annotations

import io
import os
import shutil
import socket
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from voidimg.errors import LayoutError, StoreError
from voidimg.formats.tar_writer import Member, encode_member
from voidimg.rootfs.normalise import normalise_times
from voidimg.rootfs.tar import write_tar
from voidimg.sandbox.namespace import call

EPOCH = 1_700_000_000
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")

# --- functions that run inside -----------------------------------------------------------------


def make_tree(path: str, backwards: bool = False) -> None:
    """A tree with everything that images have, made in one order or the other."""
    root = Path(path)
    for name in ("usr/bin", "etc", "empty", "usr/share/" + "d" * 90 + "/" + "e" * 90):
        (root / name).mkdir(parents=True)
    files = [
        ("usr/bin/ping", b"ping" * 300, 0o755, 0, 0),
        ("usr/bin/su", b"su", 0o4755, 0, 0),
        ("usr/bin/wall", b"", 0o2755, 0, 5),
        ("etc/shadow", b"secret", 0o600, 0, 999),
        ("etc/of-nobody", b"x" * 512, 0o640, 65534, 65534),
        ("usr/share/" + "d" * 90 + "/" + "e" * 90 + "/" + "f" * 120, b"long", 0o644, 0, 0),
        ("usr/share/\u00fcml\u00e4ut", b"utf-8", 0o644, 0, 0),
        ("usr/share/\udcff\udcfe", b"bytes", 0o644, 0, 0),
    ]
    for name, content, mode, uid, gid in reversed(files) if backwards else files:
        file = root / name
        file.write_bytes(content)
        os.chown(file, uid, gid)
        file.chmod(mode)
        os.utime(file, (0, EPOCH - 1000))
    os.link(root / "usr/bin/ping", root / "usr/bin/ping6")
    os.link(root / "usr/bin/ping", root / "etc/ping")
    (root / "usr/bin/sh").symlink_to("/usr/bin/" + "x" * 110)
    os.chown(root / "usr/bin/sh", 3, 4, follow_symlinks=False)
    (root / "bin").symlink_to("usr/bin")
    os.chown(root, 0, 0)
    os.mkfifo(root / "etc/fifo")
    os.setxattr(root / "usr/bin/ping", "security.capability", CAPABILITY)
    os.setxattr(root / "etc/shadow", "user.note", b"a\nb")
    os.chown(root / "empty", 7, 8)
    (root / "empty").chmod(0o1777)
    for name in ("usr/bin", "usr", "etc", "empty", "usr/share", "usr/bin/sh", "bin", "etc/fifo"):
        os.utime(root / name, (EPOCH + 5, EPOCH + 5), follow_symlinks=False)


def described(path: str) -> dict[str, tuple[object, ...]]:
    """All that an archive must carry, by name."""
    root = os.fsencode(path)
    found: dict[str, tuple[object, ...]] = {}
    for directory, directories, files in os.walk(root):
        for name in (*directories, *files, b"."):
            full = os.path.join(directory, name)
            status = os.lstat(full)
            kind = stat.S_IFMT(status.st_mode)
            found[os.fsdecode(os.path.relpath(full, root))] = (
                oct(status.st_mode),
                status.st_uid,
                status.st_gid,
                min(int(status.st_mtime), EPOCH),
                Path(os.fsdecode(full)).read_bytes() if kind == stat.S_IFREG else b"",
                os.readlink(full) if kind == stat.S_IFLNK else b"",
                status.st_nlink if kind == stat.S_IFREG else 0,
                {
                    key: os.getxattr(full, key, follow_symlinks=False)
                    for key in os.listxattr(full, follow_symlinks=False)
                },
            )
    return found


def archive(path: str, order: tuple[tuple[str, ...], ...] = ()) -> bytes:
    out = io.BytesIO()
    write_tar(Path(path), out, epoch=EPOCH, order=order)
    return out.getvalue()


def unpack_with(program: list[str], data: bytes, target: str) -> dict[str, tuple[object, ...]]:
    """What `program` makes of the archive `data`."""
    os.mkdir(target)
    subprocess.run(program, cwd=target, input=data, check=True, env={"LC_ALL": "C.UTF-8"})
    return described(target)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tree")
    call(make_tree, str(path))
    return path


def names_of(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as opened:
        return opened.getnames()


# --- what they show ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [
        ["tar", "--xattrs", "--xattrs-include=*", "--same-owner", "-xpf", "-"],
        ["bsdtar", "--xattrs", "--same-owner", "-xpf", "-"],
    ],
    ids=["gnu", "bsd"],
)
def test_unpacking_gives_the_tree(tree: Path, tmp_path: Path, program: list[str]) -> None:
    """Content, owners, modes, times, links and file capabilities come back."""
    data = call(archive, str(tree))
    found = call(unpack_with, program, data, str(tmp_path / "out"))
    expected = call(described, str(tree))
    assert found == expected
    assert expected["usr/bin/ping"][-1] == {"security.capability": CAPABILITY}
    call(shutil.rmtree, str(tmp_path / "out"))


def test_the_order_of_creation_does_not_show(tree: Path, tmp_path: Path) -> None:
    """The bytes follow from the content alone."""
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    call(make_tree, str(other), True)
    os.utime(other, (EPOCH * 2, EPOCH * 2))
    assert call(archive, str(other)) == call(archive, str(tree))
    call(shutil.rmtree, str(other))


def test_packages_come_first_in_their_order(tree: Path) -> None:
    """Then everything else; directories right before their content; listed and missing is fine."""
    order = (("/etc/shadow", "/etc/not-there"), ("/usr/bin/su", "/etc/ping", "/bin"))
    names = names_of(call(archive, str(tree), order))
    assert names[:8] == [
        ".",
        "./etc",
        "./etc/shadow",
        "./bin",
        "./etc/ping",
        "./usr",
        "./usr/bin",
        "./usr/bin/su",
    ]
    assert names[8:11] == ["./empty", "./etc/fifo", "./etc/of-nobody"]
    assert len(names) == len(set(names)) == len(call(described, str(tree)))


def test_the_first_name_carries_the_content(tree: Path) -> None:
    """Whatever the order, a hard link names a member that came before."""
    for order in ((), (("/usr/bin/ping6",),)):
        data = call(archive, str(tree), order)
        with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as opened:
            members = [member for member in opened if "ping" in member.name]
        first, *others = members
        assert first.isreg()
        assert first.size == 1200
        assert [(member.islnk(), member.linkname) for member in others] == [(True, first.name)] * 2


def test_owners_are_numbers(tree: Path) -> None:
    """No name of the builder's accounts goes in; root is root everywhere."""
    data = call(archive, str(tree))
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as opened:
        owners = {(member.uid, member.uname) for member in opened}
        assert owners == {(0, "root"), (3, ""), (7, ""), (65534, "")}


def test_times_are_whole_and_not_after_the_epoch(tree: Path) -> None:
    """Older times stay, later ones are the epoch; no record says fractions, change or access."""
    data = call(archive, str(tree))
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as opened:
        assert {int(member.mtime) for member in opened} == {EPOCH, EPOCH - 1000}
    assert b"atime=" not in data
    assert b"mtime=" not in data
    assert len(data) % 10240 == 0


def test_numbers_that_do_not_fit_are_in_the_extended_header() -> None:
    """Sizes from 8 GiB on, ids from 2^21 on and times before 1970."""
    header = encode_member(
        Member(b"./big", ord("0"), 0o644, 2**21, 2**31, -5, size=8 * 2**30, target=b"")
    )
    with tarfile.open(fileobj=io.BytesIO(header + bytes(1024))) as opened:
        member = opened.next()
    assert member is not None
    assert (member.size, member.uid, member.gid) == (8 * 2**30, 2**21, 2**31)
    assert member.mtime == -5
    record = next(line for line in header.split(b"\n") if b"size=" in line)
    assert record.endswith(b"19 size=8589934592")


def test_a_socket_is_refused(tmp_path: Path) -> None:
    """An archive cannot hold it, and no other artifact has a use for it."""
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(tmp_path, os.O_RDONLY)
        try:
            server.bind(f"/proc/self/fd/{here}/s")
        finally:
            os.close(here)
        for refusing in (
            lambda: write_tar(tmp_path, io.BytesIO(), epoch=EPOCH),
            lambda: normalise_times(tmp_path, EPOCH),
        ):
            with pytest.raises(LayoutError) as caught:
                refusing()
            assert (caught.value.code, caught.value.where) == ("E-LAYOUT-SOCKET", "/s")


def test_a_file_that_shrinks_is_noticed(tmp_path: Path) -> None:
    """A header that promised more is not followed by something else."""
    (tmp_path / "a").write_bytes(b"x" * (3 << 20))

    class Shrinking(io.BytesIO):
        def write(self, data: object, /) -> int:
            (tmp_path / "a").write_bytes(b"")
            return 0

    with pytest.raises(StoreError, match="/a of the tree became shorter"):
        write_tar(tmp_path, Shrinking(), epoch=EPOCH)
