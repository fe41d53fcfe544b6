"""Empties work directories, whoever owns what is in them and however deep it is."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from voidimg.tree import walk

LOCK_FILE = "lock"
"""Held by the build that works in a work directory; free when that build is gone."""


def empty_directory(directory: Path, *, but: Collection[str] = ()) -> None:
    """Remove what is in `directory` but its lock file and the names in `but`.

    Raises:
        OSError: something cannot be removed.
    """
    walk.empty_directory(directory, kept={os.fsencode(name) for name in (LOCK_FILE, *but)})
