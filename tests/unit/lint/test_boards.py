"""Boards that U-Boot starts: what their menu or script names, what is written raw, and harm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.lint.subjects import (
    EPOCH,
    IDENTITY,
    MIB,
    PKGDB,
    RELEASE,
    Files,
    defects,
    make_image,
    patch,
    pkgdb,
)
from voidimg.disk.identifiers import disk_identifiers
from voidimg.formats.uboot_script import write_script
from voidimg.lint.lint import lint_artifact
from voidimg.spec.disk_model import Blob, Disk, Ext4, Fat, Partition

LINUX_DATA = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
LOADER, U_BOOT = "/usr/lib/rock64-uboot/idbloader.img", "/usr/lib/rock64-uboot/u-boot.itb"
DISK = Disk(
    label="gpt",
    first_partition=16 * MIB,
    partitions=(
        Partition(
            name="boot", size=8 * MIB, type=LINUX_DATA, filesystem="vfat", active=True,
            mount="/boot", fat=Fat(bits=16, sectors_per_cluster=1),
        ),
        Partition(
            name="root", size="rest", type=LINUX_DATA, filesystem="ext4", mount="/",
            ext4=Ext4(journal=False),
        ),
    ),
    headroom=2 * MIB,
    blobs=(Blob(source=LOADER, offset=64 * 512), Blob(source=U_BOOT, offset=16384 * 512)),
)  # fmt: skip
ROOT = disk_identifiers(DISK, IDENTITY).partitions[1]
WORDS = f"panic=10 console=ttyS2,1500000 root=UUID={ROOT.uuid} rw"
CONF, SCRIPT, TEXT = "/boot/extlinux/extlinux.conf", "/boot/boot.scr", "/boot/boot.txt"
TREES = f"/boot/dtbs/dtbs-{RELEASE}/rockchip"


def menu(words: str = WORDS, **changed: str) -> bytes:
    """A menu; `changed` has other paths by their keyword."""
    paths = {
        "LINUX": f"/vmlinux-{RELEASE}",
        "INITRD": f"/initramfs-{RELEASE}.img",
        "DEVICETREEDIR": f"/dtbs/dtbs-{RELEASE}",
        **changed,
    }
    lines = [f"\t{keyword} {path}" for keyword, path in paths.items() if path]
    return "\n".join(["DEFAULT entry0", "LABEL entry0", *lines, f"\tAPPEND {words}", ""]).encode()


BOARD: Files = {
    PKGDB: pkgdb("rock64-base"),
    CONF: menu(),
    "/etc/default/extlinux": f'CMDLINE="{WORDS}"\nUSE_DEVICETREEDIR="yes"\n'.encode(),
    f"/boot/vmlinux-{RELEASE}": b"kernel",
    f"/boot/initramfs-{RELEASE}.img": b"initramfs",
    f"{TREES}/rk3328-rock64.dtb": b"\xd0\x0d\xfe\xed",
    LOADER: b"first loader" * 100,
    U_BOOT: b"u-boot" * 100,
}
LOADS = (
    "if load mmc 0:1 ${kernel_addr_r} /vmlinux-X; then\n"
    "load mmc 0:1 ${fdt_addr_r} /dtbs/dtbs-X/rockchip/rk3328-rock64.dtb\nfi\n"
)


def script(words: str = WORDS, loads: str = LOADS) -> dict[str, bytes]:
    """A boot script and its text, in the place of the menu."""
    text = f"setenv bootargs {words}\n" + loads.replace("X", RELEASE)
    return {TEXT: text.encode(), SCRIPT: write_script(text, "aarch64", EPOCH)}


FAILING: list[tuple[str, Files, str]] = [
    ("extlinux-paths", {CONF: menu(LINUX="/boot/vmlinux-1")}, "the kernel /boot/vmlinux-1 is not"),
    ("extlinux-paths", {CONF: menu(INITRD="/initrd")}, "the initramfs /initrd is not there"),
    ("extlinux-paths", {CONF: menu(DEVICETREEDIR="/dtb")}, "device trees /dtb is not there"),
    ("extlinux-paths", {CONF: menu(FDT="/x.dtb")}, "the device tree /x.dtb is not there"),
    ("extlinux-paths", {CONF: menu(LINUX="")}, "names no kernel"),
    ("extlinux-paths", {CONF: b"TIMEOUT 10\n"}, "there is no entry"),
    ("extlinux-paths", {CONF: menu().replace(b"DEFAULT entry0", b"DEFAULT x")}, "DEFAULT says x"),
    ("extlinux-paths", script(loads="load mmc 0:1 ${kernel_addr_r} /no\n"), "the kernel /no"),
    ("uboot-script", {SCRIPT: b"setenv bootargs\n"}, "does not begin with the header"),
    ("uboot-script", {**script(), TEXT: b"other"}, "not made of the boot.txt"),
    ("uboot-root", {CONF: menu("console=ttyS2")}, "there is no root="),
    ("uboot-root", {CONF: menu("root=/dev/mmcblk0p2")}, "another device on another medium"),
    ("uboot-root", {CONF: menu("root=UUID=0000-0000")}, "not the root of this image"),
    ("uboot-root", {CONF: menu(f"root=PARTUUID={ROOT.uuid}")}, "not the root of this image"),
    ("uboot-root", {CONF: menu(INITRD="")}, "needs an initramfs"),
    ("uboot-root", script(f"root=UUID={ROOT.uuid}"), "needs an initramfs"),
    ("uboot-console", {CONF: menu(WORDS.replace("ttyS2", "ttyS0"))}, "rock64-base is for ttyS2"),
    ("uboot-console", {CONF: menu("quiet")}, "it has no console"),
    ("uboot-modules", {CONF: menu(LINUX="/vmlinux-9.9_1")}, "no modules of 9.9_1"),
    ("uboot-update", {"/etc/default/extlinux": b'CMDLINE=""\n'}, "the menu has 'panic=10"),
    ("uboot-update", {"/etc/default/extlinux": f'CMDLINE="{WORDS}"'.encode()}, "do not agree"),
]
GONE = [("uboot-device-tree", f"{TREES}/rk3328-rock64.dtb", "rk3328-rock64.dtb is not there")]
SPOILED: list[tuple[str, Callable[[Path], Path], str]] = [
    ("blob-fits", lambda path: patch(path, 64 * 512, bytes(64)), "it is not at byte 32768"),
    ("blob-fits", lambda path: patch(path, 16384 * 512, bytes(64)), "it is not at byte 8388608"),
]


def told(image: Path, check: str) -> list[str]:
    return [f"{one.object}: {one.what}" for one in defects(image, check)]


def test_a_sound_board_is_clean(tmp_path: Path) -> None:
    """Started by a menu, or by a script."""
    for name, changes in (("menu", {}), ("script", script(f"{WORDS} x".replace("UUID=", "PARTUUID=")
                          .replace(ROOT.uuid, ROOT.partuuid)))):  # fmt: skip
        place = tmp_path / name
        place.mkdir()
        report = lint_artifact(make_image(place, {**BOARD, **changes}, disk=DISK))
        assert "extlinux-paths" in report.checks
        assert [
            one for one in report.defects if one.check.startswith(("uboot", "ext", "blob"))
        ] == []


@pytest.mark.parametrize(("check", "changes", "words"), FAILING)
def test_what_u_boot_could_not_start_is_told(
    check: str, changes: Files, words: str, tmp_path: Path
) -> None:
    image = make_image(tmp_path, {**BOARD, **changes}, disk=DISK)
    assert any(words in one for one in told(image, check)), told(image, check)


@pytest.mark.parametrize(("check", "path", "words"), GONE)
def test_a_file_that_is_gone_is_told(check: str, path: str, words: str, tmp_path: Path) -> None:
    changes = {**BOARD, f"{TREES}/rk3328-other.dtb": b"\xd0\x0d\xfe\xed"}
    image = make_image(tmp_path, changes, gone=(path,), disk=DISK)
    assert any(words in one for one in told(image, check)), told(image, check)


@pytest.mark.parametrize(("check", "spoil", "words"), SPOILED)
def test_spoiled_blobs_are_told(
    check: str, spoil: Callable[[Path], Path], words: str, tmp_path: Path
) -> None:
    image = spoil(make_image(tmp_path, BOARD, disk=DISK))
    assert any(words in one for one in told(image, check)), told(image, check)


def test_a_blob_that_reaches_into_a_partition_is_told(tmp_path: Path) -> None:
    """By whoever wrote it there: our own planner refuses that."""
    files: Files = {**BOARD, U_BOOT: bytes(8 * MIB) + b"\xeb\x3c\x90"}  # as the FAT begins
    image = make_image(tmp_path, files, disk=DISK.model_copy(update={"blobs": DISK.blobs[:1]}))
    assert any("over partition 1" in one for one in told(image, "blob-fits"))
