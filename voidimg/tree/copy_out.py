"""Takes files of boot loaders and kernels out of a tree: regular files, and none through a link.

What packages brought is not trusted: a link could lead to any file of this host, which would be on
the medium then.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from voidimg.disk.contents import host_path
from voidimg.errors import LayoutError, storing


def take_file(tree: Path, path: str, target: Path) -> None:
    """Copy the file at `path` of `tree` to `target`.

    Raises:
        LayoutError: it is not there, is no regular file, or lies behind a link.
        StoreError: `target` cannot be written (`DiskFullError`: for want of space).
    """
    source = host_path(tree, path)
    if source.is_symlink() or not source.is_file():
        raise LayoutError(
            f"the tree has no {path}, which the boot menu needs",
            code="NO-FILE",
            where=path,
            hint="add the package that brings it to [live] of the platform",
        )
    with storing(target, "write"):
        shutil.copyfile(source, target)


def take_files(
    tree: Path, directory: str, target: Path, suffixes: tuple[str, ...] = ("",)
) -> frozenset[str]:
    """Copy the regular files of `directory` of `tree` into the new directory `target`; their names.

    Only those whose name ends with one of `suffixes`. Of a link, or where there is no directory,
    nothing is copied and no `target` made.

    Raises:
        LayoutError: `directory` lies behind a link.
        StoreError: `target` cannot be written (`DiskFullError`: for want of space).
    """
    source = host_path(tree, directory)
    if source.is_symlink() or not source.is_dir():
        return frozenset()
    taken = set()
    with storing(target, "write"):
        target.mkdir(parents=True)
        for file in source.iterdir():
            if file.name.endswith(suffixes) and file.is_file() and not file.is_symlink():
                shutil.copyfile(file, target / file.name)
                taken.add(file.name)
    return frozenset(taken)
