"""Types on the boot menus of live ISOs, as somebody does at a serial terminal."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from voidimg.smoke.console import Console

_SHOWN_SECONDS, _SETTLED_SECONDS = 3.0, 0.05
"""How long a key may take until it is shown, and how long no more comes then."""

_DOWN, _TO_END, _START = "\x0e", "\x05", "\x18"
"""Keys that are one character each: the next line (C-n, in both loaders), and in GRUB's editor the
end of the line (C-e) and start (C-x). Of the three of an arrow the first alone ends the editor."""

_ISOLINUX = re.compile(rb"Tab to change the command line")
_GRUB = re.compile(rb"highlighted entry will be executed")
_LAST_WORD = rb"rd\.overlay=1"
_GRUB_EDITOR = re.compile(rb"Press Ctrl-x")
_GRUB_LINES_BEFORE_LINUX = 2
"""``setparams`` and an empty line."""


def start_by_bios(
    console: Console, entry: int, words: str, until: float, *, last_word: bytes = _LAST_WORD
) -> None:
    """Choose the `entry` so far down in isolinux's menu, and start it with `words` added.

    `last_word` is a pattern of what its command line ends with.

    Raises:
        GuestError, ConsoleClosedError: see `Console`.
    """
    assert console.wait_for(_ISOLINUX, until), "no menu of isolinux"
    _type(console, [*[_DOWN] * entry, "\t"], until)
    assert console.wait_for(re.compile(last_word), until), "isolinux does not show the command line"
    _type(console, f" {words}", until)
    console.send("\r", until)


def start_by_uefi(console: Console, entry: int, words: str, until: float) -> None:
    """Choose the `entry` so far down in GRUB's menu, and start it with `words` added."""
    assert console.wait_for(_GRUB, until), "no menu of GRUB"
    _type(console, [*[_DOWN] * entry, "e"], until)
    assert console.wait_for(_GRUB_EDITOR, until), "GRUB does not show the entry"
    _type(console, [*[_DOWN] * _GRUB_LINES_BEFORE_LINUX, _TO_END, *f" {words}"], until)
    console.send(_START, until)


def _type(console: Console, keys: Iterable[str], until: float) -> None:
    """Type one key after the other, each when the menu has shown what the one before did.

    The firmware of UEFI reads the port as well as GRUB does: of keys that come faster than they are
    shown each takes some, and their order is lost.
    """
    for key in keys:
        shown = console.received_bytes
        console.send(key, until)
        answered = min(until, time.monotonic() + _SHOWN_SECONDS)
        while console.received_bytes == shown and time.monotonic() < answered:
            console.listen(time.monotonic() + _SETTLED_SECONDS)
