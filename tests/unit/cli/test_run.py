"""`voidimg run` at a terminal: keys go to the guest, it ends cleanly, and the image stays."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.tiny_disks import SAYS, disk_of
from voidimg.cli.run import for_guest

_SECONDS = 60.0
_PLATFORM = """
schema = 1
kind = "platform"
extends = "void"
summary = "A disk of one sector"
arch = "x86_64"
libc = ["glibc"]

[disk]
label = "mbr"
partitions = [{ name = "root", size = "rest", type = "0x83", filesystem = "ext4", mount = "/" }]

[smoke]
qemu = "qemu-system-x86_64"
machines = [{ medium = "virtio", firmware = "bios", machine = "q35", cpu = "qemu64" }]
"""


@dataclass
class Person:
    """Somebody at a terminal in which `voidimg run` was typed."""

    terminal: int
    command: subprocess.Popen[bytes]
    seen: bytes = b""

    def wait_for(self, pattern: bytes) -> None:
        """Read until `pattern` was shown."""
        until = time.monotonic() + _SECONDS
        while re.search(pattern, self.seen) is None:
            assert time.monotonic() < until, self.seen
            try:
                self.seen += os.read(self.terminal, 4096)
            except OSError:
                raise AssertionError(f"it ended: {self.seen!r}") from None

    def type(self, keys: bytes) -> None:
        """Press the keys."""
        os.write(self.terminal, keys)

    def ended(self) -> int:
        """The exit status; what is still shown is read, so that it can be written."""
        while True:
            try:
                more = os.read(self.terminal, 4096)
            except OSError:
                return self.command.wait(_SECONDS)
            self.seen += more


@contextmanager
def _at_terminal(place: Path, *words: str) -> Iterator[Person]:
    platforms = place / "own" / "platforms"
    platforms.mkdir(parents=True)
    (platforms / "sector.toml").write_text(_PLATFORM)
    argv: Sequence[str] = [
        *(sys.executable, "-m", "voidimg.cli", "--cache", str(place / "cache"), "run"),
        *(str(disk_of(place)), "--platform", "sector"),
        *("--platforms-and-profiles", str(place / "own"), *words),
    ]
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        yield Person(ours, command)
    finally:
        command.kill()
        command.wait()
        os.close(ours)


def _emulators_of(pid: int) -> list[str]:
    """The emulators that the process started, as the kernel lists its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [one for one in children if b"qemu-system" in Path(f"/proc/{one}/cmdline").read_bytes()]


def test_a_guest_is_typed_to_and_ended(tmp_path: Path) -> None:
    """Ctrl-C ends it, and after Ctrl-] it goes to the guest; its port is one of loopback."""
    with _at_terminal(tmp_path) as person:
        before = (tmp_path / "disk.img").read_bytes()
        person.wait_for(SAYS)
        person.type(b"abc\x1dcdef")
        person.wait_for(rb"abc\x03def")
        port = re.search(rb"127\.0\.0\.1:(\d+) leads to its port 22", person.seen)
        assert port is not None
        with socket.create_connection(("127.0.0.1", int(port[1])), _SECONDS):
            pass
        (emulator,) = _emulators_of(person.command.pid)
        person.type(b"\x03")
        assert person.ended() == 0
        assert b"the guest has ended" in person.seen
    assert not Path(f"/proc/{emulator}").exists()
    assert (tmp_path / "disk.img").read_bytes() == before
    assert list((tmp_path / "cache" / "work").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_the_guest_too(number: signal.Signals, tmp_path: Path) -> None:
    """Whatever it is; nothing of QEMU is left."""
    with _at_terminal(tmp_path) as person:
        person.wait_for(SAYS)
        (emulator,) = _emulators_of(person.command.pid)
        person.command.send_signal(number)
        assert person.ended() == (130 if number == signal.SIGINT else -number)
    until = time.monotonic() + _SECONDS
    while Path(f"/proc/{emulator}").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert list((tmp_path / "cache" / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--forward", "ssh"], 2, b"is no port to forward"),
        (["--forward", "70000"], 2, b"is no port to forward"),
        (["--forward", "22:22:22"], 2, b"is no port to forward"),
        (["--medium", "nvme"], 2, b"boots a disk image from nvme"),
        (["--firmware", "uefi"], 2, b"boots a disk image by uefi"),
    ],
)
def test_what_cannot_be_run_is_said_before(
    words: list[str], status: int, says: bytes, tmp_path: Path
) -> None:
    """Without starting anything."""
    with _at_terminal(tmp_path, *words) as person:
        assert person.ended() == status
        assert says in person.seen


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    """By its number."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with _at_terminal(tmp_path, "--forward", f"{port}:22") as person:
            assert person.ended() == 2
            assert f"port {port} of this machine".encode() in person.seen


@pytest.mark.parametrize(
    ("typed", "literal", "expected"),
    [
        (b"ls\r", False, (False, False, b"ls\r")),
        (b"ab\x03cd", False, (True, False, b"ab")),
        (b"\x1d", False, (False, True, b"")),
        (b"c", True, (False, False, b"\x03")),
        (b"\x1dD\x1d\x1d", False, (False, False, b"\x04\x1d")),
    ],
)
def test_keys_for_the_guest(
    typed: bytes, literal: bool, expected: tuple[bool, bool, bytes]
) -> None:
    """Also where Ctrl-] and its letter come apart."""
    assert for_guest(typed, literal=literal) == expected
