"""Packages and repositories made here are those that xbps-create and xbps-rindex make."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from voidimg.errors import PackageError, StoreError, VerifyError
from voidimg.run import run
from voidimg.xbps.keys import PrivateKey
from voidimg.xbps.package.link_target import Links
from voidimg.xbps.package.reader import BinaryPackage
from voidimg.xbps.repository.local import (
    PackageMember,
    PackageMeta,
    architectures,
    create_repository_key,
    entry_of,
    index_packages,
    read_repodata,
    sign_packages,
    sign_repository,
    write_package,
)

VECTORS = Path(__file__).parents[2] / "vectors/xbps"
REPOS = VECTORS / "repos"
MADE_BY_XBPS_CREATE = sorted(
    path.relative_to(REPOS).as_posix()
    for name in ("main", "updates", "override", "staged", "unsigned")
    for path in (REPOS / name).glob("*.xbps")
    if not path.name.startswith("needs-baddep")  # a bare name, which we do not write
)
META = PackageMeta("foo", "1.0_1", "noarch", "test package")


def description_of(path: Path) -> tuple[PackageMeta, list[PackageMember]]:
    """What the package at `path` would be described as."""
    with BinaryPackage.open(path) as package:
        props: dict[str, Any] = {
            key.replace("-", "_"): value
            for key, value in package.props.items()
            if key not in ("pkgver", "installed_size")
        }
        meta = PackageMeta(
            **props,
            install_script=package.install_script or b"",
            remove_script=package.remove_script or b"",
        )
        files: Any = package.files
        mutable = {entry["file"] for entry in files.get("files", []) if "mutable" in entry}
        members = [PackageMember(entry["file"], "directory") for entry in files.get("dirs", [])]
        for member in package.members():
            kind: Any = member.kind
            members.append(
                PackageMember(
                    member.name[1:],
                    kind,
                    member.mode,
                    member.uid,
                    member.gid,
                    member.mtime,
                    package.read(10**8) if kind == "file" else None,
                    member.target.removeprefix("." if kind == "hardlink" else "") or None,
                    member.name[1:] in mutable,
                )
            )
    return meta, members


@pytest.mark.parametrize("name", MADE_BY_XBPS_CREATE)
def test_a_package_comes_out_as_xbps_create_makes_it(name: str, tmp_path: Path) -> None:
    """Described anew and in another order: same plists to the byte, same members in order."""
    meta, members = description_of(REPOS / name)
    path = write_package(tmp_path, meta, members[::-1])
    assert path.name == Path(name).name
    with BinaryPackage.open(REPOS / name) as theirs, BinaryPackage.open(path) as ours:
        assert ours.props_bytes == theirs.props_bytes
        assert ours.files_bytes == theirs.files_bytes
        assert ours.install_script == theirs.install_script
        assert ours.remove_script == theirs.remove_script
        assert list(ours.members()) == list(theirs.members())
    assert description_of(path) == (meta, members)


def test_bsdtar_reads_our_packages(tmp_path: Path) -> None:
    """The library that XBPS uses sees the same members with the same attributes."""
    name = "names-1.0_1.x86_64.xbps"
    meta, members = description_of(REPOS / "main" / name)
    path = write_package(tmp_path, meta, members)
    listings = [run(["bsdtar", "-tvf", file]).stdout for file in (path, REPOS / "main" / name)]
    assert listings[0] == listings[1]


def test_the_same_description_gives_the_same_bytes(tmp_path: Path) -> None:
    """Neither order, umask, directory nor source of the content leaves a trace."""
    file = tmp_path / "content"
    file.write_bytes(os.urandom(2**20) * 3)
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    small = PackageMember("/usr/bin/foo", mode=0o755, mtime=7, content=b"x")
    link = PackageMember("/usr/bin/bar", "hardlink", target="/usr/bin/foo")
    first = [PackageMember("/usr/lib/big", content=file), small, link]
    second = [link, small, PackageMember("/usr/lib/big", content=file.read_bytes())]
    before = os.umask(0o077)
    try:
        path = write_package(one, META, first)
    finally:
        os.umask(before)
    assert path.read_bytes() == write_package(two, META, second).read_bytes()
    assert path.stat().st_mode & 0o7777 == 0o644
    assert [entry.name for entry in one.iterdir()] == ["foo-1.0_1.noarch.xbps"]


def test_large_numbers_need_a_pax_header(tmp_path: Path) -> None:
    """Owners beyond octal 777777 and times before 1970 survive."""
    member = PackageMember("/f", uid=10**6, gid=3 * 10**6, mtime=-5, content=b"")
    path = write_package(tmp_path, META, [member])
    assert description_of(path)[1] == [member]


@pytest.mark.parametrize(
    "length", [90, 97, 98, 99, 100, 101, 150, 153, 154, 155, 156, 157, 200, 250, 255]
)
def test_names_of_every_length_survive(length: int, tmp_path: Path) -> None:
    """Name, prefix and pax header take over from each other without a gap."""
    members = [
        PackageMember("/" + "n" * length, content=b""),
        PackageMember("/d" * (length // 2) + "/x", "symlink", target="t" * length),
        PackageMember("/" + "p" * (length - 50) + "/" + "q" * 50, content=b"1"),
    ]
    _, found = description_of(write_package(tmp_path, META, members))
    archived = {entry.path: entry.target for entry in found if entry.kind != "directory"}
    assert archived == {entry.path: entry.target for entry in members}


@pytest.mark.parametrize(
    ("meta", "members"),
    [
        (PackageMeta("foo", "1.0", "noarch", "no revision"), []),
        (PackageMeta("foo", "1.0_1", "", "no architecture"), []),
        (PackageMeta("foo", "1.0_1", "noarch", ""), []),
        (PackageMeta("../foo", "1.0_1", "noarch", "path"), []),
        (PackageMeta("foo", "1.0_1", "noarch", "bare", run_depends=["bar"]), []),
        (PackageMeta("foo", "1.0_1", "noarch", "bare", provides=["bar"]), []),
        (PackageMeta("foo", "1.0_1", "noarch", "alt", alternatives={"g": ["x"]}), []),
        (META, [PackageMember("usr", content=b"")]),
        (META, [PackageMember("/../x", content=b"")]),
        (META, [PackageMember("/a\nb", content=b"")]),
        (META, [PackageMember("/a")]),
        (META, [PackageMember("/a", "symlink")]),
        (META, [PackageMember("/a", "hardlink", target="/b")]),
        (META, [PackageMember("/a", content=b""), PackageMember("/a", content=b"")]),
        (META, [PackageMember("/a", content=b""), PackageMember("/a/b", content=b"")]),
    ],
)
def test_impossible_descriptions_are_refused(
    meta: PackageMeta, members: list[PackageMember], tmp_path: Path
) -> None:
    """Nothing is written that XBPS, or we, would refuse to read; no half file stays behind."""
    with pytest.raises(PackageError) as caught:
        write_package(tmp_path, meta, members)
    assert caught.value.code == "E-PACKAGE-META"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_content_leaves_nothing_behind(tmp_path: Path) -> None:
    """The error names the file; the directory stays clean."""
    with pytest.raises(StoreError, match="none"):
        write_package(tmp_path, META, [PackageMember("/a", content=tmp_path / "none")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("../lib/f", "/usr/lib/f"),
        ("../../usr/lib/f", "/usr/lib/f"),
        ("../../../usr/lib/f", "../../../usr/lib/f"),
        ("./here", "./here"),
        ("/./usr/lib/f", "/./usr/lib/f"),
        ("../lib/f/", "/usr/lib/f"),
        ("../lib/f/x", "../lib/f/x"),
        ("../loop/x", "../loop/x"),
        ("../out/x", "../out/x"),
        ("../short/f", "/usr/lib/f"),
        ("a//b", "/usr/bin/a/b"),
    ],
)
def test_recorded_targets(text: str, target: str) -> None:
    """Text with ./ resolves within the package or stays; the rest is made absolute."""
    links = Links(
        directories={"/usr", "/usr/bin", "/usr/lib"},
        files={"/usr/lib/f"},
        symlinks={"/usr/loop": "loop", "/usr/out": "/usr/lib", "/usr/short": "lib"},
    )
    assert links.recorded_target("/usr/bin/l", text) == target


def recorded_copy(tmp_path: Path, *names: str) -> Path:
    for name in names:
        for path in REPOS.glob(f"{name}*"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_the_index_has_the_entries_of_the_real_tool(tmp_path: Path) -> None:
    """Indexing the recorded packages gives the recorded index."""
    recorded_copy(tmp_path, "override/*.xbps")
    theirs = read_repodata(REPOS / "override", "x86_64")
    ours = index_packages(tmp_path, "x86_64")
    assert ours.index == theirs.index
    assert read_repodata(tmp_path, "x86_64") == ours


def test_noarch_packages_are_in_every_index(tmp_path: Path) -> None:
    """Each architecture's index has its own packages and the noarch ones."""
    recorded_copy(tmp_path, "main/app-2*.xbps", "main/data-common*.xbps")
    assert architectures(tmp_path) == ["aarch64", "x86_64"]
    for arch in architectures(tmp_path):
        index = index_packages(tmp_path, arch).index
        assert {name: entry["architecture"] for name, entry in index.items()} == {
            "app": arch,
            "data-common": "noarch",
        }


def test_the_higher_version_stays_and_reverts_count(tmp_path: Path) -> None:
    """Order of arrival does not matter; 1.0_2 reverts 1.1_1 and so succeeds it."""
    recorded_copy(
        tmp_path,
        "*/libfoo-1.*.x86_64.xbps",
        "*/revert-1*.xbps",
    )
    one = index_packages(tmp_path, "x86_64", sorted(tmp_path.glob("*.xbps"))).encode()
    (tmp_path / "x86_64-repodata").unlink()
    packages = sorted(tmp_path.glob("*.xbps"), reverse=True)
    two = index_packages(tmp_path, "x86_64", packages)
    assert one == two.encode()
    assert two.index["libfoo"]["pkgver"] == "libfoo-1.3.0_1"
    assert two.index["revert"]["pkgver"] == "revert-1.0_2"


def test_entries_of_vanished_packages_are_pruned(tmp_path: Path) -> None:
    """Only when asked; a rebuilt package of the same version is entered anew."""
    write_package(tmp_path, META, [])
    gone = write_package(tmp_path, PackageMeta("bar", "1_1", "noarch", "x"), [])
    index_packages(tmp_path, "x86_64")
    gone.unlink()
    assert set(index_packages(tmp_path, "x86_64").index) == {"bar", "foo"}
    rebuilt = write_package(tmp_path, META, [PackageMember("/f", content=b"new")])
    index = index_packages(tmp_path, "x86_64", prune=True).index
    assert index == {"foo": entry_of(rebuilt)[2]}


def test_what_does_not_belong_into_an_index_is_refused(tmp_path: Path) -> None:
    """Another architecture, another directory, another name."""
    recorded_copy(tmp_path, "main/app-2*.aarch64.xbps")
    app = tmp_path / "app-2.0_1.aarch64.xbps"
    with pytest.raises(PackageError, match="cannot be indexed"):
        index_packages(tmp_path, "x86_64", [app])
    with pytest.raises(PackageError, match="cannot be indexed"):
        index_packages(tmp_path, "aarch64", [REPOS / "main/app-2.0_1.aarch64.xbps"])
    app.rename(tmp_path / "app-3.0_1.aarch64.xbps")
    with pytest.raises(PackageError, match=r"app-2\.0_1 for aarch64"):
        index_packages(tmp_path, "aarch64")


def test_a_signed_repository_verifies(tmp_path: Path) -> None:
    """With our keys and with openssl; re-indexing keeps the signer; XBPS's form of meta."""
    package = write_package(tmp_path, META, [PackageMember("/f", content=b"content")])
    key = PrivateKey.read(VECTORS / "keys/main.private.pem")
    with pytest.raises(StoreError, match="no index"):
        sign_repository(tmp_path, "x86_64", key, "Me")
    index_packages(tmp_path, "x86_64")
    sign_repository(tmp_path, "x86_64", key, "Me <me@example.invalid>")
    [signature] = sign_packages([package], key)
    meta = index_packages(tmp_path, "x86_64").meta
    assert meta is not None
    assert (meta.signed_by, meta.fingerprint) == (
        "Me <me@example.invalid>",
        "c3:86:44:75:83:6f:a5:02:61:3d:2a:a8:f6:57:97:05",
    )
    meta.key.verify(package, signature.read_bytes())
    (public := tmp_path / "public.pem").write_bytes(meta.key.pem)
    run(["openssl", "dgst", "-sha256", "-verify", public, "-signature", signature, package])
    package.write_bytes(package.read_bytes() + b"x")
    with pytest.raises(VerifyError):
        meta.key.verify(package, signature.read_bytes())


def test_a_new_key_signs(tmp_path: Path) -> None:
    """create_repository_key gives what sign_packages takes."""
    package = write_package(tmp_path, META, [])
    key = create_repository_key(tmp_path / "key.pem", 2048)
    [signature] = sign_packages([package], key)
    key.public().verify(package, signature.read_bytes())
