"""The EFI system partition: what fsck and mtools find in it, the same bytes, what is missing."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import voidimg
from tests.unit.live.isos import EPOCH
from tests.unit.sandbox.conftest import adopt
from voidimg.disk.grub_core import GRUB_MODULES, probe_grub
from voidimg.disk.grub_version import release_of, version_of_host, version_of_loader
from voidimg.errors import LayoutError, ScriptError, ToolError
from voidimg.formats.fat import read_fat
from voidimg.inspection.boot_files import BootFiles
from voidimg.live.efi import LABEL, make_esp
from voidimg.run import run
from voidimg.sandbox.namespace import call
from voidimg.spec.templates import Templates

PROJECT = Path(voidimg.__file__).parent.parent
TEMPLATES = Templates.read([PROJECT / "voidimg/templates"])
X86 = ("x86_64-efi", "i386-efi")
MACHINES = {"BOOTX64.EFI": 0x8664, "BOOTIA32.EFI": 0x14C}
"""The PE machine types (Microsoft PE format)."""


def make(
    out: Path, tree: Path = Path("/"), platforms: tuple[str, ...] = X86, epoch: int = EPOCH
) -> Path:
    """An ESP from the modules in `tree`: by default those of this host's own GRUB."""
    make_esp(
        tree, out, platforms, volume_id="VOID_TEST", serial=0x1234ABCD, epoch=epoch,
        templates=TEMPLATES,
    )  # fmt: skip
    return out


@pytest.fixture(scope="module")
def esp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ESP of an x86 ISO."""
    return make(tmp_path_factory.mktemp("esp") / "efiboot.img")


def test_it_is_a_small_clean_fat12(esp: Path) -> None:
    """FAT12 with our serial and label, all dates the epoch."""
    run(["fsck.fat", "-n", esp])
    size = esp.stat().st_size
    assert size % 2**20 == 0
    assert size <= 4 * 2**20
    with esp.open("rb") as file:
        volume = read_fat(file, 0, size)
    assert volume is not None
    assert (volume.bits, volume.serial, volume.label) == (12, "1234-ABCD", LABEL)
    listing = run(["mdir", "-/", "-i", esp, "::/"], env={"MTOOLSRC": "/dev/null"}).stdout.decode()
    assert listing.count("2024-03-14   0:00") == 8


def test_it_has_a_loader_for_each_kind_of_firmware(esp: Path) -> None:
    """By the names that firmware starts, each an EFI program for its processor."""
    assert BootFiles(esp, 0).list() == tuple(f"/EFI/BOOT/{name}" for name in sorted(MACHINES))
    for name, machine in MACHINES.items():
        program = BootFiles(esp, 0).read(f"/EFI/BOOT/{name}")
        (header,) = struct.unpack_from("<I", program, 0x3C)
        assert program[header : header + 4] == b"PE\0\0"
        assert struct.unpack_from("<H", program, header + 4) == (machine,)
        (subsystem,) = struct.unpack_from("<H", program, header + 24 + 68)
        assert subsystem == 10  # EFI application


def test_the_loaders_look_for_the_medium(esp: Path) -> None:
    """By the volume id, and then go on with the menu there."""
    for name in MACHINES:
        program = BootFiles(esp, 0).read(f"/EFI/BOOT/{name}")
        assert b"search --no-floppy --set=root --label VOID_TEST\n" in program
        assert b"configfile ($root)/boot/grub/grub.cfg\n" in program


SCRIPT = """
import os, sys
from pathlib import Path
from tests.unit.live.test_efi import make
os.umask(0o077)
make(Path(sys.argv[1]), platforms=("i386-efi", "x86_64-efi"))
"""


def test_the_same_modules_give_the_same_bytes(esp: Path, tmp_path: Path) -> None:
    """Whatever directory, time zone, umask, locale and order."""
    out = tmp_path / "some" / "esp"
    variables = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONPATH": str(PROJECT)}
    subprocess.run(
        [sys.executable, "-c", SCRIPT, out],
        env={**os.environ, **variables},
        cwd=tmp_path,
        check=True,
    )
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (esp, out)}
    assert len(digests) == 1
    assert out.stat().st_mode & 0o777 == 0o644


def test_the_modules_are_those_of_the_tree(tmp_path: Path) -> None:
    """Never this host's: without GRUB in the tree, or without a module, it says so."""
    tree = tmp_path / "tree"
    modules = tree / GRUB_MODULES[1:] / "x86_64-efi"
    with pytest.raises(LayoutError, match="the tree has not GRUB for x86_64-efi"):
        make(tmp_path / "esp", tree, ("x86_64-efi",))
    shutil.copytree(f"{GRUB_MODULES}/x86_64-efi", modules)
    make(tmp_path / "esp", tree, ("x86_64-efi",))
    assert BootFiles(tmp_path / "esp", 0).list() == ("/EFI/BOOT/BOOTX64.EFI",)
    (modules / "iso9660.mod").unlink()
    with pytest.raises(LayoutError, match="has not the module iso9660 of GRUB"):
        make(tmp_path / "esp", tree, ("x86_64-efi",))


def test_modules_are_not_taken_through_a_link_out_of_the_tree(tmp_path: Path) -> None:
    """A package cannot make the host's files part of the image."""
    (tmp_path / "tree/usr/lib").mkdir(parents=True)
    (tmp_path / "tree/usr/lib/grub").symlink_to("/usr/lib/grub")
    with pytest.raises(LayoutError, match="does not stay inside the tree"):
        make(tmp_path / "esp", tmp_path / "tree")


def grub_tree(place: Path) -> Path:
    """A tree with a GRUB of its own for 64-bit firmware; the directory of its modules."""
    modules = place / "tree" / GRUB_MODULES[1:] / "x86_64-efi"
    shutil.copytree(f"{GRUB_MODULES}/x86_64-efi", modules)
    return modules


@pytest.mark.parametrize("name", ["x86_64-efi", "cat.mod", "kernel.img", "moddep.lst"])
def test_no_part_of_grub_is_taken_through_a_link(name: str, tmp_path: Path) -> None:
    """grub-mkimage would follow it: what lies behind it on the host would get into the image."""
    modules = grub_tree(tmp_path)
    part = modules if name == modules.name else modules / name
    part.rename(tmp_path / name)
    part.symlink_to(tmp_path / name)
    with pytest.raises(
        LayoutError, match=r"the tree has not .*GRUB|does not stay inside"
    ) as caught:
        make(tmp_path / "esp", tmp_path / "tree", ("x86_64-efi",))
    assert caught.value.code in ("E-LAYOUT-NO-GRUB", "E-LAYOUT-OUTSIDE")
    assert not (tmp_path / "esp").exists()


def test_modules_do_not_depend_on_files_elsewhere(tmp_path: Path) -> None:
    """grub-mkimage takes what moddep.lst names as a path."""
    modules = grub_tree(tmp_path)
    (tmp_path / "secret.mod").write_text("of this host")
    text = (modules / "moddep.lst").read_text()
    assert "\ncat:" in text
    (modules / "moddep.lst").write_text(text.replace("\ncat:", f"\ncat: {tmp_path}/secret"))
    with pytest.raises(LayoutError, match="names modules in other directories") as caught:
        make(tmp_path / "esp", tmp_path / "tree", ("x86_64-efi",))
    assert caught.value.code == "E-LAYOUT-OUTSIDE"


def test_a_host_without_grub_is_told_of_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the package to install."""
    probe_grub()
    monkeypatch.setattr("voidimg.programs.SEARCH_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="apt-get install grub-common"):
        probe_grub()


def modinfo(tree: Path, version: str | None) -> None:
    """Let the modules of `tree` say another version, or none."""
    path = tree / GRUB_MODULES[1:] / "x86_64-efi/modinfo.sh"
    text = path.read_text()
    path.unlink()
    if version is not None:
        path.write_text(text.replace(f'grub_version="{version_of_host()}"', f"{version}"))


@pytest.mark.parametrize("version", ['grub_version="2.12"', 'grub_version=""', None])
def test_modules_of_another_version_are_not_put_together_by_this_host(
    version: str | None, tmp_path: Path
) -> None:
    """Other projects shipped loaders that stopped; the tree's own program is right always."""
    grub_tree(tmp_path)
    modinfo(tmp_path / "tree", version)
    with pytest.raises(LayoutError, match="what they make together may not start") as caught:
        make(tmp_path / "esp", tmp_path / "tree", ("x86_64-efi",))
    assert caught.value.code == "E-LAYOUT-GRUB-VERSION"
    assert not (tmp_path / "esp").exists()


def test_the_program_of_the_tree_is_taken(tmp_path: Path) -> None:
    """In the sandbox, whatever this host has: the same bytes, and nothing stays behind."""
    grub_tree(tmp_path)
    tree = tmp_path / "tree"
    (tree / "boot").mkdir()
    take_program(tree, "grub-mkimage")
    modinfo(tree, 'grub_version="2.12"')
    before = sorted(tree.rglob("*"))
    call(adopt, str(tree))
    call(make_from, tree, tmp_path / "esp")
    made = BootFiles(tmp_path / "esp", 0).read("/EFI/BOOT/BOOTX64.EFI")
    make(tmp_path / "host", platforms=("x86_64-efi",))
    assert made == BootFiles(tmp_path / "host", 0).read("/EFI/BOOT/BOOTX64.EFI")
    assert (version_of_loader(made) or "").startswith(f"{version_of_host()}")
    assert {path for path in tree.rglob("*") if path.is_file()} <= set(before)


def test_a_program_of_the_tree_that_fails_is_told(tmp_path: Path) -> None:
    """With what it said."""
    modules = grub_tree(tmp_path)
    tree = tmp_path / "tree"
    (tree / "boot").mkdir()
    take_program(tree, "grub-mkimage")
    (modules / "kernel.img").write_bytes(b"no kernel")
    call(adopt, str(tree))
    with pytest.raises(ScriptError, match="grub-mkimage of the tree failed") as caught:
        call(make_from, tree, tmp_path / "esp")
    assert caught.value.code == "E-SCRIPT-GRUB"
    assert not (tmp_path / "esp").exists()


def make_from(tree: Path, out: Path) -> None:
    make_esp(
        tree, out, ("x86_64-efi",), volume_id="VOID_TEST", serial=1, epoch=EPOCH,
        templates=TEMPLATES, arch=os.uname().machine,
    )  # fmt: skip


def take_program(tree: Path, name: str) -> None:
    """This host's program and its libraries, as a package of the tree would bring them."""
    program = shutil.which(name)
    assert program is not None
    listed = run(["ldd", program]).stdout.decode()
    for library in {word for word in listed.split() if word.startswith("/")} | {program}:
        target = tree / library[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(library).resolve(), target)
    tree.chmod(0o755)


@pytest.mark.parametrize(
    ("said", "release"),
    [("2.06-13+deb12u2", "2.06"), ("2.12", "2.12"), ("2.12~rc1", "2.12~rc1"), ("2.14_1", "2.14")],
)
def test_a_version_without_what_a_distribution_adds(said: str, release: str) -> None:
    assert release_of(said) == release
    assert version_of_loader(b"x\0GNU GRUB  version %s\0\0" + said.encode() + b"\0y") == said


def test_a_program_that_says_no_version() -> None:
    assert version_of_loader(b"MZ GRUB") is None
