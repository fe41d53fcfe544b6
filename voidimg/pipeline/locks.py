"""Locks and explains what builds of recipes are made of: artifacts in, stages to the supply."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voidimg.artifacts.registry import kinds_of, parse_kinds, stages_of
from voidimg.events import Listener, ignore
from voidimg.spec.compose import ResolvedRecipe
from voidimg.supply.lock import Lock
from voidimg.supply.pin import Explanation, explain_in_stages, lock_stages
from voidimg.supply.sources import Sources


def lock_platforms(
    resolved: Sequence[ResolvedRecipe],
    sources: Sources,
    *,
    artifacts: Sequence[str] = (),
    bundle: Path | None = None,
    listener: Listener = ignore,
) -> Lock:
    """One lock for the packages of all `resolved`, from one state of the repositories.

    Args:
        resolved: the recipes; their order is that of the lock.
        sources: where packages come from.
        artifacts: lock what these are made of; by default all that a build makes unasked.
        bundle: keep the packages themselves, with all that a build needs, in this directory.
        listener: is told of steps, and of signs of inconsistency.

    Raises:
        FetchError, VerifyError, PackageError: a repository or package cannot be used.
        ResolveError: no consistent set of packages exists.
        UsageError: the bundle would replace something else; a recipe has no such artifact.
    """
    kinds = parse_kinds(artifacts)
    wanted = [
        (one, stages_of(kinds_of(one.recipe, kinds, only_live=one.only_live))) for one in resolved
    ]
    return lock_stages(wanted, sources, bundle=bundle, listener=listener)


def explain_package(
    resolved: ResolvedRecipe, pkgname: str, sources: Sources, *, listener: Listener = ignore
) -> Explanation:
    """Why a build of `resolved` installs the package `pkgname`.

    Raises:
        ResolveError: it does not; or no consistent set of packages exists.
        FetchError, VerifyError, PackageError: a repository cannot be used.
    """
    stages = stages_of(kinds_of(resolved.recipe))
    return explain_in_stages((resolved, stages), pkgname, sources, listener=listener)
