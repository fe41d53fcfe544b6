"""What QEMU is told of a machine: processor, memory, and how the medium is attached. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voidimg.spec.smoke_model import LIVE_FIRMWARE, Machine


@dataclass(frozen=True, slots=True)
class Drive:
    """The medium's content: a qcow2 that the guest writes to, or a raw image that is only read."""

    path: Path
    kind: Literal["qcow2", "raw"]

    @property
    def options(self) -> str:
        """QEMU's words for it."""
        # A comma would end the value of an option; two of them stand for one.
        file = str(self.path).replace(",", ",,")
        more = "format=qcow2,cache=unsafe" if self.kind == "qcow2" else "format=raw,readonly=on"
        return f"file={file},{more}"


@dataclass(frozen=True, slots=True)
class Start:
    """What QEMU starts with: the medium, and the `words` of the firmware's player.

    All paths must stay valid while it runs.
    """

    drive: Drive
    words: tuple[str, ...] = ()


def arguments_of(machine: Machine, start: Start, *, kvm: bool) -> list[str]:
    """QEMU's arguments for `machine`, without those of console and network.

    A processor model of another kind than the host's cannot be accelerated, so with KVM it is the
    host's own.
    """
    cpu = "host" if kvm else machine.cpu
    words = ["-machine", f"{machine.machine},accel={'kvm' if kvm else 'tcg'}"]
    words += ["-cpu", cpu] if cpu else []
    words += ["-smp", str(machine.smp), "-m", f"{machine.memory // 2**20}M"]
    words += ["-display", "none", "-monitor", "none", "-no-reboot"]
    words += _attached(machine, start.drive.options)
    return [*words, *start.words]


_CONTROLLERS = {
    None: [],
    "xhci": ["-device", "qemu-xhci"],
    "ehci": ["-device", "usb-ehci"],
    "sdhci": ["-device", "sdhci-pci"],
}
_DEVICES: Mapping[str, tuple[str, ...]] = {
    "usb": ("usb-storage,drive=medium",),
    "nvme": ("nvme,drive=medium,serial=voidimg",),
    "virtio": ("virtio-blk-pci,drive=medium",),
    "scsi": ("virtio-scsi-pci,id=scsi", "scsi-hd,bus=scsi.0,drive=medium"),
    "sata": ("ich9-ahci,id=ahci", "ide-hd,bus=ahci.0,drive=medium"),
    "ide": ("ide-hd,bus=ide.0,drive=medium",),
    "sd": ("sd-card,drive=medium",),
}


def _attached(machine: Machine, drive: str) -> list[str]:
    """The arguments that attach the image, whose options are `drive`, as the machine's medium."""
    if machine.medium == "cd":
        return ["-drive", f"media=cdrom,{drive}", "-boot", "d"]
    if machine.medium == "sd" and machine.controller is None:
        return ["-drive", f"if=sd,{drive}"]
    *bridges, device = _DEVICES[machine.medium]
    # No firmware of QEMU's boards starts an SD card by its place in a list.
    first = machine.firmware in LIVE_FIRMWARE and machine.medium != "sd"
    words = [*_CONTROLLERS[machine.controller], "-drive", f"if=none,id=medium,{drive}"]
    for one in (*bridges, f"{device},bootindex=1" if first else device):
        words += ["-device", one]
    return words
