"""Boot scripts of U-Boot: ours are what its own tool makes, and damage is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voidimg.formats.uboot_menus import read_boot_script, read_extlinux
from voidimg.formats.uboot_script import NAME, read_script, write_script

EPOCH = 1_710_374_400
TEXT = 'echo "hello"\nboot\n'


@pytest.mark.parametrize(
    ("machine", "called"), [("aarch64", "arm64"), ("armv7l", "arm"), ("armv6l", "arm")]
)
def test_a_script_is_that_of_mkimage(machine: str, called: str, tmp_path: Path) -> None:
    """Byte for byte; and its listing says a script for that machine."""
    text, theirs, ours = (tmp_path / name for name in ("boot.txt", "theirs", "ours"))
    text.write_text(TEXT)
    words = ["mkimage", "-A", called, "-O", "linux", "-T", "script", "-C", "none", "-n", NAME]
    subprocess.run(
        [*words, "-d", text, theirs],
        check=True,
        capture_output=True,
        env={"SOURCE_DATE_EPOCH": str(EPOCH), "PATH": "/usr/bin"},
    )
    ours.write_bytes(write_script(TEXT, machine, EPOCH))
    assert ours.read_bytes() == theirs.read_bytes()
    listed = subprocess.run(["mkimage", "-l", ours], check=True, capture_output=True, text=True)
    assert "Linux Script (uncompressed)" in listed.stdout
    assert NAME in listed.stdout


@given(st.text(), st.integers(0, 2**32 - 1))
def test_what_is_written_is_read(text: str, epoch: int) -> None:
    text = text.encode("utf-8", "replace").decode()
    found = read_script(write_script(text, "aarch64", epoch))
    assert (found.text, found.time, found.name, found.flaw) == (text, epoch, NAME, None)


@given(st.binary(max_size=200))
def test_anything_may_be_read(content: bytes) -> None:
    assert read_script(content).flaw is not None


GOOD = write_script(TEXT, "aarch64", EPOCH)


@pytest.mark.parametrize(
    ("content", "flaw"),
    [
        (b"", "does not begin with the header"),
        (b"setenv bootargs\n", "does not begin with the header"),
        (GOOD[:4] + b"\0" + GOOD[5:], "checksum of its header"),
        (GOOD[:10] + b"\0\0\0\1" + GOOD[14:], "checksum of its header"),
        (GOOD[:-1], "bytes of data, and the header says"),
        (GOOD[:-1] + b"X", "checksum of its data"),
    ],
)
def test_damage_is_told(content: bytes, flaw: str) -> None:
    assert flaw in str(read_script(content).flaw)


def test_an_extlinux_menu_is_read_as_u_boot_does() -> None:
    """Keywords in any case; the older words of syslinux; names beside the file."""
    menu = read_extlinux(
        "timeout 10\nDEFAULT two\nmenu title x\nlabel one\n\tKERNEL /vmlinux-1\n\tFDT b.dtb\n"
        "LABEL two\n\tMENU LABEL Void 2\n\tLINUX /vmlinux-2\n\tINITRD /initramfs-2.img\n"
        "\tDEVICETREEDIR /dtbs/2\n\tAPPEND root=UUID=x rw\n"
    )
    assert menu.default == "two"
    one, two = menu.entries
    assert list(one.paths()) == [("kernel", "/vmlinux-1"), ("device tree", "/extlinux/b.dtb")]
    assert two.cmdline == "root=UUID=x rw"
    assert [path for _, path in two.paths()] == ["/vmlinux-2", "/initramfs-2.img", "/dtbs/2"]


def test_a_boot_script_is_followed_as_far_as_the_board_is_not_asked() -> None:
    found = read_boot_script(
        "# load none\nsetenv kver 6.1_1\nsetenv bootargs console=tty1 root=PARTUUID=x\n"
        "if load ${devtype} ${devnum}:${bootpart} ${kernel_addr_r} /vmlinux-${kver}; then\n"
        "  load mmc 0:1 ${fdt_addr_r} /dtbs/${fdtfile}\n"
        "  if load mmc 0:1 ${ramdisk_addr_r} initramfs-$kver.img; then\n  fi;\nfi\n"
    )
    assert (found.kernel, found.initrd) == ("/vmlinux-6.1_1", "/initramfs-6.1_1.img")
    assert found.device_tree == "/dtbs/${fdtfile}"
    assert "device tree" not in dict(found.paths())
    assert found.cmdline == "console=tty1 root=PARTUUID=x"
