"""Decides between TCG and KVM by proof: an openable /dev/kvm does not mean that guests run.

Some kernels offer a /dev/kvm under which a guest's kernel crawls or hangs. So a guest of a dozen
instructions must count to 2^26, say so and power off within five seconds, or TCG is used.
"""

from __future__ import annotations

import os
import platform
import re
import struct
import tempfile
import time
from pathlib import Path
from typing import Literal

from voidimg.smoke.console import Console, ConsoleClosedError
from voidimg.smoke.emulator import NamelessFile, started
from voidimg.spec.smoke_model import Machine

Accelerator = Literal["tcg", "kvm"]

_PROOF_SECONDS = 5.0
_PROOF = struct.pack(
    "<11I",
    0xD2A12001,  # movz x1, #0x900, lsl #16    the PL011 of the machine virt
    0xD2A08002,  # movz x2, #0x400, lsl #16    2^26
    0xF1000442,  # subs x2, x2, #1
    0x54FFFFE1,  # b.ne .-4
    0x52800960,  # mov  w0, #'K'
    0xB9000020,  # str  w0, [x1]
    0xD2B08000,  # movz x0, #0x8400, lsl #16   PSCI SYSTEM_OFF
    0xF2800100,  # movk x0, #8
    0xD4000002,  # hvc  #0
    0xD503207F,  # wfi
    0x17FFFFFF,  # b    .-4
)
"""The proof guest for aarch64. Other architectures have none, so they are never accelerated."""


def choose_accelerator(qemu: str, machine: Machine) -> Accelerator:
    """``kvm`` if it was just seen to work for `machine`, else ``tcg``."""
    if (
        qemu.removeprefix("qemu-system-") != platform.machine()
        or platform.machine() != "aarch64"
        or machine.machine.partition(",")[0] != "virt"
        or not os.access("/dev/kvm", os.R_OK | os.W_OK)
    ):
        return "tcg"
    return "kvm" if proves_itself(qemu, "kvm", "host") else "tcg"


def proves_itself(qemu: str, accelerator: Accelerator, cpu: str) -> bool:
    """Whether the proof guest ends well on the machine ``virt`` within five seconds."""
    until = time.monotonic() + _PROOF_SECONDS
    words = ["-machine", f"virt,accel={accelerator}", "-cpu", cpu, "-m", "64M", "-nic", "none"]
    words += ["-display", "none", "-monitor", "none", "-no-reboot"]
    with (
        NamelessFile(Path(tempfile.gettempdir()), _PROOF) as kernel,
        started(qemu, [*words, "-kernel", str(kernel.path)]) as emulator,
        open(os.devnull, "wb") as log,
        Console(emulator.console, log) as console,
    ):
        try:
            answered = console.wait_for(re.compile(b"K"), until) is not None
        except ConsoleClosedError:
            return False
        return answered and emulator.wait(until - time.monotonic()) == 0
