"""Typing at a boot menu that is only known by what keys do to the screen."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from tests.live_medium import Spoiled, make_medium
from voidimg.smoke.boot_menu import Typist, type_at_menu
from voidimg.smoke.console import Console
from voidimg.smoke.emulator import started
from voidimg.smoke.machine import Drive, Start, arguments_of
from voidimg.smoke.verdict import GuestError
from voidimg.spec.smoke_model import Machine

_WIDTH, _ROWS = 70, 40
_SECONDS = 120.0


class Screen:
    """A machine that shows a menu after some looks at it, and an editor after a key.

    `numb` is what keys do nothing in; `clock` lets a figure count down until a key is pressed.
    """

    def __init__(self, *, looks: int = 0, numb: bool = False, clock: bool = True, editor: str):
        self._looks = looks
        self._numb = numb
        self._clock = clock
        self._editor = editor
        self._bar = 0
        self._seen = 0
        self._edited = False
        self.typed: list[str] = []

    def press(self, keys: Sequence[str], until: float) -> None:
        (key,) = keys
        self.typed.append(key)
        if self._seen < self._looks or self._numb:
            return
        self._clock = False
        moves = {"down": 1, "up": -1, "home": -self._bar}
        self._bar = max(0, min(5, self._bar + moves.get(key, 0)))
        self._edited |= key == self._editor

    def type(self, text: str, until: float) -> None:
        self.typed.append(text)

    def picture(self, path: Path, until: float, kind: Literal["png", "ppm"] = "png") -> None:
        assert kind == "ppm"
        self._seen += 1
        rows = [bytes(3 * _WIDTH)] * _ROWS
        if self._seen > self._looks:
            rows[2 * self._bar] = b"\xff" * (3 * _WIDTH)
        if self._clock:
            rows[-1] = bytes([self._seen % 256] * 12) + bytes(3 * (_WIDTH - 4))
        if self._edited:
            rows[-3:-1] = [b"\x80" * (3 * _WIDTH)] * 2
        path.write_bytes(b"P6 %d %d 255\n" % (_WIDTH, _ROWS) + b"".join(rows))


def _typist(screen: Screen, place: Path, seconds: float = 20.0) -> Typist:
    until = time.monotonic() + seconds
    return Typist(screen, place / "picture", until, pause=lambda _seconds: None)


def test_the_words_go_behind_the_command_line_of_isolinux(tmp_path: Path) -> None:
    """Tab shows it; the entry is so far down from the first."""
    screen = Screen(looks=9, editor="tab")
    _typist(screen, tmp_path).start("isolinux", 2, "console=ttyS0")
    assert screen.typed[-5:] == ["home", "down", "down", "tab", " console=ttyS0\n"]


def test_the_words_go_behind_the_line_of_linux_in_grub(tmp_path: Path) -> None:
    """Its editor has two lines before that one."""
    screen = Screen(editor="e")
    _typist(screen, tmp_path).start("grub", 0, "console=ttyS0")
    keys = ["home", "e", "down", "down", "end", " console=ttyS0", "f10"]
    assert screen.typed[-len(keys) :] == keys


def test_a_screen_that_does_not_move_by_keys_is_no_menu(tmp_path: Path) -> None:
    """Nor one that moves by itself."""
    with pytest.raises(GuestError) as caught:
        _typist(Screen(numb=True, editor="e"), tmp_path, 0.3).start("grub", 0, "x")
    assert caught.value.code == "E-BOOT-NO-MENU"


def test_a_menu_whose_entries_cannot_be_changed_is_told(tmp_path: Path) -> None:
    """A locked one, for example."""
    typist = _typist(Screen(editor="none"), tmp_path, 1.0)
    with pytest.raises(GuestError) as caught:
        typist.start("isolinux", 0, "x")
    assert caught.value.code == "E-BOOT-MENU-KEYS"


def test_the_real_isolinux_is_typed_to(tmp_path: Path) -> None:
    """The words stand on its command line, as it repeats on the serial port."""
    menu = "/boot/isolinux/isolinux.cfg"
    edits = {menu: (b"UI vesamenu.c32", b"SERIAL 0 115200\nUI vesamenu.c32")}
    iso = make_medium(tmp_path / "medium", Spoiled(edits=edits))
    machine = Machine(medium="cd", machine="pc", firmware="bios", cpu="qemu64")
    words = [*arguments_of(machine, Start(Drive(iso, "raw")), kvm=False), "-nic", "none"]
    until = time.monotonic() + _SECONDS
    with (
        started("qemu-system-x86_64", words) as emulator,
        (tmp_path / "log").open("wb") as log,
        Console(emulator.console, log) as console,
    ):
        typed = "quiet"
        type_at_menu(emulator, console, "bios", typed, scratch=tmp_path, until=until)
        assert console.wait_for(re.compile(rb"rd.overlay=1.*" + typed.encode()), until)
