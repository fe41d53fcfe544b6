"""Makes text that comes from packages, scripts and images safe for a terminal."""

from __future__ import annotations

_CONTROLS = (*range(32), *range(127, 160))
_DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
"""Marks of Unicode that end a line or turn the direction of writing."""

_ESCAPED = {code: f"\\x{code:02x}" for code in _CONTROLS if code != 9} | {
    code: f"\\u{code:04x}" for code in (*_DIRECTIONS, 0xFEFF, *range(0xD800, 0xE000))
}


def printable(text: str) -> str:
    r"""`text`, one line, with every control character but the tab written out, like ``\x1b``.

    So are the marks that end a line or change the direction of writing, and what is no character.
    A package must not be able to move the cursor, hide words or rename the terminal.
    """
    return text.translate(_ESCAPED)


_IN_JSON = {
    code: f"\\u{code:04x}"
    for code in (*range(127, 160), *_DIRECTIONS, 0xFEFF, *range(0xD800, 0xE000))
}


def printable_json(text: str) -> str:
    r"""The JSON document `text` with the same meaning, and nothing in it that steers a terminal.

    JSON itself escapes only what is below a space; what `printable` writes out beside that can be
    in strings alone, and is written as ``\\u009b``.
    """
    return text.translate(_IN_JSON)
