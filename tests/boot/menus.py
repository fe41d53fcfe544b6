"""Types on the boot menus of live ISOs, as somebody does at a serial terminal."""

from __future__ import annotations

import re

from voidimg.smoke.console import Console

_DOWN = "\x1b[B"
_TO_END, _START = "\x05", "\x18"
"""Keys of GRUB's editor: the end of the line (C-e), and start what is there (C-x)."""

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
    console.send(_DOWN * entry + "\t", until)
    assert console.wait_for(re.compile(last_word), until), "isolinux does not show the command line"
    console.send(f" {words}\r", until)


def start_by_uefi(console: Console, entry: int, words: str, until: float) -> None:
    """Choose the `entry` so far down in GRUB's menu, and start it with `words` added."""
    assert console.wait_for(_GRUB, until), "no menu of GRUB"
    console.send(_DOWN * entry + "e", until)
    assert console.wait_for(_GRUB_EDITOR, until), "GRUB does not show the entry"
    console.send(_DOWN * _GRUB_LINES_BEFORE_LINUX + _TO_END, until)
    console.send(f" {words}{_START}", until)
