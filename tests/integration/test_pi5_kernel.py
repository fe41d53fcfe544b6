"""The kernel for the Raspberry Pi 5: a platform of its own, and the change of a finished tree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.board_packages import PROFILE, BoardRepository, Sold, arm64_kernel
from tests.command import voidimg
from tests.testrepo import RepositoryFixture
from voidimg.formats.partition_table import read_table
from voidimg.inspection.boot_files import open_boot_files
from voidimg.inspection.ext4_files import Ext4Files

OLD, NEW = "6.6.22_1", "6.12.52_2"
FIRMWARE = (
    "bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat", "config.txt",
    "overlays/vc4-kms-v3d.dtbo",
    *(f"bcm{chip}.dtb" for chip in (
        "2710-rpi-3-b", "2710-rpi-3-b-plus", "2710-rpi-zero-2-w", "2711-rpi-4-b", "2711-rpi-400",
        "2711-rpi-cm4", "2712-rpi-5-b", "2712-rpi-500", "2712-rpi-cm5-cm5io",
    )),
)  # fmt: skip
REMOVE = '#!/bin/sh\necho "$2 $3 removed $1" >>var/lib/hooks/ran\n'
NOTE = '#!/bin/sh\nmkdir -p var/lib/hooks\necho "$1 $2" >>var/lib/hooks/ran\n'
PACKAGES = {
    "rpi-firmware": Sold(
        {
            **{f"/boot/{name}": b"\xd0\x0d\xfe\xed" for name in FIRMWARE},
            "/boot/config.txt": b"dtparam=audio=on\n",
            "/boot/cmdline.txt": b"root=/dev/mmcblk0p2\n",
            "/etc/kernel.d/post-install/50-note": NOTE.encode(),
        },
        conf_files=["/boot/config.txt", "/boot/cmdline.txt"],
    ),
    "rpi-kernel": Sold(
        {
            "/boot/kernel8.img": arm64_kernel(OLD),
            f"/boot/config-{OLD}": b"4K",
            f"/usr/lib/modules/{OLD}/modules.order": b"",
        },
        provides=[f"rpi5-kernel-{OLD}"], replaces=["rpi5-kernel>=0"], kernel=OLD, version=OLD,
        remove=REMOVE,
    ),
    "rpi5-kernel": Sold(
        {
            "/boot/kernel8.img": arm64_kernel(NEW, page_bits=2),
            f"/boot/config-{NEW}": b"16K",
            f"/usr/lib/modules/{NEW}/modules.order": b"",
        },
        provides=[f"rpi-kernel-{NEW}"], replaces=["rpi-kernel>=0"], kernel=NEW, version=NEW,
    ),
    "rpi-base": Sold(needs=["ntp-daemon>=0", "rpi-firmware>=0", "rpi-kernel>=0"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def boards(tiny: RepositoryFixture, tmp_path_factory: pytest.TempPathFactory) -> BoardRepository:
    made = BoardRepository.make(tmp_path_factory.mktemp("boards") / "made", tiny, PACKAGES)
    finished = PROFILE.replace('"board-services"', '"board-services", "rpi-base", "rpi-kernel"')
    (made.spec / "profiles" / "finished.toml").write_text(finished)
    return made


def kernel_of(image: Path) -> tuple[bytes, set[str], Ext4Files]:
    """The kernel on the boot partition, the releases of the modules, and the root filesystem."""
    root = Ext4Files(image, read_table(image).partitions[1].offset_bytes)
    return open_boot_files(image).read("/kernel8.img"), set(root.names("/usr/lib/modules")), root


def test_the_platform_for_the_pi_5_has_its_kernel_alone(
    boards: BoardRepository, tmp_path: Path
) -> None:
    """rpi-base asks for rpi-kernel, and the other is that too; lint finds nothing wrong."""
    image = boards.image("rpi5-aarch64", tmp_path)
    kernel, modules, _ = kernel_of(image)
    assert (kernel, modules) == (arm64_kernel(NEW, page_bits=2), {NEW})
    ended = voidimg("lint", image, "--json")
    found = [one["check"] for one in json.loads(ended.stdout)[0]["defects"]]
    assert not [one for one in found if one.startswith("pi-")], ended.stdout


def test_a_finished_tree_changes_its_kernel(boards: BoardRepository, tmp_path: Path) -> None:
    """By the scripts of the packages, and nothing else of /boot is touched."""
    image = boards.image("rpi5-aarch64", tmp_path, "--profile", "finished")
    kernel, modules, root = kernel_of(image)
    assert (kernel, modules) == (arm64_kernel(NEW, page_bits=2), {NEW})
    hooks = (root.read("/var/lib/hooks/ran") or b"").decode().splitlines()
    assert hooks == [
        f"rpi-kernel {OLD}",
        *(f"rpi-kernel {OLD} removed {action}" for action in ("pre", "post", "purge")),
        f"rpi5-kernel {NEW}",
    ]
    boot = open_boot_files(image)
    assert boot.read("/config.txt") == b"dtparam=audio=on\n"
    assert boot.has(f"/config-{NEW}")
    assert not boot.has(f"/config-{OLD}")
    found = json.loads(voidimg("inspect", image, "--json").stdout)
    names = {one["pkgver"].rpartition("-")[0] for one in found["packages"]}
    assert "rpi5-kernel" in names
    assert "rpi-kernel" not in names
    lock = next((tmp_path / "out").rglob("*.lock.json"))
    before = image.read_bytes()
    again = tmp_path / "again"
    ended = voidimg(*boards.words("rpi5-aarch64", again, "--lock", lock, profile="finished"))
    assert ended.returncode == 0, ended.stderr
    assert next((again / "out").rglob("*.img")).read_bytes() == before
