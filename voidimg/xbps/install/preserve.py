"""Which paths of a tree ``preserve=`` lines protect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from voidimg.errors import StoreError
from voidimg.tree.tree import Tree
from voidimg.xbps.pattern import glob_matches

_SPECIAL = frozenset("*?[")


def expand_preserved(tree: Tree, patterns: Sequence[str]) -> frozenset[str]:
    """The absolute paths that `patterns` mean: globs by what exists in `tree`, others literally.

    As glob(3): ``*`` and ``?`` match within one component, not a dot at its start.
    """
    paths: set[str] = set()
    for pattern in patterns:
        if _SPECIAL.isdisjoint(pattern):
            paths.add(pattern)
        else:
            paths.update(_matching(tree, "", pattern.strip("/").split("/")) or (pattern,))
    return frozenset(paths)


def _matching(tree: Tree, directory: str, parts: Sequence[str]) -> list[str]:
    """The paths below `directory` that match the components `parts`."""
    found: list[str] = []
    for name in _names(tree, directory, parts[0]):
        path = f"{directory}/{name}"
        if len(parts) == 1:
            if tree.exists(path, follow=False):
                found.append(path)
        else:
            found += _matching(tree, path, parts[1:])
    return found


def _names(tree: Tree, directory: str, glob: str) -> Iterator[str]:
    if _SPECIAL.isdisjoint(glob):
        yield glob
        return
    try:
        names = tree.listdir(directory or "/")
    except StoreError:
        return  # not there, or not a directory: nothing matches
    yield from (name for name in names if glob_matches(name, glob))
