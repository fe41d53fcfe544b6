"""Text for the terminal, as the command writes it."""

from __future__ import annotations

from voidimg import printable, printable_json

__all__ = ["printable", "printable_json"]
