"""Sizes and modes as written in platform and profile files: strings with units."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB|TiB|sectors)")
_FACTOR = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "sectors": 512}
_MODE = re.compile(r"0[0-7]{3,4}")


def parse_size(text: str) -> int:
    """`text` such as ``256MiB`` in bytes.

    Units: B, KiB, MiB, GiB, TiB and sectors (512 bytes).

    Raises:
        ValueError: no unit, an unknown unit or not a whole number.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size; write a whole number and a unit, like '256MiB'")
    return int(match[1]) * _FACTOR[match[2]]


def format_size(size_bytes: int) -> str:
    """`size_bytes` for people: ``256 MiB``, ``1.4 GiB``."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes >= factor:
            text = f"{size_bytes / factor:.1f}".removesuffix(".0")
            return f"{text} {unit}"
    return f"{size_bytes} B"


def parse_mode(text: str) -> int:
    """`text` such as ``0644`` or ``04755`` as permission bits.

    Raises:
        ValueError: not four or five octal digits that begin with 0.
    """
    if _MODE.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a mode; write four or five octal digits, like '0644'")
    return int(text, 8)


def format_mode(mode: int) -> str:
    """Permission bits as they are written in files: ``0644``."""
    return f"0{mode:03o}"
