"""Types on the boot menu of a live ISO as its users do: keys of the keyboard, eyes on the screen.

Nothing is read from the ISO. A menu is known by what it does: one key moves a bar on the screen,
and another moves it back, twice in the same way. That needs no font, and is so in isolinux and in
GRUB, whatever picture they draw it on; a firmware's logo and a kernel's messages do not do it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from voidimg.foreign import read_regular
from voidimg.smoke.console import Console
from voidimg.smoke.emulator import Emulator, NamelessFile
from voidimg.smoke.picture import Picture
from voidimg.smoke.qmp import Qmp
from voidimg.smoke.verdict import GuestError
from voidimg.spec.smoke_model import Firmware

_SAME, _MOVED = 0.002, 0.004
"""Parts of the screen: at most so much changes by itself, at least so much when a bar moves."""
_SETTLE_SECONDS = 0.7
_LOOK_SECONDS = 0.5
_SHOWN_SECONDS = 20.0
_LINES_BEFORE_LINUX = 2
"""In GRUB's editor: ``setparams`` and an empty line."""

_PICTURE_BYTES = 64 * 2**20

Loader = Literal["isolinux", "grub"]


class Keyboard(Protocol):
    """What `voidimg.smoke.qmp.Qmp` does for a keyboard and a screen."""

    def press(self, keys: Sequence[str], until: float) -> None:
        """Press the keys together."""

    def type(self, text: str, until: float) -> None:
        """Type `text`."""

    def picture(self, path: Path, until: float, kind: Literal["png", "ppm"] = "png") -> None:
        """Write what the screen shows to a file."""


def type_at_menu(
    emulator: Emulator,
    console: Console,
    firmware: Firmware,
    words: str,
    *,
    scratch: Path,
    until: float,
) -> None:
    """Start the first entry of the menu that `firmware` shows, with `words` on its command line.

    What comes over the `console` is taken in meanwhile: a menu that speaks there too would wait.

    Raises:
        GuestError: no menu is seen until `until` (monotonic), or it does not take keys.
        ConsoleClosedError: the guest ended.
    """
    with NamelessFile(scratch) as place:

        def pause(seconds: float) -> None:
            console.listen(time.monotonic() + seconds)

        typist = Typist(Qmp(emulator.control, until), place.path, until, pause)
        typist.start("isolinux" if firmware == "bios" else "grub", 0, words)


@dataclass(frozen=True, slots=True)
class Typist:
    """Somebody before the screen. `place` is a file for pictures; `until` is a monotonic time.

    `pause` waits some seconds.
    """

    keyboard: Keyboard
    place: Path
    until: float
    pause: Callable[[float], None] = time.sleep

    def start(self, loader: Loader, entry: int, words: str) -> None:
        """Start the `entry` so far down in the menu, with `words` behind its command line.

        Raises:
            GuestError: no menu is seen until `until`, or it does not take the keys.
        """
        self._find_menu()
        self._press("home", *["down"] * entry)
        if loader == "isolinux":
            self._press_until_shown("tab")
            self.keyboard.type(f" {words}\n", self.until)
            return
        self._press_until_shown("e")
        self._press(*["down"] * _LINES_BEFORE_LINUX, "end")
        self.keyboard.type(f" {words}", self.until)
        self._press("f10")

    def _find_menu(self) -> None:
        while time.monotonic() < self.until:
            shown = []
            for _ in range(2):
                for key in ("down", "up"):
                    self._press(key)
                    self.pause(_SETTLE_SECONDS)
                    shown.append(self._look())
            down, up, down_again, up_again = shown
            returns = down.differs(down_again) < _SAME and up.differs(up_again) < _SAME
            if returns and down.differs(up) > _MOVED:
                return
        raise GuestError(
            "no boot menu was seen on the screen",
            code="NO-MENU",
            hint="look at it with: voidimg run",
        )

    def _press_until_shown(self, key: str) -> None:
        """Press `key`, and wait until that has changed the screen."""
        before = self._look()
        self._press(key)
        until = min(self.until, time.monotonic() + _SHOWN_SECONDS)
        while time.monotonic() < until:
            self.pause(_LOOK_SECONDS)
            if self._look().differs(before) > _MOVED:
                self.pause(_SETTLE_SECONDS)
                return
        raise GuestError(
            f"the boot menu does not take the key {key}, which shows its command line",
            code="MENU-KEYS",
            hint="can its entries be changed? Look at it with: voidimg run",
        )

    def _press(self, *keys: str) -> None:
        for key in keys:
            self.keyboard.press([key], self.until)

    def _look(self) -> Picture:
        self.keyboard.picture(self.place, self.until, "ppm")
        return Picture.of(read_regular(self.place, _PICTURE_BYTES))
