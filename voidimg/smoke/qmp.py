"""Speaks QMP with a running QEMU: takes pictures of the screen, presses keys, moves the pointer.

One JSON object is one line. QEMU greets; each command is answered by one object with ``return`` or
``error``, and objects with ``event`` may come at any time.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from voidimg.errors import UsageError
from voidimg.smoke.verdict import GuestError

_CHUNK_BYTES = 65536
_LINE_BYTES = 2**20
_MOST = 32767
"""The right and lower end of the axes of an absolute pointer."""

_BETWEEN_KEYS_SECONDS = 0.3
"""A slow guest loses keys that come faster than it takes them from its keyboard."""

_HELD_SECONDS = 0.2
_NAMED = {
    " ": "spc", "\n": "ret", "\t": "tab", "-": "minus", "=": "equal", "[": "bracket_left",
    "]": "bracket_right", "\\": "backslash", ";": "semicolon", "'": "apostrophe",
    "`": "grave_accent", ",": "comma", ".": "dot", "/": "slash",
}  # fmt: skip
_SHIFTED = dict(zip('!@#$%^&*()_+{}|:"~<>?', "1234567890-=[]\\;'`,./", strict=True))


class Messages:
    """Cuts what QEMU sends into messages, wherever the pieces end."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, chunk: bytes) -> list[dict[str, object]]:
        """The messages that `chunk` completes, in order.

        Raises:
            GuestError: a line is no JSON object, or has no end.
        """
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        if len(self._pending) > _LINE_BYTES:
            raise _broken(self._pending)
        return [_message(line) for line in lines if line.strip()]


def keys_of(text: str) -> list[tuple[str, ...]]:
    """The keys, by QEMU's names, that type `text` on an American keyboard, one chord each.

    QEMU knows keys by their place: what they type is up to the layout of the guest.

    Raises:
        UsageError: such a keyboard has no key for a character.
    """
    return [_chord(character) for character in text]


def _chord(character: str) -> tuple[str, ...]:
    plain = _SHIFTED.get(character, character)
    shifted = plain != character
    if plain.isascii() and plain.isupper():
        plain, shifted = plain.lower(), True
    key = plain if plain.isascii() and plain.isalnum() else _NAMED.get(plain)
    if key is None:
        raise UsageError(
            f"an American keyboard has no key for {character!r}", code="KEY", where=character
        )
    return ("shift", key) if shifted else (key,)


class Qmp:
    """Gives commands over `channel`, whose other end QEMU was started with. Not owned by it.

    Times are of `time.monotonic`, as in `voidimg.smoke.console`.

    Raises:
        GuestError: QEMU does not greet until `until`.
    """

    def __init__(self, channel: socket.socket, until: float):
        self._channel = channel
        self._messages = Messages()
        self._received: list[dict[str, object]] = []
        while "QMP" not in self._next(until):
            pass
        self.execute("qmp_capabilities", until)

    def execute(self, command: str, until: float, **arguments: object) -> object:
        """What QEMU returns for `command`.

        Raises:
            GuestError: it refuses, ended, or does not answer until `until`.
        """
        order = {"execute": command, "arguments": arguments}
        try:
            self._channel.settimeout(max(0.1, until - time.monotonic()))
            self._channel.sendall(json.dumps(order).encode() + b"\n")
        except OSError as error:
            raise _ended() from error
        while True:
            answer = self._next(until)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                refusal = answer["error"]
                what = refusal.get("desc") if isinstance(refusal, dict) else refusal
                raise GuestError(f"QEMU refuses {command}: {what}", code="QMP-REFUSED")

    def picture(self, path: Path, until: float, kind: Literal["png", "ppm"] = "png") -> None:
        """Write what the screen shows to the file `path`."""
        self.execute("screendump", until, filename=str(path.absolute()), format=kind)

    def press(self, keys: Sequence[str], until: float) -> None:
        """Press `keys` together and let them go; then wait so long that the guest takes them."""
        chord = [{"type": "qcode", "data": key} for key in keys]
        self.execute("send-key", until, keys=chord)
        time.sleep(_BETWEEN_KEYS_SECONDS)

    def type(self, text: str, until: float) -> None:
        """Type `text` as on an American keyboard; see `keys_of`."""
        for keys in keys_of(text):
            self.press(keys, until)

    def point(self, x: float, y: float, until: float) -> None:
        """Move the pointer to `x` and `y`, parts of the screen's width and height from 0 to 1.

        The guest must have a tablet: a mouse only tells how far it went.
        """
        places = {"x": round(x * _MOST), "y": round(y * _MOST)}
        moves = [
            {"type": "abs", "data": {"axis": axis, "value": place}}
            for axis, place in places.items()
        ]
        self.execute("input-send-event", until, events=moves)

    def click(self, x: float, y: float, until: float) -> None:
        """Move the pointer there, and press its left button."""
        self.point(x, y, until)
        for down in (True, False):
            time.sleep(_HELD_SECONDS)
            button = {"type": "btn", "data": {"button": "left", "down": down}}
            self.execute("input-send-event", until, events=[button])

    def _next(self, until: float) -> dict[str, object]:
        while not self._received:
            left = until - time.monotonic()
            if left <= 0:
                raise GuestError("QEMU does not answer over QMP", code="QMP-SILENT")
            try:
                self._channel.settimeout(left)
                chunk = self._channel.recv(_CHUNK_BYTES)
            except TimeoutError:
                continue
            except OSError as error:
                raise _ended() from error
            if not chunk:
                raise _ended()
            self._received = self._messages.feed(chunk)
        return self._received.pop(0)


def _message(line: bytes) -> dict[str, object]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise _broken(line)
    return message


def _broken(line: bytes) -> GuestError:
    return GuestError(f"QEMU says {line[:80]!r} over QMP", code="QMP-BROKEN")


def _ended() -> GuestError:
    return GuestError("QEMU ended", code="QEMU-ENDED")
