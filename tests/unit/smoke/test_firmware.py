"""What the firmware of a Raspberry Pi loads from a boot partition."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from voidimg.formats.partition_table import PartitionEntry, PartitionTable
from voidimg.inspection.boot_files import BootFiles
from voidimg.smoke.raspberry_pi import load, require_root
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


BOARD_FILES = {**FILES, "three": b"three", "four": b"four", "my.img": b"mine", "c.txt": b"c"}


@pytest.mark.parametrize(
    ("text", "machine", "kernel", "cmdline"),
    [
        ("# kernel=no\n\nkernel=my.img\n", "virt", b"mine", "root=PARTUUID=1-02 rw"),
        ("kernel = my.img\n", "virt", b"kernel", "root=PARTUUID=1-02 rw"),
        ("[pi3]\nkernel=three\n[pi4]\nkernel=four\n[all]\n", "raspi3b", b"three",
         "root=PARTUUID=1-02 rw"),
        ("[pi3]\nkernel=three\n", "virt", b"kernel", "root=PARTUUID=1-02 rw"),
        ("[pi4]\nkernel=four\n[all]\ncmdline=c.txt\n", "virt", b"kernel", "c"),
        ("dtoverlay=vc4-kms-v3d\narm_64bit=1\ninitramfs\n", "raspi3b", b"kernel",
         "root=PARTUUID=1-02 rw"),
    ],
)  # fmt: skip
def test_config_txt(tmp_path: Path, text: str, machine: str, kernel: bytes, cmdline: str) -> None:
    """Comments, filters of boards and names that are set, as `lint` reads them too."""
    files = _boot_partition(tmp_path, {**BOARD_FILES, "config.txt": text.encode()})
    pi = Machine(medium="sd", machine=machine, dtb="pi3.dtb")
    loaded = load(files, pi, "aarch64")
    assert (loaded.kernel, loaded.cmdline) == (kernel, cmdline)


@pytest.mark.parametrize(
    ("machine", "arch", "kernel", "tree"),
    [
        ("raspi0", "armv6l", "kernel.img", "bcm2708-rpi-zero.dtb"),
        ("raspi1ap", "armv6l-musl", "kernel.img", "bcm2708-rpi-b-plus.dtb"),
        ("raspi2b", "armv7l", "kernel7.img", "bcm2709-rpi-2-b.dtb"),
        ("raspi3ap", "aarch64", "kernel8.img", "bcm2710-rpi-3-b-plus.dtb"),
        ("raspi3b", "aarch64", "kernel8.img", "bcm2710-rpi-3-b.dtb"),
        ("virt", "armv7l", "kernel7.img", None),
        ("virt", "armv6l", "kernel.img", None),
        ("virt", "aarch64-musl", "kernel8.img", None),
    ],
)
def test_each_board_loads_its_own(
    tmp_path: Path, machine: str, arch: str, kernel: str, tree: str | None
) -> None:
    """By names alone; without a word about the device tree a board gets the one of its name."""
    names = ("kernel.img", "kernel7.img", "kernel8.img")
    present = [name for name in names if arch != "aarch64" or name == "kernel8.img"]
    files = {name: name.encode() for name in (*present, tree or "no.dtb")}
    partition = _boot_partition(tmp_path, {**files, "cmdline.txt": b"rw"})
    loaded = load(partition, Machine(medium="sd", machine=machine), arch)
    assert loaded.kernel.decode() == kernel
    assert loaded.dtb == (None if tree is None else tree.encode())


def test_no_pi_starts_a_pc(tmp_path: Path) -> None:
    """There is no kernel of its architecture."""
    with pytest.raises(GuestError, match="loads no kernel of x86_64"):
        load(_boot_partition(tmp_path, FILES), Machine(medium="sd", machine="virt"), "x86_64")


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
