"""What the screen of a guest shows, to be compared; a picture is a PPM file of QEMU's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from operator import ne

from voidimg.smoke.verdict import GuestError

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
    def of(cls, content: bytes) -> Picture:
        """The picture whose PPM file has this content.

        Raises:
            GuestError: it is none, or not whole.
        """
        header = _HEADER.match(content)
        if header is not None:
            pixels = content[header.end() :]
            width, height = int(header[1]), int(header[2])
            if len(pixels) == 3 * width * height:
                return cls(width, height, pixels)
        raise GuestError("QEMU's picture of the screen is no PPM", code="PICTURE")

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
