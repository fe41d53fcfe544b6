"""QMP: messages in pieces, keys, and a real QEMU that has nothing to boot."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from voidimg.errors import UsageError
from voidimg.smoke.emulator import started
from voidimg.smoke.qmp import Messages, Qmp, keys_of
from voidimg.smoke.verdict import GuestError

EMPTY = (
    *("-accel", "tcg", "-vga", "std", "-display", "none", "-monitor", "none"),
    *("-nodefaults", "-device", "qemu-xhci", "-device", "usb-tablet"),
)


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


@contextmanager
def peer(*said: bytes) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end, and that of a program that has said `said` already."""
    near, far = socket.socketpair()
    with near, far:
        for piece in said:
            far.sendall(piece)
        yield near, far


GREETING = b'{"QMP": {"version": {}}}\r\n'
DONE = b'{"return": {}}\r\n'


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_messages_in_pieces(size: int) -> None:
    """Whatever the pieces, the messages are the same."""
    stream = GREETING + b'{"event": "STOP"}\r\n\r\n' + DONE
    messages = Messages()
    found = []
    for start in range(0, len(stream), size):
        found += messages.feed(stream[start : start + size])
    assert [next(iter(message)) for message in found] == ["QMP", "event", "return"]


@pytest.mark.parametrize(
    "chunk", [b"no JSON\n", b"[1]\n", b"7\n", b"\xff\n", b"[" * 10**5 + b"\n", b"x" * (2**20 + 1)]
)
def test_what_is_no_message(chunk: bytes) -> None:
    """Neither other JSON nor a line without end."""
    with pytest.raises(GuestError) as caught:
        Messages().feed(chunk)
    assert caught.value.code == "E-BOOT-QMP-BROKEN"


def test_keys() -> None:
    """By their place on an American keyboard."""
    assert keys_of("aZ 1!\n") == [
        ("a",), ("shift", "z"), ("spc",), ("1",), ("shift", "1"), ("ret",),
    ]  # fmt: skip
    assert keys_of("live.user=x_y") [4:10] == [
        ("dot",), ("u",), ("s",), ("e",), ("r",), ("equal",),
    ]  # fmt: skip
    assert keys_of("_") == [("shift", "minus")]
    for character in "é\x00²":
        with pytest.raises(UsageError):
            keys_of(character)


def test_events_between_command_and_answer() -> None:
    """They are passed over."""
    event = b'{"event": "RESET"}\n'
    with peer(event, GREETING, DONE, event, b'{"return": [1]}\n') as (near, far):
        assert Qmp(near, soon()).execute("query-x", soon(), word="ä") == [1]
        orders = [json.loads(line) for line in far.recv(10000).splitlines()]
    assert [order["execute"] for order in orders] == ["qmp_capabilities", "query-x"]
    assert orders[1]["arguments"] == {"word": "ä"}


def test_a_qemu_that_is_silent_or_gone() -> None:
    """Both are told; neither is waited for."""
    with peer(GREETING) as (near, _), pytest.raises(GuestError) as caught:
        Qmp(near, soon(0.3))
    assert caught.value.code == "E-BOOT-QMP-SILENT"
    with peer(GREETING, DONE) as (near, far):
        qmp = Qmp(near, soon())
        far.close()
        with pytest.raises(GuestError) as caught:
            qmp.execute("stop", soon())
    assert caught.value.code == "E-BOOT-QEMU-ENDED"


def test_pictures_keys_and_pointer_of_a_real_qemu(tmp_path: Path) -> None:
    """Everything that is used is understood; what is not is refused with QEMU's own words."""
    with started("qemu-system-x86_64", EMPTY) as emulator:
        qmp = Qmp(emulator.control, soon())
        qmp.picture(tmp_path / "screen.png", soon())
        qmp.picture(tmp_path / "screen.ppm", soon(), "ppm")
        qmp.type("A\n", soon())
        qmp.click(0.5, 1.0, soon())
        with pytest.raises(GuestError, match="no-such-command") as caught:
            qmp.execute("no-such-command", soon())
        assert caught.value.code == "E-BOOT-QMP-REFUSED"
        qmp.execute("quit", soon())
        assert emulator.wait(10) == 0
    assert (tmp_path / "screen.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert (tmp_path / "screen.ppm").read_bytes().startswith(b"P6\n")
