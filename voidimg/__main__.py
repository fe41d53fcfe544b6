"""``python -m voidimg``: the command ``voidimg``."""

from __future__ import annotations

from voidimg.cli.main import entry_point

entry_point()
