"""QEMU: what it is given, that its files have no names, and that it never outlives us."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from voidimg.catalog.catalog import Catalog
from voidimg.errors import UsageError
from voidimg.smoke.accelerator import choose_accelerator, why_not_proven
from voidimg.smoke.boot import choose_machines, platform_of_image
from voidimg.smoke.emulator import (
    NamelessFile,
    edit_dtb,
    make_overlay,
    medium_bytes,
)
from voidimg.smoke.machine import Drive, Start, arguments_of
from voidimg.spec.smoke_model import DtbEdit, Machine

NVME = Machine(
    medium="nvme",
    machine="virt",
    cpu="cortex-a53",
    smp=2,
)


def test_the_machine_becomes_arguments() -> None:
    """Commas in a path are doubled; KVM takes the host's processor."""
    start = Start(Drive(Path("/a,b"), "qcow2"))
    words = arguments_of(NVME, start, kvm=False)
    assert "if=none,id=medium,file=/a,,b,format=qcow2,cache=unsafe" in words
    assert words[2:4] == ["-cpu", "cortex-a53"]
    assert "virt,accel=kvm" in arguments_of(NVME, start, kvm=True)
    assert "host" in arguments_of(NVME, start, kvm=True)


@pytest.mark.parametrize(
    ("image_bytes", "size"),
    [(1, 2), (503 << 20, 1 << 30), (768 << 20, 1 << 30), (900 << 20, 2 << 30), (1 << 30, 2 << 30)],
)
def test_the_medium_is_a_larger_power_of_two(image_bytes: int, size: int) -> None:
    """Larger by so much that a root filesystem that did not grow is told from one that did."""
    assert size == medium_bytes(image_bytes)


def test_the_overlay_has_no_name_and_the_image_stays(tmp_path: Path) -> None:
    """qemu-img works through the descriptor; the directory stays empty."""
    image = tmp_path / "image"
    image.write_bytes(b"image" * 1000)
    (tmp_path / "scratch").mkdir()
    with NamelessFile(tmp_path / "scratch") as overlay:
        make_overlay(image, 2**20, overlay.path)
        described = subprocess.run(
            ["qemu-img", "info", str(overlay.path)], check=True, capture_output=True, text=True
        ).stdout
    assert "virtual size: 1 MiB" in described
    assert str(image) in described
    assert list((tmp_path / "scratch").iterdir()) == []
    assert image.read_bytes() == b"image" * 1000


def test_device_tree_properties_are_set_in_the_copy(tmp_path: Path) -> None:
    """As a Pi's overlays would."""
    source = '/dts-v1/; / { soc { bluetooth { status = "okay"; }; }; };'
    dtb = subprocess.run(
        ["dtc", "-q", "-I", "dts", "-O", "dtb"],
        input=source.encode(), check=True, capture_output=True,
    ).stdout  # fmt: skip
    with NamelessFile(tmp_path, dtb) as copy:
        edit = DtbEdit(node="/soc/bluetooth", property="status", value="disabled")
        edit_dtb(copy.path, [edit])
        words = ["fdtget", str(copy.path), "/soc/bluetooth", "status"]
        ended = subprocess.run(words, check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == "disabled"


@pytest.mark.parametrize(
    ("qemu", "machine", "cpu"),
    [
        ("qemu-system-aarch64", "virt", "cortex-a53"),
        ("qemu-system-x86_64", "pc", "qemu64"),
        ("qemu-system-x86_64", "q35", "max"),
    ],
)
def test_the_proof_guest_proves_itself(qemu: str, machine: str, cpu: str) -> None:
    """Under TCG it always works; that is what makes its failure under KVM mean something."""
    assert why_not_proven(qemu, machine, "tcg", cpu) == ""


def test_an_accelerator_that_does_not_work_is_not_chosen() -> None:
    """QEMU refuses at once, or the guest misses its five seconds; the reason is there."""
    reason = why_not_proven("qemu-system-aarch64", "virt", "tcg", "no-such-processor")
    assert reason.startswith("QEMU ended with status 1 on a guest of some instructions: ")
    assert "no-such-processor" in reason


def test_what_is_never_accelerated_says_why() -> None:
    """Another processor, a machine that has no proof guest."""
    foreign = "aarch64" if platform.machine() == "x86_64" else "x86_64"
    chosen = choose_accelerator(f"qemu-system-{foreign}", NVME)
    assert (chosen.name, "other processors" in chosen.why_not_kvm) == ("tcg", True)
    board = NVME.model_copy(update={"machine": "microvm"})
    chosen = choose_accelerator(f"qemu-system-{platform.machine()}", board)
    assert (chosen.name, "no proof guest" in chosen.why_not_kvm) == ("tcg", True)


def test_kvm_is_used_where_it_was_proven_and_else_it_is_said() -> None:
    """Whichever of both this host is."""
    here = platform.machine()
    board = NVME.model_copy(update={"machine": "q35" if here == "x86_64" else "virt"})
    chosen = choose_accelerator(f"qemu-system-{here}", board)
    assert (chosen.name == "kvm") == (chosen.why_not_kvm == "")


def test_qemu_dies_with_us() -> None:
    """Even by SIGKILL, and nothing of it is left."""
    code = (
        "import sys, time\n"
        "from voidimg.smoke.emulator import started\n"
        "with started('qemu-system-aarch64', ['-machine', 'virt', '-display', 'none',"
        " '-monitor', 'none', '-S']) as emulator:\n"
        "    print(emulator._program.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        _wait_until(lambda: "qemu" in _command_of(pid))
        child.send_signal(signal.SIGKILL)
    _wait_until(lambda: "qemu" not in _command_of(pid))


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return ""


def _wait_until(condition: object, seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not callable(condition) or not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("name", "platform", "date"),
    [
        ("void-rpi-aarch64-20240314.img.xz", "rpi-aarch64", "20240314"),
        ("void-rpi-aarch64-musl-20240314rc1.img", "rpi-aarch64-musl", "20240314rc1"),
        ("void-GCP-20240314.img.zst", "GCP", "20240314"),
    ],
)
def test_the_name_says_the_platform(name: str, platform: str, date: str) -> None:
    """With -musl, as the platform's own name has it."""
    assert (platform, date) == platform_of_image(Path(name))


def test_another_name_needs_the_option() -> None:
    """The hint names it."""
    with pytest.raises(UsageError, match="--platform"):
        platform_of_image(Path("my.img"))


def test_only_stated_media_can_be_asked_for() -> None:
    """All machines of the platform without one."""
    recipe = Catalog().recipe("rpi-aarch64").recipe
    assert choose_machines(recipe, ()) == recipe.smoke.machines
    assert {machine.medium for machine in choose_machines(recipe, ["nvme"])} == {"nvme"}
    with pytest.raises(UsageError, match="it has: nvme, sd, usb"):
        choose_machines(recipe, ["virtio"])


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """Nameless files go when their block ends."""
    before = len(os.listdir("/proc/self/fd"))
    with NamelessFile(tmp_path, b"content") as file:
        assert file.path.read_bytes() == b"content"
    assert before == len(os.listdir("/proc/self/fd"))
