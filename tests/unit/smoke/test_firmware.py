"""What the firmware of a Raspberry Pi loads from a boot partition."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from voidimg.formats.partition_table import PartitionEntry, PartitionTable
from voidimg.inspection.boot_files import BootFiles
from voidimg.smoke.raspberry_pi import Config, load, parse_config, require_root
from voidimg.smoke.verdict import GuestError
from voidimg.spec.smoke_model import Machine

PI3 = Machine(medium="sd", machine="raspi3b", dtb="pi3.dtb", append="console=ttyAMA0")
FILES = {"kernel8.img": b"kernel", "cmdline.txt": b"root=PARTUUID=1-02 rw\n", "pi3.dtb": b"dtb"}


def _boot_partition(tmp_path: Path, files: Mapping[str, bytes]) -> BootFiles:
    """A FAT filesystem with `files`."""
    image = tmp_path / "fat"
    with image.open("wb") as file:
        file.truncate(4 * 2**20)
    subprocess.run(["mkfs.vfat", image], check=True, capture_output=True)
    for name, content in files.items():
        command = ["mcopy", "-i", str(image), "-", f"::{name}"]
        subprocess.run(command, input=content, check=True, capture_output=True)
    return BootFiles(image, 0)


@pytest.mark.parametrize(
    ("text", "board", "config"),
    [
        ("", None, Config()),
        ("# kernel=no\n\nkernel = my.img # mine\n", None, Config(kernel="my.img")),
        ("initramfs initrd.gz followkernel\n", None, Config(initramfs="initrd.gz")),
        ("dtoverlay=vc4-kms-v3d\narm_64bit=1\n", "pi3", Config()),
        ("[pi3]\nkernel=three\n[pi4]\nkernel=four\n[all]\n", "pi3", Config(kernel="three")),
        ("[pi4]\nkernel=four\n[all]\ncmdline=c.txt\n", None, Config(cmdline="c.txt")),
        ("initramfs\n", None, Config()),
    ],
)
def test_config_txt(text: str, board: str | None, config: Config) -> None:
    """Comments, sections of boards, and the one setting without an equals sign."""
    assert config == parse_config(text, board)


def test_without_config_txt_the_architecture_decides(tmp_path: Path) -> None:
    """kernel8.img for 64 bit; the machine's words come last on the command line."""
    loaded = load(_boot_partition(tmp_path, FILES), PI3, "aarch64-musl")
    assert (loaded.kernel, loaded.initramfs, loaded.dtb) == (b"kernel", None, b"dtb")
    assert loaded.cmdline == "root=PARTUUID=1-02 rw console=ttyAMA0"


def test_config_txt_names_the_initramfs(tmp_path: Path) -> None:
    """It is loaded after the kernel."""
    files = {**FILES, "config.txt": b"initramfs i.gz followkernel\n", "i.gz": b"initramfs"}
    assert load(_boot_partition(tmp_path, files), PI3, "aarch64").initramfs == b"initramfs"


@pytest.mark.parametrize("missing", sorted(FILES))
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    """With the role it has."""
    files = {name: content for name, content in FILES.items() if name != missing}
    with pytest.raises(GuestError, match=missing) as caught:
        load(_boot_partition(tmp_path, files), PI3, "aarch64")
    assert caught.value.code == "E-BOOT-BOOT-FILE"


TABLE = PartitionTable(
    "mbr",
    "5a1e0001",
    tuple(
        PartitionEntry(number, number * 2048, 2048, "0x83", False, "", f"5a1e0001-{number:02x}")
        for number in (1, 2)
    ),
)


@pytest.mark.parametrize(
    "cmdline",
    [
        "root=PARTUUID=5a1e0001-02 rw",
        "root=PARTUUID=5A1E0001-02 rw",
        "root=PARTUUID=00000000-01 rw root=PARTUUID=5a1e0001-02",
        "root=PARTUUID=00000000-01/PARTNROFF=1",
        "root=/dev/mmcblk0p2 rw",
        "",
    ],
)
def test_a_root_that_can_be_found(cmdline: str) -> None:
    """In either case of letters; the last root= counts; other forms are the guest's business."""
    require_root(cmdline, TABLE)


def test_a_root_that_is_nowhere_is_named_beside_what_is_there() -> None:
    """The kernel would wait for it for ever."""
    with pytest.raises(GuestError, match="deadbeef-02") as caught:
        require_root("root=PARTUUID=deadbeef-02 rw rootwait", TABLE)
    assert caught.value.code == "E-BOOT-ROOT"
    assert caught.value.hint == "the image has 5a1e0001-01, 5a1e0001-02"
