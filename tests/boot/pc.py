"""The machines that start live ISOs: how media are attached, and a guest that answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.boot.menus import start_by_bios, start_by_uefi
from voidimg.smoke.console import Console, ConsoleClosedError
from voidimg.smoke.emulator import Emulator, started
from voidimg.smoke.shell import Shell, wait_for_login

START_SECONDS = 900.0
ANSWER_SECONDS = 300.0
POWER_OFF_SECONDS = 300.0

QUIET = ("-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot")

_FIRMWARE = "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"
_UEFI = ("-machine", "q35", "-drive", _FIRMWARE)
# Debian's 32-bit firmware has Secure Boot, which wants SMM; without keys it is not in force.
_UEFI_32 = (
    *("-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"),
    *("-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd"),
    *("-drive", "if=pflash,format=raw,snapshot=on,file=/usr/share/OVMF/OVMF32_VARS_4M.fd"),
)
_CD = ("-drive", "file={iso},format=raw,media=cdrom,readonly=on")
_USB = (
    *("-device", "qemu-xhci", "-drive", "file={iso},format=raw,if=none,id=stick,readonly=on"),
    *("-device", "usb-storage,drive=stick,bootindex=1"),
)
_SCSI_CD = (
    *("-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=disc,bootindex=1"),
    *("-drive", "file={iso},format=raw,if=none,id=disc,media=cdrom,readonly=on"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What starts an ISO: QEMU's program, its arguments, and how each kind of medium is attached.

    The medium can only be read. The names of media say what firmware starts them.
    """

    qemu: str
    words: Sequence[str]
    media: Mapping[str, Sequence[str]]


PC = Machine(
    "qemu-system-x86_64",
    # One processor: a second one of TCG costs more in a start than it brings.
    ("-cpu", "qemu64", "-smp", "1", "-m", "1G", "-accel", "tcg", *QUIET),
    {
        "cd on BIOS": (*_CD, "-boot", "d"),
        "usb on BIOS": _USB,
        "cd on UEFI": (*_UEFI, *_CD),
        "usb on UEFI": (*_UEFI, *_USB),
        "usb on 32-bit UEFI": (*_UEFI_32, *_USB),
    },
)
DESKTOP_PC = Machine(
    "qemu-system-x86_64",
    (
        *("-cpu", "qemu64", "-smp", "2", "-m", "2G", "-accel", "tcg,thread=multi"),
        *("-vga", "std", "-display", "none", "-monitor", "none", "-no-reboot"),
        *("-nic", "user,model=virtio-net-pci,restrict=on"),
        *("-device", "qemu-xhci", "-device", "usb-tablet"),
    ),
    PC.media,
)
"""With a screen, a pointer and a network that leads nowhere."""
OLD_PC = Machine(
    "qemu-system-i386",
    ("-cpu", "qemu32", "-smp", "1", "-m", "1G", "-accel", "tcg", *QUIET),
    {"cd on BIOS": (*_CD, "-boot", "d")},
)
ARM = Machine(
    "qemu-system-aarch64",
    # Two processors and a source of randomness: with one of TCG and none, stage 1 waited for
    # minutes, and in one start of two the kernel said that it was stuck.
    (
        *("-machine", "virt", "-cpu", "cortex-a53", "-smp", "2", "-m", "1G"),
        *("-accel", "tcg,thread=multi", "-device", "virtio-rng-pci"),
        *("-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/AAVMF/AAVMF_CODE.fd"),
        *("-drive", "if=pflash,format=raw,snapshot=on,file=/usr/share/AAVMF/AAVMF_VARS.fd"),
        *QUIET,
    ),
    {"cd on UEFI": _SCSI_CD, "usb on UEFI": _USB},
)
"""A machine of QEMU's own with UEFI."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A started live system: the shell of its user on the serial console."""

    shell: Shell
    console: Console
    emulator: Emulator

    def answer(self, command: str, seconds: float = ANSWER_SECONDS) -> str:
        """What `command` says within `seconds`, without blanks around it; it must succeed."""
        found = self.shell.run(command, time.monotonic() + seconds)
        assert found is not None, f"{command} does not end"
        assert found.status == 0, f"{command}: {found.output}"
        return found.output.strip()

    def power_off(self, command: str = "sudo -n poweroff") -> None:
        """Stop it in an orderly way, by `command`."""
        self.shell.run(command, time.monotonic() + ANSWER_SECONDS)
        # A guest waits for ever on a port that nobody reads when it has more to say.
        with suppress(ConsoleClosedError):
            self.console.listen(time.monotonic() + POWER_OFF_SECONDS)
        assert self.emulator.wait(ANSWER_SECONDS) == 0


@contextmanager
def running(
    iso: Path, medium: str, log: Path, more: Sequence[str] = (), machine: Machine = PC
) -> Iterator[tuple[Emulator, Console]]:
    """`machine` with `iso` attached as `medium` and `more` arguments; it has just been started.

    What its serial port says goes to `log`.
    """
    attached = [word.replace("{iso}", str(iso)) for word in machine.media[medium]]
    with (
        started(machine.qemu, [*machine.words, *attached, *more]) as emulator,
        log.open("ab") as file,
        Console(emulator.console, file) as console,
    ):
        yield emulator, console


def log_in(emulator: Emulator, console: Console, user: str) -> Guest:
    """The shell of `user`, who types the password of live systems at the prompt.

    Raises:
        GuestError, ConsoleClosedError: there is no prompt, or no shell.
    """
    until = time.monotonic() + START_SECONDS
    wait_for_login(console, until)
    return Guest(Shell.log_in(console, user, "voidlinux", until), console, emulator)


@contextmanager
def booted(
    iso: Path,
    medium: str,
    log: Path,
    *,
    entry: int = 0,
    words: str = "",
    user: str = "anon",
    more: Sequence[str] = (),
    machine: Machine = PC,
) -> Iterator[Guest]:
    """The live system, started from the menu's `entry` with `words` added to its command line."""
    start: Callable[[Console, int, str, float], None]
    start = start_by_uefi if "UEFI" in medium else start_by_bios
    with running(iso, medium, log, more, machine) as (emulator, console):
        start(console, entry, words, time.monotonic() + START_SECONDS)
        yield log_in(emulator, console, user)
