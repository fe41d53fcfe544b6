"""Every firmware starts a disk from every medium that it can: tiny systems that say so."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from tests.tiny_disks import SAYS, disk_of, fat_of, said
from voidimg.catalog.catalog import Catalog
from voidimg.errors import UsageError
from voidimg.smoke.boot import choose_machines
from voidimg.spec.smoke_model import Machine, Medium


@pytest.mark.parametrize(
    ("medium", "board"),
    [
        ("ide", "pc"), ("sata", "pc"), ("virtio", "pc"), ("scsi", "pc"), ("nvme", "pc"),
        ("sata", "q35"), ("virtio", "q35"), ("nvme", "q35"), ("usb", "q35"),
    ],
)  # fmt: skip
def test_bios_starts_from_each_medium(medium: Medium, board: str, tmp_path: Path) -> None:
    """The first sector of the disk runs, whatever the disk is attached as."""
    machine = Machine(
        medium=medium,
        machine=board,
        firmware="bios",
        cpu="qemu64",
        controller="xhci" if medium == "usb" else None,
    )
    assert said(disk_of(tmp_path), machine, "qemu-system-x86_64", "x86_64", tmp_path)


def _boot_script(text: str) -> bytes:
    """A boot.scr: the header of U-Boot's old images, then a list of one script."""
    body = struct.pack(">II", len(text), 0) + text.encode()
    fields = (0x27051956, 0, 0, len(body), 0, 0, zlib.crc32(body), 5, 2, 6, 0, b"script")
    form = ">IIIIIIIBBBB32s"
    crc = zlib.crc32(struct.pack(form, *fields))
    return struct.pack(form, fields[0], crc, *fields[2:]) + body


@pytest.mark.parametrize(
    ("medium", "qemu"),
    [
        ("virtio", "qemu-system-aarch64"),
        ("nvme", "qemu-system-aarch64"),
        ("usb", "qemu-system-aarch64"),
        ("sata", "qemu-system-aarch64"),
        ("virtio", "qemu-system-arm"),
    ],
)
def test_u_boot_runs_the_script_of_the_image(medium: Medium, qemu: str, tmp_path: Path) -> None:
    """From the partition that is marked as the one to start from."""
    first, _, second = SAYS.decode().partition("-")
    script = _boot_script(f"setenv a {first}\necho ${{a}}-{second}\n")
    machine = Machine(
        medium=medium,
        machine="virt",
        firmware="u-boot",
        cpu="cortex-a53" if qemu.endswith("64") else "cortex-a7",
        controller="ehci" if medium == "usb" else None,
    )
    disk = disk_of(tmp_path, fat_of(tmp_path, {"boot.scr": script}))
    assert said(disk, machine, qemu, "aarch64", tmp_path)


def _arm64_kernel(text: bytes) -> bytes:
    """An Image whose code writes `text` to the PL011 of ``virt`` (Documentation/arch/arm64)."""
    code = struct.pack(
        "<7I",
        0xD2A12001,  # movz x1, #0x900, lsl #16
        0x100000C2,  # adr  x2, text
        0x38401440,  # ldrb w0, [x2], #1
        0x34000060,  # cbz  w0, end
        0xB9000020,  # str  w0, [x1]
        0x17FFFFFD,  # b    .-12
        0x14000000,  # end: b .
    )
    magic, four_kib_pages_anywhere = 0x644D5241, 0xA
    head = struct.pack("<IIQQQQQQII", 0x14000010, 0, 0, 4096, four_kib_pages_anywhere,
                       0, 0, 0, magic, 0)  # fmt: skip
    return (head + code + text + b"\r\n\0").ljust(4096, b"\0")


def test_u_boot_starts_the_kernel_of_extlinux_conf(tmp_path: Path) -> None:
    """As Void's hook writes the file; no device tree in the directory that it names fits here."""
    menu = """TIMEOUT 10
DEFAULT entry0
MENU TITLE Boot menu

LABEL entry0
\tMENU LABEL Void Linux Version 6.6.21_1
\tLINUX /vmlinux-6.6.21_1
\tDEVICETREEDIR /dtbs/dtbs-6.6.21_1
\tAPPEND root=PARTUUID=5a1e0001-02 rw
"""
    files = {
        "extlinux/extlinux.conf": menu.encode(),
        "vmlinux-6.6.21_1": _arm64_kernel(SAYS),
        "dtbs/dtbs-6.6.21_1/rockchip/rk3328-rock64.dtb": b"tree of another board",
    }
    machine = Machine(medium="virtio", machine="virt", firmware="u-boot", cpu="cortex-a53")
    disk = disk_of(tmp_path, fat_of(tmp_path, files))
    assert said(disk, machine, "qemu-system-aarch64", "aarch64", tmp_path)


ROWS = tuple(
    Machine(medium=medium, firmware=firmware, machine="q35")
    for medium in ("virtio", "usb")
    for firmware in ("bios", "uefi", "uefi-ia32")
)


def test_rows_of_firmware_and_medium_are_chosen_by_either() -> None:
    """A disk takes all rows, and a live ISO those whose firmware it has."""
    pi = Catalog().recipe("rpi-aarch64").recipe
    disk = pi.model_copy(update={"smoke": pi.smoke.model_copy(update={"machines": ROWS})})
    assert choose_machines(disk) == ROWS
    assert choose_machines(disk, ["usb"]) == ROWS[3:]
    assert choose_machines(disk, firmware=["bios"]) == (ROWS[0], ROWS[3])
    assert choose_machines(disk, ["usb"], ["uefi", "bios"]) == (ROWS[3], ROWS[4])
    with pytest.raises(UsageError, match="by u-boot") as caught:
        choose_machines(disk, firmware=["u-boot"])
    assert caught.value.hint == "it has: bios, uefi, uefi-ia32"
    with pytest.raises(UsageError, match="boots a live ISO"):
        choose_machines(disk, live=True)
