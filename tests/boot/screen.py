"""What the screen of a guest shows: pictures to compare, and pictures to look at."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.command import PROJECT
from voidimg.smoke.picture import Picture
from voidimg.smoke.qmp import Qmp

PICTURES = PROJECT / "out" / "smoke"
"""Where the pictures are kept that people look at."""

_ANSWER_SECONDS = 60.0
_BETWEEN_SECONDS = 3.0


class Screen:
    """The screen of the guest behind `qmp`; `scratch` is a directory of its own."""

    def __init__(self, qmp: Qmp, scratch: Path):
        self._qmp = qmp
        self._scratch = scratch

    def now(self) -> Picture:
        """What it shows."""
        path = self._scratch / "now.ppm"
        self._qmp.picture(path, time.monotonic() + _ANSWER_SECONDS, "ppm")
        return Picture.of(path.read_bytes())

    def keep(self, name: str) -> Path:
        """Write what it shows to `PICTURES` for people, as PNG."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        path = PICTURES / f"{name}.png"
        self._qmp.picture(path, time.monotonic() + _ANSWER_SECONDS)
        return path

    def wait_until(self, what: str, wanted: Callable[[Picture], bool], seconds: float) -> Picture:
        """The first picture that is `wanted` and stays, but for a cursor and a clock."""
        until = time.monotonic() + seconds
        before = self.now()
        while time.monotonic() < until:
            time.sleep(_BETWEEN_SECONDS)
            shown = self.now()
            if wanted(shown) and shown.differs(before) < 0.001:
                return shown
            before = shown
        raise AssertionError(
            f"not seen within {seconds:.0f} s: {what}; see {self.keep('not-seen')}"
        )
