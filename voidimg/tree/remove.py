"""Empties directories, whoever owns what is in them."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

LOCK_FILE = "lock"
"""Held by the build that works in a work directory; free when that build is gone."""


def empty_directory(directory: Path, *, but: Collection[str] = ()) -> None:
    """Remove what is in `directory` but its lock file and the names in `but`."""
    for entry in directory.iterdir():
        if entry.name == LOCK_FILE or entry.name in but:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
