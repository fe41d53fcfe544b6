"""Reads a filesystem to its end with the program that its users would check it with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voidimg.arguments import Argument, Inside
from voidimg.sandbox.confined import run_bounded

_SAID_BYTES = 2**22
_SECONDS = 3600.0


def fsck_fat(volume: Path) -> None:
    """Check the FAT filesystem that is the file `volume`.

    Raises:
        ToolError: fsck.vfat is missing, or finds something.
    """
    _check(["fsck.vfat", "-n", volume], volume)


def fsck_ext4(image: Path, offset_bytes: int) -> None:
    """Check the ext4 filesystem at `offset_bytes` of `image`.

    Raises:
        ToolError: e2fsck is missing, or finds something.
    """
    _check(["e2fsck", "-f", "-n", Inside(image, f"?offset={offset_bytes}")], image)


def _check(words: Sequence[Argument], image: Path) -> None:
    run_bounded(words, max_bytes=_SAID_BYTES, seconds=_SECONDS, reads=[image])
