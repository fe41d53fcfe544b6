"""Unpacking the packages of a transaction, in parallel where their order cannot matter."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from voidimg.errors import PackageError
from voidimg.events import Listener, Progress
from voidimg.tree.tree import Tree
from voidimg.xbps.install.alternatives import alternatives_of
from voidimg.xbps.install.forking import may_fork, run_forked
from voidimg.xbps.install.incoming import Incoming
from voidimg.xbps.install.payload import Rules, unpack
from voidimg.xbps.install.pkgdb import write_metafile
from voidimg.xbps.install.removal import remove_path
from voidimg.xbps.package.file_list import Listed
from voidimg.xbps.package.reader import BinaryPackage

STEP = "unpack"
"""The step's name in events."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What is known of a package once it is unpacked.

    Attributes:
        metafile_sha256: of its recorded file list; None when it has no path.
        beside: configuration files written as ``.new-<version>``.
    """

    metafile_sha256: str | None
    beside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unpacking:
    """One package to unpack over `installed`, its older version (None: there is none).

    `obsolete` are paths to remove first.
    """

    incoming: Incoming
    installed: Mapping[str, Listed] | None = None
    obsolete: tuple[str, ...] = ()


@contextmanager
def no_umask() -> Iterator[None]:
    """Run with umask 0, so that modes are what they are asked to be."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def unpack_one(tree: Tree, task: Unpacking, rules: Rules) -> Registered:
    """Remove what is obsolete, unpack the package and record its file list."""
    incoming = task.incoming
    for path in task.obsolete:
        remove_path(tree, path)
    with BinaryPackage.open(incoming.path, where=incoming.pkgver) as package, no_umask():
        if package.files != incoming.files:
            raise PackageError(
                "the package file changed while it was being installed",
                code="CHANGED",
                where=incoming.pkgver,
                hint="nobody may write to the cache meanwhile",
            )
        unpacked = unpack(
            tree,
            package,
            incoming.listed,
            version=incoming.split.version,
            rules=rules,
            installed=task.installed,
        )
    return Registered(write_metafile(tree, incoming.split.name, incoming.files), unpacked.beside)


def order_matters(incoming: Sequence[Incoming]) -> bool:
    """Whether a link of some alternatives lies where a package of the transaction has a path."""
    links = {
        link.path
        for one in incoming
        for group in alternatives_of(one.entry).values()
        for link in group
    }
    return bool(links) and any(listed.path in links for one in incoming for listed in one.listed)


def unpack_all(
    tree: Tree, tasks: Sequence[Unpacking], rules: Rules, *, jobs: int, listener: Listener
) -> dict[str, Registered]:
    """Unpack packages that have no path in common, by package name.

    With more than one job, workers are forked and take the largest packages first.
    """
    done: dict[str, Registered] = {}
    if jobs > 1 and may_fork(len(tasks)):
        ordered = sorted(tasks, key=lambda task: -_size(task.incoming))
        results = run_forked(lambda task: unpack_one(tree, task, rules), ordered, jobs=jobs)
    else:
        ordered = list(tasks)
        results = ((i, unpack_one(tree, task, rules)) for i, task in enumerate(ordered))
    for index, registered in results:
        done[ordered[index].incoming.split.name] = registered
        listener(Progress(STEP, len(done), len(tasks), "packages"))
    return done


def _size(incoming: Incoming) -> int:
    size = incoming.entry.get("installed_size")
    return size if isinstance(size, int) else 0
