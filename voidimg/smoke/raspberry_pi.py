"""Plays the firmware of a Raspberry Pi, which QEMU does not run: reads what it would load.

From the boot partition: ``config.txt`` (may be absent), the kernel it names or that of the
architecture, its initramfs, and ``cmdline.txt``; the device tree is the one the machine asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

from voidimg.arch import PI_KERNELS, without_libc
from voidimg.errors import LayoutError
from voidimg.formats.partition_table import PartitionTable
from voidimg.inspection.boot_files import BootFiles
from voidimg.smoke.verdict import GuestError
from voidimg.spec.smoke_model import Machine

_BOARD_OF = {
    "raspi0": "pi0",
    "raspi1ap": "pi1",
    "raspi2b": "pi2",
    "raspi3ap": "pi3",
    "raspi3b": "pi3",
    "raspi4b": "pi4",
}
"""QEMU machine -> its filter in config.txt."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the firmware leaves in memory when the kernel starts. The kernel may be gzipped."""

    kernel: bytes
    initramfs: bytes | None
    dtb: bytes | None
    cmdline: str


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of config.txt that decide what is loaded; names as in the file."""

    kernel: str | None = None
    initramfs: str | None = None
    cmdline: str = "cmdline.txt"


def parse_config(text: str, board: str | None) -> Config:
    """The settings of a config.txt that hold on `board` (``pi3``; None: no Pi at all).

    ``initramfs NAME followkernel`` has no ``=``. Sections other than ``[all]`` and the board's own
    are passed over. Later settings win.
    """
    found: dict[str, str] = {}
    applies = True
    for line in text.splitlines():
        words = line.partition("#")[0].strip()
        if words.startswith("["):
            applies = words.strip("[] ").lower() in ("all", board)
        elif not applies or not words:
            continue
        elif words.split()[0] == "initramfs" and len(words.split()) > 1:
            found["initramfs"] = words.split()[1]
        elif "=" in words:
            name, _, value = words.partition("=")
            found[name.strip()] = value.strip()
    return Config(
        kernel=found.get("kernel"),
        initramfs=found.get("initramfs"),
        cmdline=found.get("cmdline", "cmdline.txt"),
    )


def load(files: BootFiles, machine: Machine, arch: str) -> Loaded:
    """What the firmware would load for `machine` from the boot partition.

    `arch` is XBPS's, with or without ``-musl``. The machine's `append` is added to the command
    line of the image, which otherwise is taken as it is.

    Raises:
        GuestError: a file that is needed is not there.
    """
    text = files.read("/config.txt").decode("utf-8", "replace") if files.has("/config.txt") else ""
    config = parse_config(text, _BOARD_OF.get(machine.machine.partition(",")[0]))
    kernel = config.kernel or PI_KERNELS.get(without_libc(arch))
    if kernel is None:
        raise GuestError(
            f"the firmware of a Raspberry Pi loads no kernel of {arch}", code="FIRMWARE"
        )
    cmdline = _read(files, config.cmdline, "the command line").decode("utf-8", "replace")
    return Loaded(
        kernel=_read(files, kernel, "the kernel"),
        initramfs=_read(files, config.initramfs, "the initramfs") if config.initramfs else None,
        dtb=_read(files, machine.dtb, "the device tree") if machine.dtb else None,
        cmdline=" ".join((*cmdline.split(), *machine.append.split())),
    )


def require_root(cmdline: str, table: PartitionTable) -> None:
    """Return when the partition of ``root=PARTUUID=`` in `cmdline` exists, or none is named so.

    Without it the kernel would wait for its root for ever, since `rootwait` tells it to.

    Raises:
        GuestError: `table` has no such partition.
    """
    roots = [word for word in cmdline.split() if word.startswith("root=PARTUUID=")]
    if not roots or "/" in roots[-1]:
        return
    wanted = roots[-1].removeprefix("root=PARTUUID=")
    there = [partition.partuuid for partition in table.partitions]
    if wanted.lower() not in (partuuid.lower() for partuuid in there):
        raise GuestError(
            f"the command line of the image has {roots[-1]}, and no partition is called so",
            code="ROOT",
            hint=f"the image has {', '.join(there)}",
        )


def _read(files: BootFiles, name: str, what: str) -> bytes:
    try:
        content = files.read(f"/{name.lstrip('/')}")
    except LayoutError as error:
        raise GuestError(
            f"{what} {name} is not on the boot partition",
            code="BOOT-FILE",
            where=str(files.image),
            hint="see what is there with: voidimg inspect",
        ) from error
    if not content:
        raise GuestError(
            f"{what} {name} on the boot partition is empty",
            code="BOOT-FILE",
            where=str(files.image),
        )
    return content
