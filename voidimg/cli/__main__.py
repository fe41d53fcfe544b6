"""`python -m voidimg.cli`: the same command without the installed script."""

from __future__ import annotations

from voidimg.cli.main import entry_point

entry_point()
