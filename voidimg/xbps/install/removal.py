"""Removing packages: which may go. Which of their files, `voidimg.xbps.install.file_plan` says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from voidimg.errors import ResolveError, StoreError
from voidimg.tree.tree import NotInTreeError, Tree
from voidimg.xbps.pattern import is_pattern, matches
from voidimg.xbps.plist import PlistDict


def plan_removal(
    packages: Mapping[str, PlistDict],
    names: Sequence[str],
    *,
    recursive: bool = False,
    orphans: bool = False,
    force: bool = False,
) -> tuple[str, ...]:
    """The names of the packages to remove, dependents before what they depend on.

    Args:
        packages: the package database's entries.
        names: packages to remove.
        recursive: also what they needed, if it came as a dependency and nobody else needs it.
        orphans: also everything else that came as a dependency and nobody needs.
        force: remove packages that others need.

    Raises:
        ResolveError: one is not installed (``NOT-INSTALLED``) or needed (``NEEDED``).
    """
    missing = [name for name in names if name not in packages]
    if missing:
        raise ResolveError(f"{missing[0]} is not installed", code="NOT-INSTALLED", where=missing[0])
    leaving = list(dict.fromkeys(names))
    candidates: Collection[str] = packages if orphans else ()
    if recursive and not orphans:
        candidates = _closure(packages, names)
    while True:
        unneeded = sorted(
            name
            for name in candidates
            if name not in leaving
            and packages[name].get("automatic-install") is True
            and not any(_dependents(packages, name, leaving))
        )
        if not unneeded:
            break
        leaving += unneeded
    if not force:
        for name in leaving:
            needed_by = next(_dependents(packages, name, leaving), None)
            if needed_by is not None:
                raise ResolveError(
                    f"{name} cannot be removed: {needed_by} needs it",
                    code="NEEDED",
                    where=name,
                    hint=f"remove {needed_by} too",
                )
    return tuple(leaving)


def _depends(entry: PlistDict) -> list[str]:
    depends = entry.get("run_depends", [])
    return [str(one) for one in depends] if isinstance(depends, list) else []


def _satisfies(entry: PlistDict, dependency: str) -> bool:
    """Whether an installed package, or a name it provides, is what `dependency` asks for."""
    provides = entry.get("provides", [])
    offered = [entry.get("pkgver"), *(provides if isinstance(provides, list) else [])]
    for pkgver in offered:
        if isinstance(pkgver, str) and (
            matches(pkgver, dependency) if is_pattern(dependency) else pkgver == dependency
        ):
            return True
    return False


def _dependents(
    packages: Mapping[str, PlistDict], name: str, leaving: Collection[str]
) -> Iterator[str]:
    """Packages that stay and have a dependency that only `name`, of those staying, satisfies."""
    for other, entry in packages.items():
        if other in leaving or other == name:
            continue
        for dependency in _depends(entry):
            if _satisfies(packages[name], dependency) and not any(
                _satisfies(rest, dependency)
                for third, rest in packages.items()
                if third != name and third not in leaving
            ):
                yield str(entry.get("pkgver", other))
                break


def _closure(packages: Mapping[str, PlistDict], names: Sequence[str]) -> set[str]:
    """Everything that `names` depend on, directly or not, themselves left out."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        for dependency in _depends(packages[todo.pop()]):
            for name, entry in packages.items():
                if name not in found and _satisfies(entry, dependency):
                    found.add(name)
                    todo.append(name)
    return found - set(names)


def remove_path(tree: Tree, path: str) -> bool:
    """Remove the file, link or empty directory `path`. Returns whether it was there and went."""
    try:
        tree.remove(path)
    except NotInTreeError:
        return False
    except StoreError as error:
        if error.code.endswith(("TREE-NOT-EMPTY", "TREE-TYPE", "TREE-EXISTS")):
            return False
        raise
    return True
