"""Keeps programs of a tree from being run for a while, as the scripts of packages would."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from voidimg.tree.tree import Tree

_EXECUTE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


@contextmanager
def held_back(root: Path, programs: Sequence[str]) -> Iterator[None]:
    """While this lasts, `programs` (paths in the tree `root`) are there but cannot be run.

    Scripts that look whether they can, such as kernel hooks, do without; a program that is missing
    is passed over. Afterwards everything has its mode again.

    Raises:
        StoreError: a mode cannot be changed.
    """
    with Tree(root) as tree:
        # Two paths may be one file, so all are looked at before any is changed.
        modes = {
            path: stat.S_IMODE(tree.stat(path).st_mode) for path in programs if tree.exists(path)
        }
        try:
            for path, mode in modes.items():
                tree.chmod(path, mode & ~_EXECUTE)
            yield
        finally:
            for path, mode in modes.items():
                tree.chmod(path, mode)
