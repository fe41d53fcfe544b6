"""Boots an image and leaves the guest to its user: a console, and ports on loopback."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import ToolError
from voidimg.events import Listener, ignore, step
from voidimg.smoke.accelerator import choose_accelerator
from voidimg.smoke.boot import choose_machines
from voidimg.smoke.boot_menu import type_at_menu
from voidimg.smoke.console import Console
from voidimg.smoke.emulator import Emulator, started
from voidimg.smoke.live_iso import is_iso, words_for_serial
from voidimg.smoke.machine import arguments_of
from voidimg.smoke.network import ForwardedPort, network_words
from voidimg.smoke.starting import opened, start_of
from voidimg.spec.model import Recipe
from voidimg.spec.smoke_model import Machine

_REFUSES_SECONDS = 0.5
"""QEMU ends as soon when it does not like its arguments."""


@dataclass(frozen=True, slots=True)
class RunningGuest:
    """A guest that runs until the block that it was made in ends.

    Attributes:
        name: the machine in words: ``nvme on virt``.
        console: the descriptor of its serial port, to read from and to write to.
        ports: what is forwarded to it.
        accelerator: what runs its instructions: ``kvm`` or ``tcg``.
        why_not_kvm: empty when that is KVM.
        wait: QEMU's exit status when the guest ends within so many seconds, else None.
    """

    name: str
    console: int
    ports: tuple[ForwardedPort, ...]
    accelerator: str
    why_not_kvm: str
    wait: Callable[[float], int | None]


@contextmanager
def run_image(
    image: Path,
    recipe: Recipe,
    *,
    medium: str | None = None,
    firmware: str | None = None,
    ports: Sequence[ForwardedPort] = (),
    outside: bool = False,
    scratch: Path,
    listener: Listener = ignore,
) -> Iterator[RunningGuest]:
    """Boot `image` on the first fitting machine of its platform, and leave it running.

    Where the menu of a live ISO asks for no serial console, that is typed at the menu.

    The image is only read: what the guest writes is kept without a name in `scratch`, as much as a
    medium of the next size holds, and is gone when this ends, which ends the guest too.

    Args:
        image: the image file, ``.img``, ``.img.xz``, ``.qcow2``, ``.iso`` and so on.
        recipe: what it was built from.
        medium: what it is attached as; the first that the platform has by default.
        firmware: what starts it; the first that the platform has by default.
        ports: ports of loopback that lead to the guest.
        outside: whether the guest reaches the network that this machine is in.
        scratch: directory for what is unpacked and what the guest writes.
        listener: gets the steps.

    Raises:
        UsageError: no machine of the platform fits.
        LayoutError: the image is damaged.
        GuestError: the firmware would not start it.
        ToolError: QEMU is missing, or does not start.
    """
    live = is_iso(image)
    media, firmwares = [medium] if medium else (), [firmware] if firmware else ()
    machine = choose_machines(recipe, media, firmwares, live=live)[0]
    words_to_type = words_for_serial(image, recipe, machine.firmware) if live else ""
    qemu = recipe.smoke.qemu
    acceleration = choose_accelerator(qemu, machine)
    with ExitStack() as files, opened(image, scratch, listener) as base:
        with step(listener, f"start {machine.medium} on {machine.machine}, {machine.firmware}"):
            start = start_of(base, machine, qemu, recipe.arch, scratch, files)
        words = arguments_of(machine, start, kvm=acceleration.name == "kvm")
        words += network_words(machine, ports, outside=outside)
        if machine.firmware != "raspberry-pi":
            words.remove("-no-reboot")
        with started(qemu, words) as emulator:
            _require_running(emulator, qemu)
            if words_to_type:
                with step(listener, f"type {words_to_type} at the boot menu"):
                    _type(emulator, machine, words_to_type, scratch)
            yield RunningGuest(
                f"{machine.medium} on {machine.machine}",
                emulator.console,
                tuple(ports),
                acceleration.name,
                acceleration.why_not_kvm,
                emulator.wait,
            )


def _type(emulator: Emulator, machine: Machine, words: str, scratch: Path) -> None:
    until = time.monotonic() + machine.deadline_seconds
    with open(os.devnull, "wb") as log, Console(emulator.console, log) as console:
        type_at_menu(emulator, console, machine.firmware, words, scratch=scratch, until=until)
    os.set_blocking(emulator.console, True)


def _require_running(emulator: Emulator, qemu: str) -> None:
    status = emulator.wait(_REFUSES_SECONDS)
    if status is not None:
        raise ToolError(
            f"{qemu} ended at once with status {status}: {emulator.complaints()}",
            code="QEMU",
            where=qemu,
            hint="is the forwarded port in use, or QEMU older than this machine?",
        )
