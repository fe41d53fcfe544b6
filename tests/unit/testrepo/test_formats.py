"""The readers and writers of foreign formats: deb, ELF, cpio."""

from __future__ import annotations

import gzip as gzip_module
import io
import stat
import tarfile
from pathlib import Path

import pytest

from tests.testrepo import elf
from tests.testrepo.cpio import Node, gzip, write_cpio
from tests.testrepo.deb import read_deb
from voidimg.errors import PackageError
from voidimg.run import find_program, run

from .debs import write_deb


def test_a_deb_gives_its_files_links_and_conf_files(tmp_path: Path) -> None:
    """Directories are left out; paths are absolute; modes and owners are those of the archive."""
    path = write_deb(
        tmp_path / "demo.deb",
        {"Package": "demo", "Version": "1.0-1", "Architecture": "arm64"},
        {"./bin/demo": (0o4755, b"#!"), "./etc/demo.conf": (0o644, b"a=1\n")},
        links={"./bin/other": "demo"},
        hard_links={"./bin/same": "./bin/demo"},
        conf_files=["/etc/demo.conf"],
    )
    deb = read_deb(path)
    found = {member.path: member for member in deb.members}
    assert (deb.name, deb.architecture, deb.conf_files) == ("demo", "arm64", ("/etc/demo.conf",))
    assert sorted(found) == ["/bin/demo", "/bin/other", "/bin/same", "/etc/demo.conf"]
    assert (found["/bin/demo"].mode, found["/bin/demo"].content) == (0o4755, b"#!")
    assert (found["/bin/other"].kind, found["/bin/other"].target) == ("symlink", "demo")
    assert (found["/bin/same"].kind, found["/bin/same"].target) == ("hardlink", "/bin/demo")


def test_something_else_is_not_a_deb(tmp_path: Path) -> None:
    """The error is one of ours."""
    path = tmp_path / "not.deb"
    path.write_bytes(b"no")
    with pytest.raises(PackageError, match="not an ar archive"):
        read_deb(path)


def test_a_program_names_the_libraries_it_needs() -> None:
    """The host's own tar needs the C library and has no soname."""
    names = elf.shared_names(Path(find_program("tar")).read_bytes())
    assert names.soname == ""
    assert "libc.so.6" in names.needed


def test_cpio_is_read_by_another_tool(tmp_path: Path) -> None:
    """bsdtar lists and extracts what was written."""
    nodes = [
        Node("bin", stat.S_IFDIR | 0o755),
        Node("bin/sh", stat.S_IFLNK | 0o777, b"busybox"),
        Node("bin/busybox", stat.S_IFREG | 0o755, b"12345"),
    ]
    archive = tmp_path / "initramfs"
    archive.write_bytes(gzip(write_cpio(nodes)))
    run(["bsdtar", "-xf", archive, "-C", tmp_path])
    assert (tmp_path / "bin" / "sh").readlink() == Path("busybox")
    assert (tmp_path / "bin" / "busybox").read_bytes() == b"12345"


def test_gzip_carries_no_time() -> None:
    """The four bytes of the time and the name are absent."""
    packed = gzip(b"x" * 100)
    assert packed[3:8] == bytes(5)
    assert gzip_module.decompress(packed) == b"x" * 100


def test_the_data_of_a_deb_may_be_plain_tar(tmp_path: Path) -> None:
    """dpkg takes uncompressed members, too."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("./empty"))
    path = write_deb(
        tmp_path / "plain.deb",
        {"Package": "plain", "Version": "1", "Architecture": "all"},
        {},
        data=stream.getvalue(),
    )
    assert [member.path for member in read_deb(path).members] == ["/empty"]
