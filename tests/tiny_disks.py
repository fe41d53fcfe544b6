"""Tiny disks whose own code speaks on the serial port, whatever firmware starts them."""

from __future__ import annotations

import re
import struct
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from voidimg.smoke.console import Console
from voidimg.smoke.emulator import started
from voidimg.smoke.machine import arguments_of
from voidimg.smoke.starting import start_of
from voidimg.spec.smoke_model import Machine

_SECONDS = 120.0
SAYS = b"HERE-I-AM"

_BOOT_SECTOR = (
    (
        b"\x31\xc0\x8e\xd8"  # xor ax, ax; mov ds, ax
        b"\xbe\x40\x7c"  # mov si, 0x7c40
        b"\xba\xf8\x03"  # mov dx, 0x3f8       COM1
        b"\xac\x84\xc0\x74\x03\xee\xeb\xf8"  # lodsb; test al, al; jz echo; out dx, al; jmp lodsb
        b"\xba\xfd\x03\xec\xa8\x01\x74\xf8"  # echo: in al, 0x3fd; test al, 1; jz echo
        b"\xba\xf8\x03\xec\xee\xeb\xf1"  # in al, 0x3f8; out 0x3f8, al; jmp echo
    ).ljust(0x40, b"\0")
    + SAYS
    + b"\r\n\0"
)
"""In 16 bits, as BIOS starts it: says so on the first serial port, and gives back what is typed."""


def disk_of(place: Path, partition: Path | None = None) -> Path:
    """A disk with an MBR whose code speaks; `partition` is the content of its only one, a FAT."""
    disk = place / "disk.img"
    size = 2**20 if partition is None else partition.stat().st_size
    entry = struct.pack("<BBHBBHII", 0x80, 0, 0, 0x0C, 0, 0, 2048, size // 512)
    head = _BOOT_SECTOR.ljust(446, b"\0") + entry
    with disk.open("wb") as file:
        file.write(head.ljust(510, b"\0") + b"\x55\xaa")
        file.truncate(2**20 + size)
        if partition is not None:
            file.seek(2**20)
            file.write(partition.read_bytes())
    return disk


def fat_of(place: Path, files: dict[str, bytes]) -> Path:
    """A FAT filesystem of 33 MiB with `files`."""
    fat = place / "fat.img"
    with fat.open("wb") as file:
        file.truncate(33 * 2**20)
    subprocess.run(["mkfs.vfat", "-F", "32", fat], check=True, capture_output=True)
    for name, content in files.items():
        for parent in reversed(Path(name).parents[:-1]):
            words = ["mmd", "-D", "s", "-i", str(fat), f"::{parent}"]
            subprocess.run(words, check=False, capture_output=True)
        words = ["mcopy", "-i", str(fat), "-", f"::{name}"]
        subprocess.run(words, input=content, check=True, capture_output=True)
    return fat


def said(disk: Path, machine: Machine, qemu: str, arch: str, place: Path) -> bool:
    """Whether the disk's own code is heard when `machine` is started."""
    with ExitStack() as files, (place / "log").open("wb") as log:
        start = start_of(disk, machine, qemu, arch, place, files)
        words = [*arguments_of(machine, start, kvm=False), "-nic", "none"]
        with started(qemu, words) as emulator, Console(emulator.console, log) as console:
            until = time.monotonic() + _SECONDS
            return console.wait_for(re.compile(SAYS), until) is not None
