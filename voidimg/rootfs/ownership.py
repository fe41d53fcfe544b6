"""Which package each path of a tree belongs to, as the package database knows it."""

from __future__ import annotations

from collections.abc import Sequence

from voidimg.tree.tree import Tree
from voidimg.xbps.install.pkgdb import Pkgdb, metafile, read_metafile

_KINDS = ("files", "conf_files", "links")


def package_paths(tree: Tree, order: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """The paths of each installed package, the ones named in `order` first, others by name.

    The package's file list in the database counts as its own: it changes with the package.
    """
    installed = Pkgdb.read_from(tree).packages
    first = [name for name in order if name in installed]
    rest = sorted(set(installed) - set(first))
    return [_paths(tree, name) for name in (*dict.fromkeys(first), *rest)]


def owned_paths(tree: Tree) -> frozenset[str]:
    """All paths that belong to a package."""
    return frozenset(path for paths in package_paths(tree) for path in paths)


def _paths(tree: Tree, name: str) -> tuple[str, ...]:
    files = read_metafile(tree, name)
    found = [metafile(name)]
    for kind in _KINDS:
        entries = files.get(kind, [])
        if isinstance(entries, list):
            found += [
                str(entry["file"])
                for entry in entries
                if isinstance(entry, dict) and "file" in entry
            ]
    return tuple(found)
