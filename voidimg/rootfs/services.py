"""Enables runit services: links in ``/etc/runit/runsvdir/default``."""

from __future__ import annotations

from collections.abc import Sequence

from voidimg.errors import SpecError, one_or_many
from voidimg.suggest import did_you_mean
from voidimg.tree.tree import NotInTreeError, Tree

SERVICES = "/etc/sv"
RUN_LEVEL = "/etc/runit/runsvdir/default"


def enable_services(tree: Tree, services: Sequence[str], *, epoch: int) -> None:
    """Link each of `services` into the default run level, as ``/etc/sv/<service>``.

    Raises:
        SpecError: the tree has no such service directory; the hint names similar
            ones. Or its `run` is no program. Several: collected.
    """
    missing = [name for name in services if not tree.is_directory(f"{SERVICES}/{name}")]
    if missing:
        errors = [_missing(tree, name) for name in missing]
        raise one_or_many(errors, "services that no package of the recipe has")
    lame = [name for name in services if not tree.is_program(f"{SERVICES}/{name}/run")]
    if lame:
        raise one_or_many([_not_to_be_run(name) for name in lame], "services without a program")
    for name in services:
        path = f"{RUN_LEVEL}/{name}"
        # A package's script may have made the link already.
        if tree.lstat(path) is None or tree.readlink(path) != f"{SERVICES}/{name}":
            tree.symlink(path, f"{SERVICES}/{name}", mtime=epoch, parents=True)


def _not_to_be_run(name: str) -> SpecError:
    path = f"{SERVICES}/{name}/run"
    return SpecError(
        f"the service {name} cannot be started: {path} is no file that may be run",
        code="SERVICE",
        where=name,
        hint=f"runsv starts {path}: it must be there, with mode 0755",
    )


def _missing(tree: Tree, name: str) -> SpecError:
    try:
        known = tree.listdir(SERVICES)
    except NotInTreeError:
        known = []
    hint = did_you_mean(name, known, most=3) or "add the package that brings it"
    return SpecError(
        f"the service {name} does not exist: the tree has no directory {SERVICES}/{name}",
        code="SERVICE",
        where=name,
        hint=hint,
    )
