"""Two artifacts or two image sets are compared; release notes come of the latter."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import voidimg, voidimg_json
from tests.http_server import serving
from tests.unit.release.made_sets import make_set
from voidimg.errors import ReleaseError, UsageError
from voidimg.release.diff import diff
from voidimg.release.difference import ArtifactDifference, package_changes
from voidimg.release.manifest import Manifest
from voidimg.release.notes import release_notes
from voidimg.release.set_difference import SetDifference
from voidimg.supply.lock import Lock, LockedPackage, LockedPlatform, LockedRepository, LockedStage
from voidimg.xbps.plist import encode

SHA = "0" * 64
PKGDB = "var/db/xbps/pkgdb-0.38.plist"
SERVICES = "etc/runit/runsvdir/default"
KEY = "untrusted comment: minisign public key A3FCFCCA9D356F86\nRW" + "S" * 54 + "\n"


def database(**versions: str) -> bytes:
    return encode(
        {
            name: {
                "pkgver": f"{name}-{version}",
                "architecture": "aarch64",
                "state": "installed",
                "automatic-install": False,
            }
            for name, version in versions.items()
        }
    )


def tar(path: Path, files: Mapping[str, bytes | str], modes: Mapping[str, int] = {}) -> Path:
    """A ROOTFS of `files`; a text is the target of a link."""
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.mode = modes.get(name, 0o644)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


OLD: dict[str, bytes | str] = {
    PKGDB: database(base="1_1", gone="2_1", xz="5.4_1", libfoo="2_1"),
    "etc/shadow": b"root:!:1::::::\n",
    "etc/passwd": b"root:x:0:0::/root:/bin/sh\n",
    f"{SERVICES}/sshd": "/etc/sv/sshd",
    "etc/fstab": b"UUID=x / ext4 defaults 0 1\n",
    "usr/bin/tool": b"one",
    "usr/bin/same": b"same",
}
NEW: dict[str, bytes | str] = {
    **OLD,
    PKGDB: database(base="1_1", new="1_1", xz="5.6_1", libfoo="1_9"),
    "etc/shadow": b"root::1::::::\n",
    f"{SERVICES}/chronyd": "/etc/sv/chronyd",
    "etc/fstab": b"UUID=x / ext4 ro 0 1\n",
    "usr/bin/tool": b"two",
    "usr/bin/other": b"x",
}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return (
        tar(tmp_path / "void-aarch64-ROOTFS-20240314.tar", OLD),
        tar(tmp_path / "void-aarch64-ROOTFS-20250202.tar", NEW, {"usr/bin/tool": 0o4755}),
    )


def test_artifacts_are_compared_by_what_is_in_them(pair: tuple[Path, Path]) -> None:
    found = diff(*pair)
    assert isinstance(found, ArtifactDifference)
    assert {(one.name, one.change) for one in found.packages} == {
        ("gone", "removed"),
        ("new", "added"),
        ("xz", "upgraded"),
        ("libfoo", "downgraded"),
    }
    files = {one.path: (one.change, one.what) for one in found.files}
    assert files["/usr/bin/tool"] == ("changed", ("mode 0644 -> 4755", "content"))
    assert files["/usr/bin/other"] == ("added", ())
    assert "/usr/bin/same" not in files
    facts = {(one.section, one.what): (one.old, one.new) for one in found.facts}
    assert facts["services", "chronyd"] == (None, "enabled")
    assert facts["access", "password of root"] == ("locked", "empty")
    assert facts["fstab", "mount /"] == ("UUID=x / ext4 defaults 0 1", "UUID=x / ext4 ro 0 1")
    assert not found.is_empty


def test_an_artifact_does_not_differ_from_itself(pair: tuple[Path, Path]) -> None:
    found = diff(pair[0], pair[0])
    assert found.is_empty
    ended = voidimg("diff", pair[0], pair[0])
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, "both hold the same")


def test_the_command_says_it_as_text_and_as_json(pair: tuple[Path, Path]) -> None:
    text = voidimg("diff", *pair).stdout
    for line in (
        "packages: 1 added, 1 downgraded, 1 removed, 1 upgraded",
        "  ~ xz-5.4_1 -> xz-5.6_1  (upgraded)",
        "  + chronyd: enabled",
        "  ~ /usr/bin/tool  mode 0644 -> 4755; content",
    ):
        assert line in text.splitlines()
    said = voidimg_json("diff", "--json", *pair)
    assert said["old"]["name"] == pair[0].name
    assert [one["change"] for one in said["packages"]] == [
        *("removed", "downgraded", "added", "upgraded"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [("a-1_1", "a-1_2", "upgraded"), ("a-1.10_1", "a-1.9_1", "downgraded"), ("a-1_1", "a-1_1", "")],
)
def test_versions_are_compared_as_xbps_does(old: str, new: str, change: str) -> None:
    assert [one.change for one in package_changes({"a": old}, {"a": new})] == [change] * bool(
        change
    )


# --- image sets ---


def lock(*packages: tuple[str, bool]) -> Lock:
    repository = LockedRepository("https://x.example/current", "aarch64", SHA, None)
    platform = LockedPlatform("rpi-aarch64", "base", "aarch64", LockedStage(0, ("base",)))
    return Lock(
        (repository,),
        tuple(
            LockedPackage(pkgver, "aarch64", 0, 1, SHA, "rootfs", automatic)
            for pkgver, automatic in packages
        ),
        (platform,),
    )


def image_set(top: Path, date: str, content: Lock) -> Path:
    """A set whose lock is `content`."""
    directory = make_set(top, date)
    name = f"void-{date}.lock.json"
    encoded = content.encode()
    (directory / name).write_bytes(encoded)
    said = json.loads((directory / "manifest.json").read_bytes())
    sha256 = hashlib.sha256(encoded).hexdigest()
    said["lock"] = {"name": name, "size": len(encoded), "sha256": sha256}
    manifest = Manifest.decode(json.dumps(said).encode(), "here")
    (directory / "manifest.json").write_bytes(manifest.encode())
    return directory


@pytest.fixture
def sets(tmp_path: Path) -> tuple[Path, Path]:
    return (
        image_set(tmp_path, "20240314", lock(("linux-6.6_1", False), ("liba-1_1", True))),
        image_set(
            tmp_path, "20250202", lock(("linux-6.12_1", False), ("liba-2_1", True), ("b-1_1", True))
        ),
    )


def test_sets_are_compared_without_their_dates(sets: tuple[Path, Path]) -> None:
    found = diff(*sets)
    assert isinstance(found, SetDifference)
    assert [one.name for one in found.files] == [
        "void-aarch64-ROOTFS-DATE.tar.xz",
        "void-rpi-aarch64-DATE.img.xz",
    ]
    assert found.packages is not None
    (arch,) = found.packages
    assert [(one.name, one.change) for one in arch.packages] == [
        *(("b", "added"), ("liba", "upgraded"), ("linux", "upgraded")),
    ]
    assert diff(sets[0], sets[0]).is_empty


def test_a_set_of_checksums_alone_is_compared_too(sets: tuple[Path, Path]) -> None:
    """As Void's published ones, which have neither manifest nor lock."""
    sums = "".join(
        f"SHA256 ({path.name}) = {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for path in sorted(sets[0].iterdir())
        if path.name.endswith(".xz")
    )
    for path in sets[0].iterdir():
        if not path.name.endswith(".xz"):
            path.unlink()
    (sets[0] / "sha256sum.txt").write_text(sums)
    found = diff(*sets)
    assert isinstance(found, SetDifference)
    assert (found.old.date, found.packages, len(found.files)) == ("20240314", None, 2)


@pytest.mark.parametrize("named", ["", "/", "/manifest.json"])
def test_sets_of_a_server_are_compared(sets: tuple[Path, Path], named: str) -> None:
    with serving(sets[0].parent) as server:
        urls = [f"{server.url}/{one.name}{named}" for one in sets]
        found, here = diff(*urls), diff(*sets)
    assert isinstance(found, SetDifference)
    assert isinstance(here, SetDifference)
    assert (found.files, found.packages) == (here.files, here.packages)


def test_another_lock_than_the_listed_one_is_refused(sets: tuple[Path, Path]) -> None:
    (sets[1] / "void-20250202.lock.json").write_bytes(lock(("evil-1_1", False)).encode())
    with pytest.raises(ReleaseError) as caught:
        diff(*sets)
    assert caught.value.code == "E-RELEASE-OTHER-LOCK"


def test_what_cannot_be_compared_is_refused(
    sets: tuple[Path, Path], pair: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="is an image set, and"):
        diff(sets[0], pair[0])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReleaseError, match="neither"):
        diff(sets[0], tmp_path / "empty")
    assert voidimg("diff", "--notes", *pair).returncode == 2
    assert voidimg("diff", "--title", "x", *sets).returncode == 2


def test_release_notes(sets: tuple[Path, Path], tmp_path: Path) -> None:
    """Front matter, highlights, what people asked for by name, and the key as its two lines."""
    (tmp_path / "news.md").write_text("* [Installer](https://x.example/1) asks less.\n")
    (tmp_path / "key.pub").write_text(KEY)
    words: list[str | Path] = [
        "--notes",
        "--highlights",
        tmp_path / "news.md",
        "--key",
        tmp_path / "key.pub",
    ]
    ended = voidimg("diff", *words, "--title", 'A "new" set', *sets)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[:4] == ["---", r'title: "A \"new\" set"', "layout: post", "---"]
    assert "* [Installer](https://x.example/1) asks less." in lines
    assert "2 upgraded, 1 added." in lines
    assert "| linux | 6.6\\_1 | 6.12\\_1 |" in lines
    assert not any("liba" in line for line in lines)
    assert lines[-4:] == ["```", *KEY.splitlines(), "```"]


def test_names_have_no_meaning_in_markdown(sets: tuple[Path, Path]) -> None:
    found = diff(*sets)
    assert isinstance(found, SetDifference)
    old = replace(found.old, name="[x](http://evil) <b>|", date=None)
    text = release_notes(replace(found, old=old))
    assert r"\[x\]\(http://evil\) \<b\>\|" in text


@pytest.mark.parametrize("key", ["", "x", "untrusted comment: a\nRWx\n", KEY * 2])
def test_what_is_not_a_key_does_not_get_into_notes(sets: tuple[Path, Path], key: str) -> None:
    found = diff(*sets)
    assert isinstance(found, SetDifference)
    with pytest.raises(ReleaseError) as caught:
        release_notes(found, key=key)
    assert caught.value.code == "E-RELEASE-NOTES-KEY"
