"""What the platform of a stranger can say about QEMU: nothing that reaches the host."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from voidimg.catalog.catalog import Catalog
from voidimg.smoke.machine import Drive, Start, arguments_of
from voidimg.spec.smoke_model import DtbEdit, Machine, Smoke


@pytest.mark.parametrize(
    "program",
    [
        "sh", "/bin/sh", "./qemu-system-x86_64", "../qemu-system-x86_64", "/tmp/qemu-system-x86_64",
        "qemu-x86_64", "qemu-img", "qemu-nbd", "qemu-system-x86_64 -S", "qemu-system-x86_64/../sh",
        "qemu-system-", "qemu-system-X", "qemu-system-x86_64\n", "", "-h",
    ],
)  # fmt: skip
def test_only_system_emulators_are_started(program: str) -> None:
    with pytest.raises(ValidationError, match="not a system emulator of QEMU"):
        Smoke(qemu=program)


@pytest.mark.parametrize(
    "machine",
    [
        "virt,dumpdtb=/etc/passwd",
        "virt,kernel=/x",
        "pc,firmware=/etc/shadow",
        "-h",
        "",
        "a b",
        "a\n",
    ],
)
def test_a_machine_is_a_name(machine: str) -> None:
    with pytest.raises(ValidationError, match="not the name of a machine"):
        Machine(medium="usb", machine=machine)


@pytest.mark.parametrize("cpu", ["a,b=/etc", "-h", "a b", "a,", ",a", "a,+b c", "a,x=1"])
def test_a_processor_has_features_that_are_on_or_off(cpu: str) -> None:
    with pytest.raises(ValidationError, match="not a processor"):
        Machine(medium="usb", machine="virt", cpu=cpu)


def test_processors_with_features_are_taken() -> None:
    for cpu in ("qemu64", "qemu64,+ssse3,-svm", "max,pauth=off", "Skylake-Server-v1", "cortex-a53"):
        assert Machine(medium="usb", machine="virt", cpu=cpu).cpu == cpu


@pytest.mark.parametrize("field", ["attach", "arguments", "netdev", "drive", "chardev", "bios"])
def test_there_are_no_words_for_the_command_line(field: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Machine.model_validate({"medium": "usb", "machine": "virt", field: ["-netdev", "tap"]})


@pytest.mark.parametrize("field", ["node", "property", "value"])
@pytest.mark.parametrize("text", ["-h", "--help", "a\nb", "\x00", "\x9b"])
def test_edits_of_device_trees_are_no_options(field: str, text: str) -> None:
    sound = {"node": "/soc", "property": "status", "value": "okay"}
    if field == "value" and text.startswith("-"):
        assert DtbEdit(**{**sound, field: text}).value == text  # it stands behind "--"
        return
    with pytest.raises(ValidationError):
        DtbEdit(**{**sound, field: text})


@pytest.mark.parametrize("smp", [0, 65])
@pytest.mark.parametrize("memory", [1, 2**37])
def test_a_machine_is_not_larger_than_hosts_are(smp: int, memory: int) -> None:
    with pytest.raises(ValidationError):
        Machine(medium="usb", machine="virt", smp=smp)
    with pytest.raises(ValidationError):
        Machine(medium="usb", machine="virt", memory=memory)


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("rpi-aarch64", [
            ["-drive", "if=sd,D"],
            ["-device", "qemu-xhci", "-drive", "if=none,id=medium,D",
             "-device", "usb-storage,drive=medium"],
            ["-drive", "if=none,id=medium,D", "-device", "nvme,drive=medium,serial=voidimg"],
        ]),
        ("live-x86", [
            ["-drive", "media=cdrom,D", "-boot", "d"],
            ["-device", "qemu-xhci", "-drive", "if=none,id=medium,D",
             "-device", "usb-storage,drive=medium,bootindex=1"],
        ]),
    ],
)  # fmt: skip
def test_the_machines_of_shipped_platforms(platform: str, expected: list[list[str]]) -> None:
    catalog = Catalog()
    name = {"live-x86": "x86_64"}.get(platform, platform)
    attached = []
    for machine in catalog.recipe(name).recipe.smoke.machines:
        played = machine.firmware == "raspberry-pi"
        start = Start(Drive(Path("/i"), "qcow2" if played else "raw"))
        words = arguments_of(machine, start, kvm=False)
        words = words[words.index("-no-reboot") + 1 :]
        attached.append([word.replace(start.drive.options, "D") for word in words])
    assert attached == expected
