"""Packages: every recorded one is read or refused by name, and nothing hostile comes out."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from voidimg.errors import PackageError, StoreError
from voidimg.formats.tar_reader import Member
from voidimg.xbps import plist
from voidimg.xbps.package.reader import BinaryPackage

REPOS = Path(__file__).parents[2] / "vectors/xbps/repos"
PACKAGES = sorted(path.relative_to(REPOS).as_posix() for path in REPOS.rglob("*.xbps"))
REFUSED = {
    "badsig/tampered": "ARCHIVE-DAMAGED",
    "badsig/tampered-tail": "ARCHIVE-DAMAGED",
    "evil/absolute": "BINPKG-NAME",
    "evil/bad-files-plist": "PLIST",
    "evil/chardev": "BINPKG-TYPE",
    "evil/dotdot": "BINPKG-NAME",
    "evil/dotdot-bare": "BINPKG-NAME",
    "evil/dotdot-delete": "BINPKG-NAME",
    "evil/dotdot-middle": "BINPKG-NAME",
    "evil/dotname": "BINPKG-NAME",
    "evil/dup-entry": "BINPKG-DUPLICATE",
    "evil/fifo": "BINPKG-TYPE",
    "evil/files-before-props": "BINPKG",
    "evil/five-meta": "BINPKG",
    "evil/hard-abs": "BINPKG-LINK",
    "evil/hard-dotdot": "BINPKG-LINK",
    "evil/hard-through-sym": "BINPKG-LINK",
    "evil/late-install": "BINPKG-NAME",
    "evil/no-files-plist": "BINPKG",
    "evil/no-props": "BINPKG",
    "evil/noprefix": "BINPKG-NAME",
    "evil/not-tar": "ARCHIVE-FORMAT",
    "evil/sym-then-file": "BINPKG-DUPLICATE",
    "evil/sym-through-abs": "BINPKG-DUPLICATE",
    "evil/sym-through-chmod": "BINPKG-DUPLICATE",
    "evil/sym-through-delete": "BINPKG-DUPLICATE",
    "evil/sym-through-rel": "BINPKG-DUPLICATE",
    "evil/truncated": "ARCHIVE-TRUNCATED",
}
"""Packages that are refused for their shape; the rest of `evil` lies in what it says."""


def read_all(path: Path) -> list[tuple[Member, bytes]]:
    with BinaryPackage.open(path) as package:
        return [
            (member, package.read(10**8) if member.kind == "file" else b"")
            for member in package.members()
        ]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_recorded_package_is_read_or_refused(name: str) -> None:
    """What xbps-create made is read and fits its list; the hostile rest has a named error."""
    code = REFUSED.get(name.rpartition("-")[0])
    if code is not None:
        with pytest.raises(PackageError) as caught:
            read_all(REPOS / name)
        assert caught.value.code == f"E-PACKAGE-{code}"
        assert caught.value.hint
        return
    with BinaryPackage.open(REPOS / name) as package:
        hashes = {}
        for array in ("files", "conf_files"):
            listed = package.files.get(array, [])
            assert isinstance(listed, list)
            for entry in listed:
                assert isinstance(entry, dict)
                hashes["." + str(entry["file"])] = entry["sha256"]
        for member in package.members():
            if member.kind == "file" and not name.startswith("evil/"):
                content = b"".join(package.chunks(1000))
                assert hashlib.sha256(content).hexdigest() == hashes[member.name]


@pytest.mark.parametrize("kind", ["bzip2", "gzip", "lz4", "none", "xz", "zstd"])
def test_compressions_make_no_difference(kind: str) -> None:
    """Each of the six packages has the same payload."""
    [(member, content)] = read_all(REPOS / f"compression/comp-{kind}-1.0_1.x86_64.xbps")
    assert (member.kind, member.mode, len(content)) == ("file", 0o644, member.size)


def test_owners_modes_and_times() -> None:
    """Numbers come from the headers: suid and sgid bits, owners, old times."""
    members = {m.name: m for m, _ in read_all(REPOS / "main/modes-1.0_1.x86_64.xbps")}
    owned = members["./usr/bin/suid-owned"]
    assert (owned.mode, owned.uid, owned.gid, owned.mtime) == (0o4755, 101, 102, 1600000000)
    assert members["./usr/share/oldtime"].mtime == 86400
    assert members["./usr/share/noperm"].mode == 0


def test_hard_links_name_the_first_member() -> None:
    """The first link of a set carries the data, the others name it."""
    links = [m for m, _ in read_all(REPOS / "main/hardlinks-1.0_1.x86_64.xbps") if m.target]
    assert [(m.name, m.kind, m.target) for m in links] == [
        ("./usr/bin/h2", "hardlink", "./usr/share/zz/h3"),
        ("./usr/bin/h1", "hardlink", "./usr/share/zz/h3"),
    ]


def test_symlinks_have_their_literal_text() -> None:
    """The text is that of the tar entry, not the normalised one of files.plist."""
    members = {m.name: m.target for m, _ in read_all(REPOS / "main/symlinks-1.0_1.x86_64.xbps")}
    assert members["./usr/share/dslash"] == "..//lib///target"


def test_long_and_non_ascii_names() -> None:
    """Pax headers give what ustar cannot hold."""
    members = [m for m, _ in read_all(REPOS / "main/names-1.0_1.x86_64.xbps")]
    assert "./usr/share/names/ümläut-ß" in {m.name for m in members}
    assert max(len(m.target) for m in members) > 200
    assert max(len(m.name) for m in members) > 200


def test_scripts_are_read() -> None:
    """INSTALL and REMOVE as bytes; None where there is none."""
    with BinaryPackage.open(REPOS / "main/scripts-1.0_1.x86_64.xbps") as package:
        assert package.install_script is not None
        assert package.remove_script is not None
    with BinaryPackage.open(REPOS / "main/big-1.0_1.x86_64.xbps") as package:
        assert (package.install_script, package.remove_script) == (None, None)
        assert package.pkgver == "big-1.0_1"


def test_a_missing_file_is_not_a_malformed_package(tmp_path: Path) -> None:
    """A StoreError names the path."""
    with pytest.raises(StoreError):
        BinaryPackage.open(tmp_path / "none.xbps")


PROPS: plist.PlistDict = {
    "architecture": "noarch",
    "installed_size": 0,
    "pkgname": "p",
    "pkgver": "p-1_1",
    "version": "1_1",
}

File = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes = b"", **fields: object) -> File:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in fields.items():
        setattr(member, key, value)
    return member, content


def package(path: Path, payload: Sequence[File], *, meta: Sequence[File] | None = None) -> Path:
    """A package as tarfile writes it, so that our own writer is no judge in its own cause."""
    if meta is None:
        meta = [file("./props.plist", plist.encode(PROPS)), file("./files.plist", plist.encode({}))]
    archive = path / "p-1_1.noarch.xbps"
    with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        for member, content in (*meta, *payload):
            tar.addfile(member, io.BytesIO(content))
    return archive


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ([file("./a\nb")], "NAME"),
        ([file("./a\x1b[2J")], "NAME"),
        ([file("./a/")], "NAME"),
        ([file("./a//b")], "NAME"),
        ([file("./a/./b")], "NAME"),
        ([file(".")], "NAME"),
        ([file("./..")], "NAME"),
        ([file("./" + "x" * 256)], "NAME"),
        ([file("./" + "x/" * 2048 + "y")], "NAME"),
        ([file("./props.plist")], "NAME"),
        ([file("/usr", type=tarfile.DIRTYPE)], "NAME"),
        ([file("./s", type=tarfile.CHRTYPE)], "TYPE"),
        ([file("./s", type=tarfile.BLKTYPE)], "TYPE"),
        ([file("./s", type=tarfile.FIFOTYPE)], "TYPE"),
        ([file("./a"), file("./a")], "DUPLICATE"),
        ([file("./a"), file("./a/b")], "DUPLICATE"),
        ([file("./a/b"), file("./a", type=tarfile.SYMTYPE, linkname="/")], "DUPLICATE"),
        ([file("./a"), file("./a", type=tarfile.DIRTYPE)], "DUPLICATE"),
        ([file("./l", type=tarfile.LNKTYPE, linkname="./later"), file("./later")], "LINK"),
        ([file("./l", type=tarfile.LNKTYPE, linkname="./props.plist")], "LINK"),
        ([file("./l", type=tarfile.LNKTYPE, linkname="./l")], "LINK"),
        ([file("./s", type=tarfile.SYMTYPE)], "LINK"),
        ([file("./s", type=tarfile.SYMTYPE, linkname="x" * 4096)], "LINK"),
        ([file("./s", type=tarfile.SYMTYPE, linkname="é" * 2048)], "LINK"),
        ([file("./big", b"x" * (2**20 + 1))], "SIZE"),
    ],
)
def test_hostile_payload_is_refused(payload: list[File], code: str, tmp_path: Path) -> None:
    """Each shape by its own code, before the installer sees it."""
    with pytest.raises(PackageError) as caught:
        read_all(package(tmp_path, payload))
    assert caught.value.code == f"E-PACKAGE-BINPKG-{code}"


@pytest.mark.parametrize("target", ["x" * 4095, "é" * 2047 + "x"])
def test_the_longest_symlink_is_no_hostile_one(target: str, tmp_path: Path) -> None:
    """PATH_MAX counts bytes, and the NUL that the kernel adds: such a link can just be made."""
    link = file("./s", type=tarfile.SYMTYPE, linkname=target)
    with BinaryPackage.open(package(tmp_path, [link])) as opened:
        assert [member.target for member in opened.members()] == [target]
    os.symlink(target, tmp_path / "made")


def test_directories_are_left_out(tmp_path: Path) -> None:
    """XBPS ignores directory entries; they are still checked for being what they say."""
    payload = [file("./", type=tarfile.DIRTYPE), file("./d", type=tarfile.DIRTYPE), file("./d/f")]
    assert [m.name for m, _ in read_all(package(tmp_path, payload))] == ["./d/f"]


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    """A Latin-1 name is odd, not hostile: it comes out as surrogateescape."""
    archive = tmp_path / "p.xbps"
    with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT, encoding="latin-1") as tar:
        for member, content in (
            file("./props.plist", plist.encode(PROPS)),
            file("./files.plist", plist.encode({})),
            file("./fran\xe7ais"),
        ):
            tar.addfile(member, io.BytesIO(content))
    assert [m.name for m, _ in read_all(archive)] == ["./fran\udce7ais"]


@pytest.mark.parametrize(
    "meta",
    [
        [],
        [file("./props.plist", plist.encode(PROPS))],
        [file("./files.plist", plist.encode({}))],
        [file("./props.plist", b"")] * 2,
        [file("props.plist", plist.encode(PROPS)), file("files.plist", plist.encode({}))],
        [file("./props.plist", type=tarfile.SYMTYPE, linkname="x")],
        [file("./INSTALL"), file("./INSTALL")],
        [file("./INSTALL", b"x" * (4 * 2**20 + 1))],
        [file("./props.plist", plist.encode(PROPS | {"version": "2_1"})),
         file("./files.plist", plist.encode({}))],
        [file("./props.plist", plist.encode({"pkgver": "p-1_1"})),
         file("./files.plist", plist.encode({}))],
    ],
)  # fmt: skip
def test_malformed_metadata_is_refused(meta: list[File], tmp_path: Path) -> None:
    """Missing, doubled, oversized or contradictory metadata make no package."""
    with pytest.raises(PackageError):
        read_all(package(tmp_path, [], meta=meta))


def test_every_truncated_package_is_refused() -> None:
    """No prefix of a package passes for the package (the sha256 would tell, but so must we)."""
    data = (REPOS / "main/symlinks-1.0_1.x86_64.xbps").read_bytes()
    for size in range(len(data)):
        with pytest.raises(PackageError):
            read_bytes(data[:size])


def read_bytes(data: bytes) -> None:
    from voidimg.formats.compression import Stream
    from voidimg.formats.tar_reader import TarReader

    for _ in BinaryPackage(TarReader(Stream(io.BytesIO(data), where="x"))).members():
        pass


def test_a_hard_link_to_a_symlink_is_a_symlink(tmp_path: Path) -> None:
    """So xbps-create packs symlinks that share an inode; of a hard link to that link too."""
    payload = [
        file("./b", type=tarfile.SYMTYPE, linkname="../x"),
        file("./a", type=tarfile.LNKTYPE, linkname="./b"),
        file("./c/a", type=tarfile.LNKTYPE, linkname="./a"),
    ]
    found = [(one.name, one.kind, one.target) for one, _ in read_all(package(tmp_path, payload))]
    assert found == [(name, "symlink", "../x") for name in ("./b", "./a", "./c/a")]
