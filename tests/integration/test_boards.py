"""The shipped platforms of single boards, built as they are from packages with Void's names.

What is expected stands here in the figures of Void's own images (void-mklive, mkimage.sh), not in
those of the platform files: table, offsets, blobs, and every path that U-Boot is told.
"""

from __future__ import annotations

import json
import re
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.board_packages import PACKAGES, BoardRepository, Sold, blobs
from tests.command import voidimg
from tests.testrepo import RepositoryFixture
from voidimg.formats.partition_table import PartitionTable, read_table
from voidimg.inspection.boot_files import BootFiles, open_boot_files
from voidimg.inspection.ext4_files import Ext4Files

LINUX_DATA = "0fc63daf-8483-4772-8e79-3d69d8477de4"
IDBLOADER, U_BOOT, SUNXI = 64 * 512, 16384 * 512, 8192


@dataclass(frozen=True, slots=True)
class Board:
    """What an image of it has to be: blobs by their place, and what the kernel is told."""

    release: str
    tree: str
    words: str
    blobs: dict[str, int]
    script: bool = False
    initramfs: bool = True

    @property
    def root(self) -> str:
        """What the root is found by."""
        return "PARTUUID" if self.script else "UUID"


def rockchip(name: str) -> dict[str, int]:
    return {
        f"/usr/lib/{name}-uboot/idbloader.img": IDBLOADER,
        f"/usr/lib/{name}-uboot/u-boot.itb": U_BOOT,
    }


BOARDS = {
    "rock64": Board(
        "5.10.200_1", "rockchip/rk3328-rock64.dtb",
        "panic=10 coherent_pool=1M console=ttyS2,1500000 rw", rockchip("rock64"),
    ),
    "rockpro64": Board(
        "6.1.60_1", "rockchip/rk3399-rockpro64.dtb",
        "panic=10 coherent_pool=1M console=ttyS2,115200 rw", rockchip("rockpro64"),
    ),
    "pinebookpro": Board(
        "6.6.22_1", "rockchip/rk3399-pinebook-pro.dtb",
        "console=ttyS2,1500000 console=tty1 rootwait video=eDP-1:1920x1080@60 loglevel=4"
        " slub_debug=P page_poison=1 rw",
        rockchip("pinebookpro"), script=True,
    ),
    "pinephone": Board(
        "5.17.6_1", "allwinner/sun50i-a64-pinephone-1.2.dtb",
        "console=tty0 console=ttyS0,115200 rootwait loglevel=4",
        {"/boot/u-boot-sunxi-with-spl.bin": SUNXI}, script=True, initramfs=False,
    ),
}  # fmt: skip
ROCKCHIP = [name for name in BOARDS if name != "pinephone"]


@dataclass(frozen=True, slots=True)
class Built:
    """An image of a board, and its parts."""

    board: Board
    path: Path
    table: PartitionTable
    boot: BootFiles
    root: Ext4Files

    @property
    def found_by(self) -> str:
        """The word on the kernel command line that means this root."""
        with self.path.open("rb") as file:
            file.seek(self.table.partitions[1].offset_bytes + 1024 + 0x68)
            raw = file.read(16).hex()
        uuid = "-".join((raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:]))
        value = self.table.partitions[1].partuuid if self.board.script else uuid
        return f"root={self.board.root}={value}"


@pytest.fixture(scope="session")
def repository(
    tiny: RepositoryFixture, tmp_path_factory: pytest.TempPathFactory
) -> BoardRepository:
    return BoardRepository.make(tmp_path_factory.mktemp("boards") / "made", tiny)


@pytest.fixture(scope="session")
def built(
    repository: BoardRepository, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Built]:
    """Name of a board -> its image; only to be looked at."""
    known: dict[str, Built] = {}

    def build(name: str) -> Built:
        if name not in known:
            path = repository.image(name, tmp_path_factory.mktemp(name))
            table = read_table(path)
            root = Ext4Files(path, table.partitions[1].offset_bytes)
            known[name] = Built(BOARDS[name], path, table, open_boot_files(path), root)
        return known[name]

    return build


@pytest.mark.parametrize("name", ROCKCHIP)
def test_the_table_of_rockchip_boards(name: str, built: Callable[[str], Built]) -> None:
    """GPT with the first partition at 16 MiB, and nothing before it offered as free."""
    image = built(name)
    boot, root = image.table.partitions
    assert image.table.label == "gpt"
    assert (boot.start_sector, boot.sectors, boot.name) == (32768, 1_048_576, "BootFS")
    assert (root.start_sector, root.name) == (1_081_344, "RootFS")
    assert (boot.type, root.type, boot.active, root.active) == (
        LINUX_DATA, LINUX_DATA, True, False,
    )  # fmt: skip
    with image.path.open("rb") as file:
        header = file.read(1024)[512:]
    assert struct.unpack_from("<Q", header, 40) == (32768,)
    checked = subprocess.run(
        ["sgdisk", "-v", image.path], capture_output=True, text=True, check=True
    )
    assert "No problems found" in checked.stdout


def test_the_table_of_the_pinephone(built: Callable[[str], Built]) -> None:
    image = built("pinephone")
    boot, root = image.table.partitions
    assert image.table.label == "mbr"
    assert (boot.start_sector, boot.sectors, boot.type, boot.active) == (
        2048,
        524_288,
        "0x0c",
        True,
    )
    assert (root.start_sector, root.type) == (526_336, "0x83")


@pytest.mark.parametrize("name", BOARDS)
def test_blobs_are_at_their_offsets(name: str, built: Callable[[str], Built]) -> None:
    """Byte for byte those of the packages; between them and the partitions is nothing."""
    image = built(name)
    contents = {path: data for sold in PACKAGES.values() for path, data in sold.files.items()}
    with image.path.open("rb") as file:
        content = file.read(image.table.partitions[0].offset_bytes)
    expected = bytearray(len(content))
    expected[:17408] = content[:17408]  # the table itself
    for path, at in image.board.blobs.items():
        expected[at : at + len(contents[path])] = contents[path]
    assert content == bytes(expected)


@pytest.mark.parametrize("name", BOARDS)
def test_all_that_u_boot_is_told_is_there(name: str, built: Callable[[str], Built]) -> None:
    """Paths from the top of the boot partition; the root and the words are the board's."""
    image, board = built(name), BOARDS[name]
    release = board.release
    if board.script:
        script = image.boot.read("/boot.txt").decode()
        assert image.boot.read("/boot.scr")[72:].decode() == script
        words = re.findall(r"^setenv bootargs (console.*)$", script, re.MULTILINE)[0]
        paths = re.findall(r"load \S+ \S+ \S+ (\S+);", script)
        tree = f"/dtbs/dtbs-{release}/${{fdtfile}}"
        listed = subprocess.run(["mkimage", "-l", _copy(image)], capture_output=True, check=True)
        assert b"AArch64 Linux Script" in listed.stdout
    else:
        menu = image.boot.read("/extlinux/extlinux.conf").decode()
        words = re.findall(r"^\tAPPEND (.*)$", menu, re.MULTILINE)[0]
        paths = re.findall(r"^\t(?:LINUX|INITRD|DEVICETREEDIR) (.*)$", menu, re.MULTILINE)
        tree = f"/dtbs/dtbs-{release}"
        assert menu.splitlines()[:4] == [
            "TIMEOUT 10", "DEFAULT entry0", "MENU TITLE Boot menu", "LABEL entry0",
        ]  # fmt: skip
        assert f"\tMENU LABEL Void Linux Version {release}\n" in menu
    initramfs = [f"/initramfs-{release}.img"] if board.initramfs else []
    assert sorted(paths) == sorted([f"/vmlinux-{release}", tree, *initramfs])
    assert sorted(words.split()) == sorted([*board.words.split(), image.found_by])
    for path in (f"/vmlinux-{release}", f"/dtbs/dtbs-{release}/{board.tree}", *initramfs):
        assert image.boot.has(path), path


def _copy(image: Built) -> Path:
    path = image.path.with_name("boot.scr")
    path.write_bytes(image.boot.read("/boot.scr"))
    return path


@pytest.mark.parametrize("name", ["rock64", "rockpro64"])
def test_the_next_kernel_gets_the_same_words(name: str, built: Callable[[str], Built]) -> None:
    """What the hook on the board reads says what our menu says."""
    image = built(name)
    defaults = (image.root.read("/etc/default/extlinux") or b"").decode()
    menu = image.boot.read("/extlinux/extlinux.conf").decode()
    assert re.findall(r'^CMDLINE="(.*)"$', defaults, re.MULTILINE) == re.findall(
        r"^\tAPPEND (.*)$", menu, re.MULTILINE
    )
    assert 'USE_DEVICETREEDIR="yes"' in defaults


def test_the_phone_gets_the_same_words_with_the_next_kernel(built: Callable[[str], Built]) -> None:
    image = built("pinephone")
    config = (image.root.read("/etc/default/pinephone-uboot-config") or b"").decode()
    (words,) = re.findall(r'^CMDLINE="(.*)"$', config, re.MULTILINE)
    assert words == f"{BOARDS['pinephone'].words} {image.found_by}"


@pytest.mark.parametrize("name", BOARDS)
def test_lint_finds_nothing_wrong_with_how_a_board_starts(
    name: str, built: Callable[[str], Built]
) -> None:
    report = json.loads(voidimg("lint", built(name).path, "--json").stdout)[0]
    checks = {"blob-fits", "extlinux-paths", "uboot-root", "uboot-console", "uboot-device-tree"}
    assert checks <= set(report["checks"])
    found = [one for one in report["defects"] if one["check"] in report["checks"]]
    ours = [one for one in found if one["check"].startswith(("blob", "extl", "uboot", "disk"))]
    assert ours == []


def test_two_builds_give_the_same_bytes(
    built: Callable[[str], Built], repository: BoardRepository, tmp_path: Path
) -> None:
    """In another directory."""
    again = repository.image("pinebookpro", tmp_path / "another place")
    assert again.read_bytes() == built("pinebookpro").path.read_bytes()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"rock64-uboot": blobs("rock64-uboot", loader=U_BOOT)},
            ("/usr/lib/rock64-uboot/idbloader.img", "/usr/lib/rock64-uboot/u-boot.itb",
             str(IDBLOADER), str(U_BOOT)),
        ),
        ({"rock64-uboot": {}}, ("/usr/lib/rock64-uboot/idbloader.img",)),
    ],
    ids=["over each other", "missing"],
)  # fmt: skip
def test_blobs_that_do_not_fit_are_refused_with_names_and_numbers(
    changes: dict[str, dict[str, bytes]],
    words: tuple[str, ...],
    tiny: RepositoryFixture,
    tmp_path: Path,
) -> None:
    other = BoardRepository.make(
        tmp_path / "made", tiny, {name: Sold(files) for name, files in changes.items()}
    )
    ended = voidimg(*other.words("rock64", tmp_path, "--artifact", "image"))
    assert ended.returncode != 0
    for word in words:
        assert word in ended.stderr
    assert not list((tmp_path / "out").rglob("*.img"))


BOARD = """schema = 1
kind = "platform"
extends = "void"
summary = "A board of somebody else"
arch = "aarch64"
libc = ["glibc"]
boards = ["mine"]
[platformfs]
packages = ["rockpro64-uboot", "linux-lts", "dracut"]
[image]
files = [
  { path = "/etc/fstab", template = "fstab.j2" },
  { path = "/boot/extlinux/extlinux.conf", template = "u-boot/extlinux.conf.j2" },
]
[disk]
label = "gpt"
first_partition = "16MiB"
headroom = "8MiB"
blobs = [
  { source = "/usr/lib/rockpro64-uboot/idbloader.img", partition = "spl" },
  { source = "/usr/lib/rockpro64-uboot/u-boot.itb", offset = "16384sectors" },
]
[[disk.partitions]]
name = "spl"
start = "64sectors"
size = "4MiB"
type = "8DA63339-0007-60C0-C436-083AC8230908"
filesystem = "none"
[[disk.partitions]]
name = "root"
start = "16MiB"
size = "rest"
active = true
type = "B921B045-1DF0-41C3-AF44-4C6F280D3FAE"
filesystem = "ext4"
mount = "/"
[boot]
firmware = "u-boot"
initramfs = "dracut"
cmdline = "console=ttyS2,115200"
"""
MINE = """schema = 1
kind = "profile"
summary = "My own"
hostname = "mine"
timezone = "UTC"
[rootfs]
packages = ["tiny-base"]
"""


def test_a_board_of_somebody_else_is_toml_alone(
    repository: BoardRepository, tmp_path: Path
) -> None:
    """Blobs in a partition and in a gap, and no boot partition: paths then begin at the root."""
    own = tmp_path / "own"
    for name, text in (("platforms/board.toml", BOARD), ("profiles/mine.toml", MINE)):
        (own / name).parent.mkdir(parents=True)
        (own / name).write_text(text)
    checked = voidimg("check", own / "platforms" / "board.toml", own / "profiles" / "mine.toml")
    assert checked.returncode == 0, checked.stderr
    words: list[str | Path] = ["--platforms-and-profiles", own, "--profile", "mine"]
    image = repository.image("board", tmp_path, *words)
    spl, root = read_table(image).partitions
    assert (spl.offset_bytes, spl.name, root.offset_bytes) == (IDBLOADER, "spl", 16 * 2**20)
    with image.open("rb") as file:
        for at, content in ((IDBLOADER, b"L" * 4000), (U_BOOT, b"U" * 9000)):
            file.seek(at)
            assert file.read(len(content) + 8) == content + bytes(8)
    menu = (
        Ext4Files(image, root.offset_bytes).read("/boot/extlinux/extlinux.conf") or b""
    ).decode()
    assert "\tLINUX /boot/vmlinux-6.1.60_1\n" in menu
    defects = json.loads(voidimg("lint", image, "--json").stdout)[0]["defects"]
    assert not [one for one in defects if one["check"].startswith(("blob", "extlinux", "uboot"))]
