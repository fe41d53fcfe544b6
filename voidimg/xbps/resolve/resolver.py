"""Choosing packages: from requests and repositories to a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from voidimg.xbps.plist import PlistDict
from voidimg.xbps.resolve.pool import Pool, Repository
from voidimg.xbps.resolve.strict import StrictRun
from voidimg.xbps.resolve.transaction import Options, Step, Transaction, why

__all__ = ["Options", "Repository", "Step", "Transaction", "resolve", "why"]

_STRICT = Options()
_NOTHING: Mapping[str, PlistDict] = {}


def resolve(
    requests: Sequence[str],
    repositories: Sequence[Repository],
    installed: Mapping[str, PlistDict] = _NOTHING,
    options: Options = _STRICT,
) -> Transaction:
    """What has to be installed, and in which order, so that `requests` are met.

    Pure: the same arguments give the same transaction, and the order of `requests` does not
    matter.

    Args:
        requests: names, pkgvers or patterns.
        repositories: in order; the first with a fitting package supplies it.
        installed: the package database of the tree, name to entry.
        options: how to resolve.

    Raises:
        UnresolvedError: there is no consistent set of packages; several in a `CollectedError`.
        PackageError: an index entry is malformed.
    """
    pool = Pool(
        repositories,
        installed,
        bestmatching=options.bestmatching,
        virtualpkg=options.virtualpkg,
        staging=options.staging,
    )
    return Transaction(StrictRun(pool, options).run(requests), tuple(requests))
