"""Makes sure that a set of packages fits together before it becomes a repository."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from voidimg.errors import PackageError

from .model import Package, dependency_name


def check(packages: Sequence[Package]) -> None:
    """Make sure that the packages fit together.

    Raises:
        PackageError: two packages own one path, a library or dependency has no owner, or
            dependencies go in a circle.
    """
    owners: dict[str, str] = {}
    for package in packages:
        for member in package.members:
            other = owners.setdefault(member.path, package.name)
            if other != package.name:
                raise PackageError(
                    f"{member.path} is also in {other}", code="TESTREPO", where=package.name
                )
    sonames = {soname for package in packages for soname in package.shlib_provides}
    for package in packages:
        missing = sorted(set(package.shlib_requires) - sonames)
        if missing:
            raise PackageError(
                f"nothing provides {', '.join(missing)}", code="TESTREPO", where=package.name
            )
    _check_order({package.name: package for package in packages})


def _check_order(packages: Mapping[str, Package]) -> None:
    provided = {
        text.rpartition("-")[0]: package.name
        for package in packages.values()
        for text in package.provides
    }
    done: set[str] = set()

    def visit(name: str, chain: tuple[str, ...]) -> None:
        if name in chain:
            circle = " -> ".join((*chain[chain.index(name) :], name))
            raise PackageError(f"a circle: {circle}", code="TESTREPO", where=name)
        if name in done:
            return
        if name not in packages:
            raise PackageError("does not exist", code="TESTREPO", where=" -> ".join((*chain, name)))
        for pattern in packages[name].depends:
            wanted = dependency_name(pattern)
            visit(provided.get(wanted, wanted), (*chain, name))
        done.add(name)

    for name in packages:
        visit(name, ())
