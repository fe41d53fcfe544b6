"""What the screen of a guest shows: pictures to compare, and pictures to look at."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from operator import ne
from pathlib import Path

from tests.command import PROJECT
from voidimg.smoke.qmp import Qmp

PICTURES = PROJECT / "out" / "smoke"
"""Where the pictures are kept that people look at."""

_ANSWER_SECONDS = 60.0
_BETWEEN_SECONDS = 3.0
_HEADER = re.compile(rb"P6\s+(\d+)\s+(\d+)\s+255\s")
_SAMPLED = 7
"""Every so manieth pixel is compared; a prime, so that no column or row is left out."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Red, green and blue of each pixel, row by row."""

    width: int
    height: int
    pixels: bytes

    @classmethod
    def read(cls, path: Path) -> Picture:
        """The picture in the PPM file `path`."""
        content = path.read_bytes()
        header = _HEADER.match(content)
        assert header is not None, f"{path} is no PPM"
        pixels = content[header.end() :]
        width, height = int(header[1]), int(header[2])
        assert len(pixels) == 3 * width * height
        return cls(width, height, pixels)

    def differs(self, other: Picture) -> float:
        """The part of the pixels that are not the same, from 0 to 1; 1 if the sizes differ."""
        if (self.width, self.height) != (other.width, other.height):
            return 1.0
        ours, theirs = self.pixels[1 :: 3 * _SAMPLED], other.pixels[1 :: 3 * _SAMPLED]
        different: int = sum(map(ne, ours, theirs))
        return different / len(ours)

    def brightness(self, x: float, y: float) -> int:
        """The sum of the three colours at `x` and `y`, parts of width and height."""
        pixel = int(y * (self.height - 1)) * self.width + int(x * (self.width - 1))
        return sum(self.pixels[3 * pixel : 3 * pixel + 3])

    def black(self) -> float:
        """The part of the pixels that are black, from 0 to 1."""
        sampled = self.pixels[1 :: 3 * _SAMPLED]
        return sampled.count(0) / len(sampled)


class Screen:
    """The screen of the guest behind `qmp`; `scratch` is a directory of its own."""

    def __init__(self, qmp: Qmp, scratch: Path):
        self._qmp = qmp
        self._scratch = scratch

    def now(self) -> Picture:
        """What it shows."""
        path = self._scratch / "now.ppm"
        self._qmp.picture(path, time.monotonic() + _ANSWER_SECONDS, "ppm")
        return Picture.read(path)

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
