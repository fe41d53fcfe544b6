"""Resolving as xbps-install does, in the words of our own resolver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.xbps_install.options import XbpsInstallOptions
from tests.xbps_install.run import FaithfulRun
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.resolve.pool import Pool, Repository
from voidimg.xbps.resolve.transaction import Step, Transaction


@dataclass(frozen=True, slots=True)
class Resolved:
    """A transaction, and what xbps-install would say of it on stderr."""

    transaction: Transaction
    notes: tuple[str, ...]


def resolve_as_xbps_install(
    requests: Sequence[str],
    repositories: Sequence[Repository],
    installed: Mapping[str, PlistDict],
    options: XbpsInstallOptions,
) -> Resolved:
    """What xbps-install would do for `requests`, as `voidimg.xbps.resolve.resolver.resolve`.

    Raises:
        XbpsRefusedError: it would refuse.
    """
    pool = Pool(
        repositories,
        installed,
        bestmatching=options.bestmatching,
        virtualpkg=options.virtualpkg,
        staging=options.staging,
    )
    run = FaithfulRun(pool, options)
    steps = tuple(
        Step(
            pkgver=planned.package.pkgver,
            pkgname=planned.package.name,
            action=planned.action,
            repository=planned.package.repository,
            entry=planned.package.entry,
            automatic=planned.automatic,
            replaced=planned.replaced,
        )
        for planned in run.run(requests)
    )
    return Resolved(Transaction(steps, tuple(requests)), tuple(run.notes))
