"""Installing, removing and configuring packages in a tree, as xbps 0.60.7 leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voidimg.errors import PackageError
from voidimg.events import Listener, ignore
from voidimg.tree.tree import Tree
from voidimg.xbps.install.alternatives import Alternatives
from voidimg.xbps.install.commit import InstallReport, Transaction, VerifiedPackage
from voidimg.xbps.install.payload import Rules
from voidimg.xbps.install.pkgdb import Pkgdb, locked
from voidimg.xbps.install.preserve import expand_preserved
from voidimg.xbps.install.removal import plan_removal
from voidimg.xbps.install.scripts import ScriptRunner

__all__ = [
    "InstallReport",
    "VerifiedPackage",
    "choose_alternative",
    "install",
    "reconfigure",
    "remove",
]


def install(
    root: Path,
    packages: Sequence[VerifiedPackage],
    *,
    arch: str,
    runner: ScriptRunner | None,
    configure: bool = True,
    reproducible: bool = True,
    install_date: str | None = None,
    noextract: Sequence[str] = (),
    preserve: Sequence[str] = (),
    keepconf: bool = False,
    overwrite_conf: bool = False,
    ignore_file_conflicts: bool = False,
    jobs: int = 1,
    listener: Listener = ignore,
) -> InstallReport:
    """Run a transaction in the tree under `root`, which is made if it does not exist.

    The process must have one thread for `jobs` to have an effect. If it fails, files already
    unpacked stay, without entries in the database: build in a directory that is only published
    on success.

    Args:
        root: the tree.
        packages: the transaction, in its order.
        arch: native architecture of the tree; packages of another one are refused.
        runner: runs the packages' scripts; None runs none, and packages with an INSTALL script
            stay unpacked.
        configure: False stops after unpacking (``xbps-install -U``).
        reproducible: leave repository and install date out of the database.
        install_date: what to record otherwise, like ``2024-03-14 00:00 UTC``.
        noextract: globs of paths that are listed but not extracted.
        preserve: paths or globs that are neither overwritten nor removed.
        keepconf: never overwrite an existing configuration file.
        overwrite_conf: always do (``xbps-install -ff``).
        ignore_file_conflicts: of two packages with one path, let the later win.
        jobs: worker processes for unpacking.
        listener: is told of steps and messages.

    Raises:
        PackageError: a package is malformed, hostile, in conflict with another, or not what the
            index says.
        ScriptError: a script failed. After ``pre`` nothing is unpacked; after ``post`` all
            packages of the transaction stay ``unpacked`` in the database.
        StoreError, DiskFullError: the tree cannot be written.
    """
    with Tree(root, create=True) as tree, locked(tree):
        transaction = Transaction(tree, arch, runner, listener)
        transaction.rules = Rules(
            tuple(noextract), expand_preserved(tree, preserve), keepconf, overwrite_conf
        )
        transaction.ignore_conflicts = ignore_file_conflicts
        transaction.jobs = jobs
        transaction.records_origin = not reproducible
        transaction.install_date = None if reproducible else install_date
        return transaction.run(packages, configure=configure)


def reconfigure(
    root: Path,
    names: Sequence[str] | None = None,
    *,
    arch: str,
    runner: ScriptRunner | None,
    force: bool = False,
    listener: Listener = ignore,
) -> InstallReport:
    """Run INSTALL ``post`` of packages that are only unpacked.

    Args:
        root: the tree.
        names: packages, in the order in which to configure them; None means all, in byte order
            of their names.
        arch: native architecture of the tree.
        runner: runs the scripts.
        force: also configure packages that already are.
        listener: is told of steps and messages.

    Raises:
        PackageError: a package is not installed, or its state is neither ``unpacked`` nor
            ``installed``.
        ScriptError: a script failed; nothing is recorded then.
    """
    with Tree(root) as tree, locked(tree):
        transaction = Transaction(tree, arch, runner, listener)
        db = transaction.db
        chosen = sorted(db.packages, key=_bytes) if names is None else list(names)
        for name in chosen:
            if name not in db.packages:
                raise _not_installed(name)
            if db.state(name) not in ("unpacked", "installed"):
                raise PackageError(
                    f"{name} is in the state {db.state(name)!r}", code="STATE", where=name
                )
        report = transaction.configure(
            [name for name in chosen if force or db.state(name) == "unpacked"]
        )
        db.write(tree)
        return report


def remove(
    root: Path,
    names: Sequence[str],
    *,
    arch: str,
    runner: ScriptRunner | None,
    recursive: bool = False,
    orphans: bool = False,
    force: bool = False,
    listener: Listener = ignore,
) -> InstallReport:
    """Remove packages from the tree under `root`; see `voidimg.xbps.install.removal.plan_removal`.

    Raises:
        ResolveError: a package is not installed, or needed by one that stays.
        ScriptError: a REMOVE script failed.
    """
    with Tree(root) as tree, locked(tree):
        transaction = Transaction(tree, arch, runner, listener)
        leaving = plan_removal(
            transaction.db.packages, names, recursive=recursive, orphans=orphans, force=force
        )
        return transaction.remove(leaving)


def choose_alternative(root: Path, name: str, group: str | None = None) -> None:
    """Make package `name` the current provider of `group`, or of all groups it offers.

    Raises:
        PackageError: it is not installed or offers no such group.
    """
    with Tree(root) as tree, locked(tree):
        db = Pkgdb.read_from(tree)
        groups = db.alternatives if db.alternatives is not None else {}
        Alternatives(tree, groups, db.packages).choose(name, group)
        db.write(tree)


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _not_installed(name: str) -> PackageError:
    return PackageError(
        f"{name} is not installed", code="NOT-INSTALLED", where=name, hint="install it first"
    )
