"""Decides between TCG and KVM by proof: an openable /dev/kvm does not mean that guests run.

Some kernels offer a /dev/kvm under which a guest's kernel crawls or hangs. So a guest of some dozen
instructions must count to 2^26 as kernels run, say so and power off within five seconds, or TCG is
used, and the report says why.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import struct
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voidimg.smoke.console import Console, ConsoleClosedError
from voidimg.smoke.emulator import NamelessFile, started
from voidimg.spec.smoke_model import Machine

Accelerator = Literal["tcg", "kvm"]

_PROOF_SECONDS = 5.0
_ARM = struct.pack(
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
_X86 = bytes.fromhex(
    # Multiboot: magic, "addresses follow", checksum; header, load and end addresses, entry.
    "02b0ad1b 00000100 fe4f51e4 00001000 00001000 00000000 00000000 20001000"
    "bf00001100"  # mov edi, 0x110000       three tables that map the first 2 MiB onto themselves
    "0f22df"  # mov cr3, edi
    "c70703101100"  # mov [edi], 0x111003
    "c7870010000003201100"  # mov [edi+0x1000], 0x112003
    "c7870020000083000000"  # mov [edi+0x2000], 0x83
    "0f20e0 83c820 0f22e0"  # cr4 |= PAE
    "b9800000c0 0f32 0d00010000 0f30"  # EFER |= LME
    "0f20c0 0d00000080 0f22c0"  # cr0 |= PG
    "0f0115b0001000"  # lgdt [gdtr]
    "ea720010000800"  # jmp 8:next             64 bits from here on
    "b900000004 ffc9 75fc"  # next: ecx = 2^26; count down
    "b900000100 0f20d8 0f22d8 ffc9 75f6"  # 2^16 times: cr3 = cr3, as kernels do for ever
    "66baf803 b04b ee"  # out 0x3f8, 'K'    COM1
    "66ba0406 66b80020 66ef"  # out 0x604, 0x2000   ACPI's power off of pc and q35
    "f4 ebfd"  # hlt; jmp .-1
    "6690"  # padding
    "0000000000000000 00000000009a2000"  # gdt: null, code of 64 bits
    "0f00 a0001000"  # gdtr
)  # fmt: skip
_PROOFS: Mapping[str, tuple[bytes, tuple[str, ...]]] = {
    "aarch64": (_ARM, ("virt",)),
    "x86_64": (_X86, ("pc", "q35")),
}
"""Architecture of the host -> its proof guest, and the machines that the guest is made for.

Other architectures have none, so they are never accelerated.
"""
_EMULATORS: Mapping[str, str] = {
    "qemu-system-aarch64": "aarch64",
    "qemu-system-i386": "x86_64",
    "qemu-system-x86_64": "x86_64",
}
"""Program -> the host on which KVM runs its guests."""


@dataclass(frozen=True, slots=True)
class Acceleration:
    """What runs the guest's instructions, and `why_not_kvm`, empty when it is KVM."""

    name: Accelerator
    why_not_kvm: str = ""


def choose_accelerator(qemu: str, machine: Machine) -> Acceleration:
    """KVM if it was seen to work for `machine` in this process, else TCG and the reason."""
    reason = _why_not_kvm(qemu, machine.machine)
    return Acceleration("tcg", reason) if reason else Acceleration("kvm")


def _why_not_kvm(qemu: str, machine: str) -> str:
    here = platform.machine()
    if _EMULATORS.get(qemu) != here:
        return f"{qemu} is for other processors than this machine's, {here}"
    if machine not in _PROOFS[here][1]:
        return f"there is no proof guest for the machine {machine}"
    if not os.path.exists("/dev/kvm"):
        return "there is no /dev/kvm"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "this user must not open /dev/kvm"
    return why_not_proven(qemu, machine, "kvm", "host")


@functools.cache
def why_not_proven(qemu: str, machine: str, accelerator: Accelerator, cpu: str) -> str:
    """Why the proof guest did not end well on `machine` within five seconds; empty if it did."""
    guest, _ = _PROOFS[_EMULATORS[qemu]]
    until = time.monotonic() + _PROOF_SECONDS
    words = ["-machine", f"{machine},accel={accelerator}", "-cpu", cpu, "-m", "64M", "-nic", "none"]
    words += ["-display", "none", "-monitor", "none", "-no-reboot"]
    with (
        NamelessFile(Path(tempfile.gettempdir()), guest) as kernel,
        started(qemu, [*words, "-kernel", str(kernel.path)]) as emulator,
        open(os.devnull, "wb") as log,
        Console(emulator.console, log) as console,
    ):
        try:
            answered = console.wait_for(re.compile(b"K"), until) is not None
        except ConsoleClosedError:
            answered = False
        status = emulator.wait(until - time.monotonic())
        if answered and status == 0:
            return ""
        complaint = (emulator.complaints().splitlines() or [""])[0]
    if status is None:
        return f"a guest of some instructions did not end within {_PROOF_SECONDS:.0f} s with it"
    return f"QEMU ended with status {status} on a guest of some instructions: {complaint}"
