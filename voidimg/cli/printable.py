"""Makes text that comes from packages and images safe for a terminal."""

from __future__ import annotations

_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != 9}


def printable(text: str) -> str:
    r"""`text`, one line, with every control character but the tab written out, like ``\x1b``.

    A package must not be able to move the cursor, hide words or rename the terminal.
    """
    return text.translate(_ESCAPED)
