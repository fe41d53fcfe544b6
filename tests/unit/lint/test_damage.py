"""Twenty kinds of damage to each kind of artifact, and what lint says of each."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard

from tests.live_medium import PKGDB as LIVE_PKGDB
from tests.live_medium import RELEASE, Spoiled, kernel_image, make_medium
from tests.unit.lint.subjects import PKGDB, SYSTEM, Files, make_image, tree_of
from voidimg.formats.iso9660 import open_iso
from voidimg.formats.partition_table import read_table
from voidimg.lint.lint import lint_artifact
from voidimg.lint.model import LintReport
from voidimg.run import run
from voidimg.xbps.plist import PlistDict, decode, encode

PROGRAM, CONF, LINK = "/usr/bin/tool", "/etc/tool.conf", "/usr/bin/link"
CONTENT = bytes(range(256)) * 64
KERNEL = "/boot/kernel8.img"
LIVE_KERNEL = f"/boot/vmlinuz-{RELEASE}"
METAFILE = "/var/db/xbps/.tool-files.plist"
GROUP = b"root:x:0:\n"


def metafile(*, kernel: bool) -> bytes:
    """What the package database says that the package consists of."""
    files = [(PROGRAM, CONTENT)]
    if kernel:
        content = SYSTEM[KERNEL]
        assert isinstance(content, bytes)
        files.append((KERNEL, content))
    else:
        files.append((LIVE_KERNEL, kernel_image()))
    return encode(
        {
            "files": [
                {"file": path, "sha256": sha256(what).hexdigest(), "size": len(what)}
                for path, what in files
            ],
            "conf_files": [{"file": CONF, "sha256": sha256(b"a = b\n").hexdigest(), "size": 6}],
            "links": [{"file": LINK, "target": PROGRAM}],
            "dirs": [{"file": "/usr/share/tool"}],
        }
    )


def package_files(base: bytes, *, kernel: bool) -> dict[str, bytes | str | None]:
    """A package with a file of each kind, entered into the package database `base`."""
    files = metafile(kernel=kernel)
    database: PlistDict = decode(base, where=PKGDB)
    architecture = "aarch64" if kernel else "x86_64"
    database["tool"] = {
        "pkgver": "tool-1_1", "architecture": architecture, "state": "installed",
        "metafile-sha256": sha256(files).hexdigest(),
    }  # fmt: skip
    own = {} if kernel else {LIVE_KERNEL: kernel_image()}
    return {
        **own,
        PROGRAM: CONTENT, CONF: b"a = b\n", LINK: "tool", "/usr/share/tool": None,
        "/etc/group": GROUP, METAFILE: files, PKGDB: encode(database),
    }  # fmt: skip


@dataclass(frozen=True)
class Damage:
    """What is done to the tree before the artifact is made of it, or to the artifact itself."""

    changes: Files = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    mode: tuple[str, int] | None = None
    owner: tuple[str, int] | None = None
    spoil: Callable[[Path], None] | None = None


def truncate(path: Path) -> None:
    """As a download that stopped."""
    os.truncate(path, path.stat().st_size * 3 // 4)


def find(path: Path, content: bytes) -> int:
    """Where `content` begins in the file."""
    at = path.read_bytes().find(content)
    assert at > 0
    return at


def overwrite(path: Path, at: int, content: bytes) -> None:
    """Other bytes at one place."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def zero_root(path: Path) -> None:
    """The tables of the root filesystem of an image are lost."""
    overwrite(path, read_table(path).partition(2).offset_bytes + 4096, bytes(2**18))


def zero_fat(path: Path) -> None:
    """The first of two file allocation tables is lost."""
    at = read_table(path).partition(1).offset_bytes
    reserved = int.from_bytes(path.read_bytes()[at + 14 : at + 16], "little")
    overwrite(path, at + reserved * 512, bytes(2048))


def zero_squashfs(path: Path) -> None:
    """Part of the data of the squashfs of an ISO is lost."""
    with open_iso(path) as iso:
        at = iso.offset_bytes("/LiveOS/squashfs.img")
    assert at is not None
    overwrite(path, at + 96, bytes(256))


def zero_content(path: Path) -> None:
    """Part of a file's content is lost, where it is stored as it is."""
    overwrite(path, find(path, CONTENT[:1024]) + 512, bytes(512))


TREE_DAMAGE: list[tuple[str, Damage, str, str]] = [
    ("zeros", Damage({PROGRAM: bytes(len(CONTENT))}), "package-files", "zeros"),
    ("shorter", Damage({PROGRAM: CONTENT[:99]}), "package-files", "shorter than in its package"),
    ("longer", Damage({PROGRAM: CONTENT + b"x"}), "package-files", "longer than in its package"),
    ("exchanged", Damage({PROGRAM: CONTENT[::-1]}), "package-files", "the SHA-256 differs"),
    ("empty", Damage({PROGRAM: b""}), "package-files", "shorter than"),
    ("missing", Damage(gone=(PROGRAM,)), "package-files", "there is no such file"),
    ("a link for a file", Damage({PROGRAM: "/bin/x"}), "package-files", "it is a symlink"),
    ("a directory for a file", Damage({PROGRAM: None}), "package-files", "it is a directory"),
    ("missing link", Damage(gone=(LINK,)), "package-files", "there is no such symlink"),
    ("wrong link", Damage({LINK: "other"}), "package-files", "leads to other"),
    ("missing directory", Damage(gone=("/usr/share/tool",)), "package-files", "such directory"),
    ("file list changed", Damage({METAFILE: encode({})}), "package-files", "is not the one"),
    ("file list missing", Damage(gone=(METAFILE,)), "package-files", "nothing says what"),
    ("conf file missing", Damage(gone=(CONF,)), "package-conf-files", "no such configuration"),
    ("conf file zeros", Damage({CONF: bytes(6)}), "package-conf-files", "zeros"),
    ("not to be run", Damage(mode=(PROGRAM, 0o644)), "package-programs", "nobody can run it"),
    ("wrong owner", Damage(owner=(PROGRAM, 1000)), "package-programs", "uid 1000, which no user"),
    ("world-writable", Damage(mode=(PROGRAM, 0o777)), "package-modes", "everybody can write"),
]  # fmt: skip
"""Kind of damage to the tree, the check that tells it, words of what it says."""


def prepared(place: Path, damage: Damage, files: Files) -> Path:
    """The tree of the system with the package in it, and the damage done."""
    changes = {**files, **damage.changes}
    tree = tree_of(place, changes, damage.gone)
    if damage.mode is not None:
        (tree / damage.mode[0][1:]).chmod(damage.mode[1])
    return tree


def owned(damage: Damage) -> tuple[str, ...]:
    """Words of tar that give one file to another owner."""
    return () if damage.owner is None else (f"--owner={damage.owner[1]}",)


def pi_files() -> dict[str, bytes | str | None]:
    base = SYSTEM[PKGDB]
    assert isinstance(base, bytes)
    return package_files(base, kernel=True)


def tar_of(place: Path, damage: Damage) -> Path:
    """A PLATFORMFS tar; all of it belongs to another when one file should."""
    tree = prepared(place, damage, pi_files())
    path = place / "void-rpi-aarch64-PLATFORMFS-20240314.tar"
    run(["tar", "-c", "--format=posix", "--owner=0", "--group=0", *owned(damage), "-f", path, "."],
        cwd=tree)  # fmt: skip
    return path


def packed(pack: Callable[[bytes], bytes], suffix: str) -> Callable[[Path, Damage], Path]:
    """The tar, compressed."""

    def make(place: Path, damage: Damage) -> Path:
        tar = tar_of(place, damage)
        path = place / f"{tar.name.removesuffix('.tar')}{suffix}"
        path.write_bytes(pack(tar.read_bytes()))
        return path

    return make


def iso_of(place: Path, damage: Damage) -> Path:
    """A live ISO with the package in its squashfs."""
    files = {**package_files(encode(LIVE_PKGDB), kernel=False), **damage.changes}
    spoiled = Spoiled(tree=files, gone=damage.gone)
    return make_medium(place, spoiled)


TARS: dict[str, Callable[[Path, Damage], Path]] = {
    "tar": tar_of,
    "tar.xz": packed(lambda raw: lzma.compress(raw, preset=0), ".tar.xz"),
    "tar.zst": packed(zstandard.ZstdCompressor().compress, ".tar.zst"),
    "wsl": packed(lambda raw: gzip.compress(raw, 1), ".wsl"),
}


def told(report: LintReport, check: str) -> list[str]:
    return [
        f"{one.object}: {one.what}" for one in report.defects if one.check in (check, "readable")
    ]


@pytest.mark.parametrize(("name", "damage", "check", "words"), TREE_DAMAGE)
def test_damage_to_a_tar(name: str, damage: Damage, check: str, words: str, tmp_path: Path) -> None:
    """What the package database says is held against every file."""
    found = told(lint_artifact(tar_of(tmp_path, damage)), check)
    assert any(words in one for one in found), (name, found)


@pytest.mark.parametrize("kind", TARS)
def test_a_sound_tar_is_clean(kind: str, tmp_path: Path) -> None:
    """Whatever its compression."""
    assert lint_artifact(TARS[kind](tmp_path, Damage())).defects == ()


def test_sound_images_and_isos_are_clean(tmp_path: Path) -> None:
    """With the same package in them."""
    assert lint_artifact(image_of(tmp_path / "a", Damage())).defects == ()
    assert lint_artifact(iso_of(tmp_path / "b", Damage())).defects == ()


@pytest.mark.parametrize("kind", TARS)
def test_a_truncated_tar_is_told(kind: str, tmp_path: Path) -> None:
    """As a download that stopped."""
    path = TARS[kind](tmp_path, Damage())
    truncate(path)
    assert lint_artifact(path).count("error")


IMAGE_DAMAGE = [one for one in TREE_DAMAGE if one[1].owner is None and one[1].mode is None]


def image_of(place: Path, damage: Damage) -> Path:
    return make_image(place, {**pi_files(), **damage.changes}, damage.gone)


@pytest.mark.parametrize(("name", "damage", "check", "words"), IMAGE_DAMAGE[:1] + IMAGE_DAMAGE[3:6])
def test_damage_to_an_image(
    name: str, damage: Damage, check: str, words: str, tmp_path: Path
) -> None:
    """The same in its root filesystem."""
    found = told(lint_artifact(image_of(tmp_path, damage)), check)
    assert any(words in one for one in found), (name, found)


def cut_image(path: Path) -> None:
    """The last MiB is lost."""
    os.truncate(path, path.stat().st_size - 2**20)


SPOILED_IMAGES: list[tuple[str, Callable[[Path], None], str]] = [
    ("zeros in the root filesystem", zero_root, "ext4-sound"),
    ("truncated", cut_image, "readable"),
    ("zeros in the FAT", zero_fat, "fat-sound"),
    ("zeros in a file", zero_content, "package-files"),
]
"""Damage to the bytes of an image, and one of the checks that tell it."""


@pytest.mark.parametrize(("name", "spoil", "check"), SPOILED_IMAGES)
def test_damaged_bytes_of_an_image(
    name: str, spoil: Callable[[Path], None], check: str, tmp_path: Path
) -> None:
    """Plain, and found by what reads to the end only."""
    path = image_of(tmp_path, Damage())
    spoil(path)
    found = lint_artifact(path)
    assert told(found, check) or found.count("error"), name
    assert check in {one.check for one in found.defects} or told(found, "readable"), name


def test_another_kernel_on_the_boot_partition_is_told(tmp_path: Path) -> None:
    """The FAT holds what the package of the kernel has."""
    path = image_of(tmp_path, Damage({KERNEL: gzip.compress(b"no kernel")}))
    assert any("kernel8.img (tool)" in one for one in told(lint_artifact(path), "package-files"))


@pytest.mark.parametrize(
    ("name", "damage", "check", "words"), [TREE_DAMAGE[0], TREE_DAMAGE[3], TREE_DAMAGE[5]]
)
def test_damage_to_an_iso(
    name: str, damage: Damage, check: str, words: str, tmp_path: Path
) -> None:
    """The same in its squashfs."""
    found = told(lint_artifact(iso_of(tmp_path, damage)), check)
    assert any(words in one for one in found), (name, found)


def zero_esp(path: Path) -> None:
    """The first file allocation table of the EFI system partition is lost."""
    with open_iso(path) as iso:
        (block,) = [one.block for one in iso.boot_entries if one.platform == "efi"]
    at = block * 2048
    reserved = int.from_bytes(path.read_bytes()[at + 14 : at + 16], "little")
    overwrite(path, at + reserved * 512, bytes(512))


def other_kernel(path: Path) -> None:
    """One byte of the kernel on the ISO is another."""
    with open_iso(path) as iso:
        (name,) = [one for one in iso.files if one.startswith("/boot/vmlinuz")]
        at = iso.offset_bytes(name)
    assert at is not None
    overwrite(path, at + 3000, b"x")


SPOILED_ISOS: list[tuple[str, Callable[[Path], None], str]] = [
    ("zeros in the squashfs", zero_squashfs, "package-files"),
    ("zeros in the EFI system partition", zero_esp, "iso-efi-sound"),
    ("one byte of the kernel", other_kernel, "iso-kernel-file"),
]
"""Damage to the bytes of an ISO, and the check that tells it."""


@pytest.mark.parametrize(("name", "spoil", "check"), SPOILED_ISOS)
def test_damaged_bytes_of_an_iso(
    name: str, spoil: Callable[[Path], None], check: str, tmp_path: Path
) -> None:
    """Found by what reads to the end only."""
    path = Path(shutil.copy(iso_of(tmp_path, Damage()), tmp_path / "spoiled.iso"))
    spoil(path)
    assert told(lint_artifact(path), check), name


def test_zeros_in_a_squashfs_are_told(tmp_path: Path) -> None:
    """No check of the structures sees them; quick says that it did not look."""
    path = Path(shutil.copy(iso_of(tmp_path, Damage()), tmp_path / "spoiled.iso"))
    zero_squashfs(path)
    found = lint_artifact(path)
    assert told(found, "package-files")
    quick = lint_artifact(path, deep=False)
    assert "package-files" in quick.skipped
    assert "package-files" not in quick.checks


def test_a_truncated_iso_is_told(tmp_path: Path) -> None:
    """It says how long it should be."""
    path = Path(shutil.copy(iso_of(tmp_path, Damage()), tmp_path / "spoiled.iso"))
    truncate(path)
    assert lint_artifact(path).count("error")


def test_a_file_that_a_profile_edits_is_no_damage(tmp_path: Path) -> None:
    """Configuration files are there to be changed."""
    path = tar_of(tmp_path, Damage({CONF: b"mine = yes\n"}))
    assert lint_artifact(path).defects == ()
