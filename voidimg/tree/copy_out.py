"""Takes files of boot loaders and kernels out of a tree: regular files, and none through a link.

What packages brought is not trusted: a link could lead to any file of this host, which would be on
the medium then.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from voidimg.errors import LayoutError, storing
from voidimg.tree import beneath


def take_file(tree: Path, path: str, target: Path) -> None:
    """Copy the file at `path` of `tree` to `target`.

    Raises:
        LayoutError: it is not there, is no regular file, or lies behind a link.
        StoreError: `target` cannot be written (`DiskFullError`: for want of space).
    """
    source = beneath.open_file(tree, path)
    if source is None:
        raise LayoutError(
            f"the tree has no {path}, which the boot menu needs",
            code="NO-FILE",
            where=path,
            hint="add the package that brings it to [live] of the platform",
        )
    _copy(source, target)


def take_files(
    tree: Path, directory: str, target: Path, suffixes: tuple[str, ...] = ("",)
) -> frozenset[str]:
    """Copy the regular files of `directory` of `tree` into the new directory `target`; their names.

    Only those whose name ends with one of `suffixes`. Where there is no directory nothing is copied
    and no `target` made. Links in the directory are passed over.

    Raises:
        LayoutError: `directory` is a link or lies behind one.
        StoreError: `target` cannot be written (`DiskFullError`: for want of space).
    """
    with beneath.directory(tree, directory) as source:
        if source is None:
            return frozenset()
        regular = [
            name
            for name in sorted(os.listdir(source))
            if name.endswith(suffixes)
            and stat.S_ISREG(os.stat(name, dir_fd=source, follow_symlinks=False).st_mode)
        ]
        with storing(target, "write"):
            target.mkdir(parents=True)
        for name in regular:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            _copy(os.open(name, flags, dir_fd=source), target / name)
    return frozenset(regular)


def _copy(source: int, target: Path) -> None:
    """Copy the open file `source` to `target`, and close it."""
    with open(source, "rb") as content, storing(target, "write"), target.open("wb") as out:
        shutil.copyfileobj(content, out)
