"""config.txt as the firmware reads it, and what lint says of what each board would load."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.lint.subjects import Files, defects, kernel8, make_image, make_tar
from voidimg.catalog.catalog import Catalog
from voidimg.formats.pi_config import BOARDS, plan_start, read_config
from voidimg.lint.pi_start_checks import BOARDS_OF_ARCH

CONFIG, CMDLINE = "/boot/config.txt", "/boot/cmdline.txt"
PRESENT = frozenset({"kernel8.img", "cmdline.txt", "bcm2711-rpi-4-b.dtb", "bcm2712-rpi-5-b.dtb"})

READ: list[tuple[str, str, str | None]] = [
    ("kernel=a", "4 B", "a"),
    ("kernel=a\nkernel=b", "4 B", "b"),
    ("kernel=a\r\nkernel=b\r\n", "4 B", "b"),
    ("#kernel=a", "4 B", None),
    ("  kernel=a", "4 B", "a"),
    ("KERNEL=a", "4 B", "a"),
    ("kernel = a", "4 B", None),
    ("[pi5]\nkernel=a", "4 B", None),
    ("[pi5]\nkernel=a", "500", "a"),
    ("[pi4]\nkernel=a", "CM4", "a"),
    ("[cm4]\nkernel=a", "4 B", None),
    ("[pi3]\n[pi4]\nkernel=a", "4 B", "a"),
    ("[pi3]\nkernel=a\n[all]\nkernel=b", "3 B", "b"),
    ("[none]\nkernel=a", "4 B", None),
    ("[none]\n[pi4]\nkernel=a", "4 B", None),
    ("[gpio4=1]\nkernel=a", "4 B", None),
    ("[gpio4=1]\n[pi4]\nkernel=a", "4 B", None),
    ("[EDID=VSC-TD2220]\nkernel=a\n[all]", "4 B", None),
    ("[0x12345678]\nkernel=a", "4 B", None),
    ("[board-type=0x11]\nkernel=a", "4 B", "a"),
    ("[board-type=0x11]\nkernel=a", "400", None),
    ("[pi0]\nkernel=a", "Zero 2 W", "a"),
    ("[pi02]\nkernel=a", "Zero 2 W", "a"),
    ("[pi3+]\nkernel=a", "3 A+", "a"),
    ("[pi3+]\nkernel=a", "3 B", None),
    ("include more.txt", "4 B", "included"),
    ("include more.txt\nkernel=a", "4 B", "a"),
    ("kernel=" + "a" * 200, "4 B", "a" * 91),
]
"""Text, board, and the kernel that it asks for."""


@pytest.mark.parametrize(("text", "board", "kernel"), READ)
def test_what_is_in_force_on_a_board(text: str, board: str, kernel: str | None) -> None:
    """By the vendor's rules of filters, repeated names, comments and lengths."""
    found = read_config(text, BOARDS[board], {"more.txt": "kernel=included"}.get)
    assert found.values.get("kernel") == kernel


def test_an_include_of_itself_ends() -> None:
    """The firmware has a limit too."""
    found = read_config("include a", BOARDS["4 B"], lambda _: "include a")
    assert found.faults == ["a is included again and again"]


BITS: list[tuple[str, str, frozenset[str], tuple[str, int]]] = [
    ("", "3 B", frozenset({"kernel8.img"}), ("kernel8.img", 64)),
    ("", "3 B", frozenset({"kernel7.img", "kernel8.img"}), ("kernel7.img", 32)),
    ("arm_64bit=1", "3 B", frozenset({"kernel7.img"}), ("kernel8.img", 64)),
    ("arm_64bit=0", "3 B", frozenset({"kernel8.img"}), ("kernel7.img", 32)),
    ("arm_64bit=0", "4 B", frozenset({"kernel8.img"}), ("kernel7l.img", 32)),
    ("arm_64bit=0", "5", frozenset({"kernel8.img"}), ("kernel8.img", 64)),
    ("", "5", frozenset({"kernel8.img", "kernel_2712.img"}), ("kernel_2712.img", 64)),
    ("", "4 B", frozenset({"kernel8.img", "kernel_2712.img"}), ("kernel8.img", 64)),
    ("", "Zero", frozenset({"kernel8.img"}), ("kernel.img", 32)),
    ("kernel=kernel8.img", "3 B", frozenset({"kernel7.img"}), ("kernel8.img", 64)),
    ("arm_64bit=0\nkernel=kernel8.img", "3 B", frozenset(), ("kernel8.img", 32)),
]


@pytest.mark.parametrize(("text", "board", "present", "started"), BITS)
def test_the_kernel_and_its_mode(
    text: str, board: str, present: frozenset[str], started: tuple[str, int]
) -> None:
    """By default, by arm_64bit, and by names that the firmware knows."""
    found = plan_start(
        read_config(text, BOARDS[board], lambda _: None), BOARDS[board], frozenset(present)
    )
    assert (found.kernel, found.bits) == started


def test_a_prefix_that_leads_somewhere() -> None:
    """Kernel, tree and command line are taken from there; a path from the top is not."""
    present = frozenset({"new/kernel8.img", "new/bcm2711-rpi-4-b.dtb"})
    config = read_config("os_prefix=new/\ncmdline=/own.txt", BOARDS["4 B"], lambda _: None)
    found = plan_start(config, BOARDS["4 B"], present)
    assert (found.kernel, found.cmdline) == ("new/kernel8.img", "own.txt")
    assert found.device_tree == "new/bcm2711-rpi-4-b.dtb"
    assert found.faults == ()


def test_the_firmware_files_of_a_board() -> None:
    """Those of a Pi 4 have their own names; a Pi 5 has none."""
    config = read_config("start_x=1", BOARDS["4 B"], lambda _: None)
    names = [plan_start(config, BOARDS[name], PRESENT).firmware for name in ("3 B", "4 B", "5")]
    assert names == [("start_x.elf", "fixup_x.dat"), ("start4x.elf", "fixup4x.dat"), ()]


FAILING: list[tuple[str, Files, str]] = [
    ("pi-start", {CONFIG: b"kernel=missing.img\n"}, "there is no such kernel"),
    ("pi-start", {CONFIG: b"arm_64bit=0\n"}, "which is started in 32-bit mode"),
    ("pi-start", {CONFIG: b"arm_64bit=0\nkernel=kernel8.img\n"}, "it is a 64-bit kernel"),
    ("pi-start", {CONFIG: b"[pi5]\nkernel=missing.img\n"}, "on 5, 500, CM5: there is no such"),
    ("pi-start", {CONFIG: b"[cm4]\nkernel=missing.img\n"}, "on CM4: there is no such kernel"),
    ("pi-start", {CONFIG: b"arm_64bit=1\r\nkernel=missing.img\r\n"}, "no such kernel"),
    ("pi-start", {"/boot/kernel8.img": b""}, "empty, damaged or no kernel"),
    ("pi-start", {CONFIG: b"os_prefix=nowhere/\n"}, "os_prefix=nowhere/ is ignored"),
    ("pi-start", {CONFIG: b"include nowhere.txt\n"}, "it includes nowhere.txt"),
    ("pi-start", {CONFIG: b"initramfs nowhere.img followkernel\n"}, "this initramfs"),
    ("pi-start", {CONFIG: b"auto_initramfs=1\n"}, "asks for this initramfs"),
    ("pi-start", {CONFIG: b"dtoverlay=nowhere\n"}, "/boot/overlays/nowhere.dtbo"),
    ("pi-start", {CONFIG: b"device_tree=nowhere.dtb\n"}, "asks for this device tree"),
    ("pi-start", {CONFIG: b"device_tree=\n"}, "device_tree= is empty"),
    ("pi-start", {CONFIG: b"device_tree=bcm2711-rpi.dtb\n"}, "of another chip"),
    ("pi-start", {CONFIG: b"start_file=nowhere.elf\n"}, "/boot/nowhere.elf"),
    ("pi-start", {CONFIG: b"cmdline=nowhere.txt\n"}, "not told where its root is"),
    ("pi-start", {CONFIG: b"dtparam = audio\n"}, "there are spaces around ="),
    ("pi-start", {CONFIG: b"audio on\n"}, "there is no ="),
    ("pi-start", {CONFIG: b"kernel=" + b"a" * 200 + b"\n"}, "read up to 98 only"),
    ("pi-start", {CMDLINE: b"root=x rootwait " + b"a" * 2048 + b"\n"}, "the kernel takes 2047"),
    ("pi-start", {"/boot/kernel8.img": kernel8(2)}, "only a Pi 5 can use"),
]
"""Check, what is changed, words of what is told."""


@pytest.mark.parametrize(("check", "changes", "words"), FAILING)
def test_what_a_board_cannot_start_is_told(
    check: str, changes: Files, words: str, tmp_path: Path
) -> None:
    """With the boards that it is true of."""
    told = [f"{one.object}: {one.what}" for one in defects(make_tar(tmp_path, changes), check)]
    assert any(words in one for one in told), told


def test_another_command_line_must_find_the_root(tmp_path: Path) -> None:
    """Where config.txt names it, the usual file does not count."""
    changes: Files = {CONFIG: b"cmdline=own.txt\n", "/boot/own.txt": b"root=/dev/sda1 rootwait\n"}
    (found,) = defects(make_image(tmp_path, changes), "pi-start")
    assert "own.txt" in found.object
    assert "it does not say root=PARTUUID=" in found.what


def test_the_boards_of_the_platform_are_known() -> None:
    """Every board that the shipped platform names."""
    platform = Catalog().recipe("rpi-aarch64").recipe
    assert set(platform.boards) == set(BOARDS_OF_ARCH["aarch64"])
    assert {name for names in BOARDS_OF_ARCH.values() for name in names} <= BOARDS.keys()
