"""Plays the firmware of a Raspberry Pi, which QEMU does not run: reads what it would load.

From the boot partition: ``config.txt`` (may be absent), the kernel that follows from it on the
machine's board, its initramfs and device tree, and ``cmdline.txt``. What decides is
`voidimg.formats.pi_config`, which `lint` asks too; overlays are not applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from voidimg.arch import PI_KERNELS, without_libc
from voidimg.errors import LayoutError
from voidimg.formats.partition_table import PartitionTable, read_table
from voidimg.formats.pi_config import BOARDS, Board, plan_start, read_config
from voidimg.inspection.boot_files import BootFiles, open_boot_files
from voidimg.smoke.emulator import edit_dtb
from voidimg.smoke.setting import Setting
from voidimg.smoke.verdict import GuestError
from voidimg.spec.smoke_model import Machine

_BOARD_OF: Mapping[str, str] = {
    "raspi0": "Zero",
    "raspi1ap": "1 A+",
    "raspi2b": "2 B",
    "raspi3ap": "3 A+",
    "raspi3b": "3 B",
    "raspi4b": "4 B",
}
"""QEMU machine -> the board that it is."""

_OLD_KERNEL_NAMES = ("kernel.img", "kernel7.img")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the firmware leaves in memory when the kernel starts. The kernel may be gzipped."""

    kernel: bytes
    initramfs: bytes | None
    dtb: bytes | None
    cmdline: str


def play(setting: Setting) -> tuple[str, ...]:
    """QEMU's words for the kernel that the firmware would start from the image.

    Raises:
        GuestError: a file that is needed is not there, or the root that is named.
        LayoutError: there is no boot partition.
        ToolError: mtools or fdtput is missing.
    """
    loaded = load(open_boot_files(setting.image), setting.machine, setting.arch)
    require_root(loaded.cmdline, read_table(setting.image))
    words = ["-kernel", str(setting.keep(loaded.kernel)), "-append", loaded.cmdline]
    if loaded.initramfs is not None:
        words += ["-initrd", str(setting.keep(loaded.initramfs))]
    if loaded.dtb is not None:
        dtb = setting.keep(loaded.dtb)
        edit_dtb(dtb, setting.machine.dtb_edits)
        words += ["-dtb", str(dtb)]
    return tuple(words)


def load(files: BootFiles, machine: Machine, arch: str) -> Loaded:
    """What the firmware would load for `machine` from the boot partition.

    `arch` is XBPS's, with or without ``-musl``. The machine's `append` is added to the command
    line of the image, which otherwise is taken as it is.

    Raises:
        GuestError: a file that is needed is not there.
    """
    name = machine.machine.partition(",")[0]
    is_pi = name in _BOARD_OF
    board = BOARDS[_BOARD_OF[name]] if is_pi else _generic(arch)
    present = frozenset(path.removeprefix("/").casefold() for path in files.list())

    def text_of(path: str) -> str | None:
        there = path.removeprefix("/").casefold() in present
        return files.read(f"/{path}").decode("utf-8", "replace") if there else None

    start = plan_start(read_config(text_of("config.txt") or "", board, text_of), board, present)
    tree = machine.dtb or (start.device_tree if is_pi else None)
    parts = [_read(files, name, "the initramfs") for name in start.initramfs]
    cmdline = _read(files, start.cmdline, "the command line").decode("utf-8", "replace")
    return Loaded(
        kernel=_read(files, start.kernel, "the kernel"),
        initramfs=b"".join(parts) or None,
        dtb=_read(files, tree, "the device tree") if tree else None,
        cmdline=" ".join((*cmdline.split(), *machine.append.split())),
    )


def _generic(arch: str) -> Board:
    """A machine that is no Pi, such as ``virt``: no filter of config.txt holds on it.

    Raises:
        GuestError: no Pi starts a kernel of `arch`.
    """
    kernel = PI_KERNELS.get(without_libc(arch))
    if kernel is None:
        raise GuestError(
            f"the firmware of a Raspberry Pi loads no kernel of {arch}", code="FIRMWARE"
        )
    old = kernel in _OLD_KERNEL_NAMES
    return Board(
        name="generic",
        filters=frozenset(),
        type=-1,
        device_trees=("generic",),
        kernel32=kernel if old else "kernel7l.img",
        bits64="no" if old else "default",
        stage=None,
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
