"""Numbers of things in words."""

from __future__ import annotations


def counted(count: int, thing: str) -> str:
    """`count` and `thing`, with an s unless it is one: ``1 package``, ``2 packages``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
