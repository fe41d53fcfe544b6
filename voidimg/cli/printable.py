"""Text for the terminal, as the command writes it."""

from __future__ import annotations

from voidimg import printable

__all__ = ["printable"]
