"""A transaction on one tree: scripts, files, alternatives and database in xbps's order.

REMOVE ``pre`` of all that is removed or replaced, INSTALL ``pre`` of all packages, then unpack and
register one after the other, write the database, REMOVE ``post`` and ``purge``, INSTALL ``post``
of all, write the database again (xbps 0.60.7, ``lib/transaction_commit.c``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from voidimg.errors import UsageError
from voidimg.events import Listener, Message, Progress, step
from voidimg.tree.tree import Tree
from voidimg.xbps.install.alternatives import Alternatives
from voidimg.xbps.install.file_plan import Change, FilePlan, plan_files
from voidimg.xbps.install.incoming import Incoming, read_incoming
from voidimg.xbps.install.payload import Rules
from voidimg.xbps.install.pkgdb import Pkgdb, metafile, read_metafile
from voidimg.xbps.install.removal import remove_path
from voidimg.xbps.install.scripts import Action, Call, ScriptName, ScriptRunner, run_script
from voidimg.xbps.install.workers import (
    STEP,
    Registered,
    Unpacking,
    order_matters,
    unpack_all,
    unpack_one,
)
from voidimg.xbps.package.file_list import Listed, decode_list
from voidimg.xbps.plist import PlistDict

_UNPACKED = ("install", "update", "reinstall")


class PlannedStep(Protocol):
    """What the installer needs of a step that the resolver planned."""

    @property
    def pkgver(self) -> str:
        """Name and version of what the step is about."""
        ...

    @property
    def pkgname(self) -> str:
        """Its name."""
        ...

    @property
    def action(self) -> str:
        """install, update, reinstall, remove, configure or hold."""
        ...

    @property
    def entry(self) -> PlistDict:
        """Its index entry; not read for steps that unpack nothing."""
        ...

    @property
    def automatic(self) -> bool:
        """Whether it comes as a dependency."""
        ...


@dataclass(frozen=True, slots=True)
class VerifiedPackage:
    """A step of a transaction and its package file.

    Attributes:
        path: the file, whose signature, size and SHA256 the caller has verified; None for steps
            that unpack nothing (remove, configure, hold).
        step: what the resolver decided.
        repository: path or URL to record in a database that need not be reproducible.
    """

    path: Path | None
    step: PlannedStep
    repository: str | None = None


@dataclass(frozen=True, slots=True)
class InstallReport:
    """What a run did, as pkgvers in the order of the transaction.

    Attributes:
        unpacked: packages unpacked.
        configured: packages whose state is now ``installed``.
        unconfigured: packages that should have been configured but have a script that cannot be
            run here; they stay ``unpacked``, and ``xbps-reconfigure -a`` in the tree ends the work.
        removed: packages removed.
        beside: configuration files written as ``<path>.new-<version>``.
    """

    unpacked: tuple[str, ...] = ()
    configured: tuple[str, ...] = ()
    unconfigured: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


class Transaction:
    """A run in one tree: the database, the scripts, and the steps in their order."""

    def __init__(
        self, tree: Tree, arch: str, runner: ScriptRunner | None, listener: Listener
    ) -> None:
        self.tree = tree
        self.arch = arch
        self.runner = runner
        self.listener = listener
        self.db = Pkgdb.read_from(tree)
        self.rules = Rules()
        self.ignore_conflicts = False
        self.jobs = 1
        self.records_origin = False
        self.install_date: str | None = None
        self._shared = False
        self._repositories: dict[str, str | None] = {}
        self.old = {name: dict(entry) for name, entry in self.db.packages.items()}

    def run(self, packages: Sequence[VerifiedPackage], *, configure: bool) -> InstallReport:
        """Do all steps; see `install`."""
        steps = [one.step for one in packages]
        self._repositories = {one.step.pkgname: one.repository for one in packages}
        incoming = {one.step.pkgname: self._incoming(one) for one in packages if _unpacks(one.step)}
        plan, tasks = self._plan(steps, incoming)
        self._pre_scripts(steps, incoming)
        if not self.tree.sets_owners:
            self._say("without root, owners and suid bits of packages are not kept", "warning")
        removed: list[str] = []
        beside: list[str] = []
        with step(self.listener, STEP):
            unpacked = self._unpack_ahead(steps, tasks)
            for one in steps:
                if one.action == "remove" and one.pkgname in self.old:
                    removed.append(self._remove_package(one.pkgname, plan))
                elif _unpacks(one):
                    task = tasks[one.pkgname]
                    beside += self._unpack(one, task, unpacked.get(one.pkgname)).beside
        self.db.write(self.tree)
        report = InstallReport(
            unpacked=tuple(one.pkgver for one in steps if _unpacks(one)),
            removed=tuple(removed),
            beside=tuple(beside),
        )
        self._after_removals(steps)
        return self._finish(steps, report) if configure else report

    def _after_removals(self, steps: Sequence[PlannedStep]) -> None:
        for one in steps:
            if one.action in ("remove", "reinstall") and one.pkgname in self.old:
                self._remove_script(one.pkgname, "post", update=False)
                self._remove_script(one.pkgname, "purge", update=False)

    def _finish(self, steps: Sequence[PlannedStep], report: InstallReport) -> InstallReport:
        """The ``post`` half of a transaction."""
        configured = self.configure(
            [one.pkgname for one in steps if _unpacks(one) or one.action == "configure"],
            updates={one.pkgname for one in steps if one.action == "update"},
        )
        self.db.write(self.tree)
        return replace(
            report, configured=configured.configured, unconfigured=configured.unconfigured
        )

    def configure(self, names: Sequence[str], *, updates: Collection[str] = ()) -> InstallReport:
        """Run INSTALL ``post`` of `names` in this order and set their states."""
        configured: list[str] = []
        left: list[str] = []
        with step(self.listener, "configure"):
            for done, name in enumerate(names, 1):
                entry = self.db.packages[name]
                pkgver = str(entry.get("pkgver"))
                if self._script("INSTALL", "post", pkgver, entry, update=name in updates):
                    self.db.set_state(name, "installed")
                    configured.append(pkgver)
                else:
                    left.append(pkgver)
                self._message(pkgver, entry.get("install-msg"))
                self.listener(Progress("configure", done, len(names), "packages"))
        if left:
            self._say(
                f"{len(left)} packages stay unpacked, their scripts cannot be run here: "
                + " ".join(left),
                "warning",
            )
        return InstallReport(configured=tuple(configured), unconfigured=tuple(left))

    def remove(self, names: Sequence[str]) -> InstallReport:
        """Remove `names`: ``pre`` of all, then their files, then ``post`` and ``purge`` of all."""
        plan = plan_files(self.tree, [self._leaving(name) for name in names])
        for name in names:
            self._remove_script(name, "pre", update=False)
        removed = tuple(self._remove_package(name, plan) for name in names)
        self.db.write(self.tree)
        for name in names:
            self._remove_script(name, "post", update=False)
            self._remove_script(name, "purge", update=False)
        return InstallReport(removed=removed)

    # Planning

    def _incoming(self, package: VerifiedPackage) -> Incoming:
        one = package.step
        if package.path is None:
            raise UsageError(
                f"there is no package file for {one.pkgver}", code="NO-FILE", where=one.pkgver
            )
        return read_incoming(package.path, one.pkgver, one.entry, self.arch)

    def _plan(
        self, steps: Sequence[PlannedStep], incoming: Mapping[str, Incoming]
    ) -> tuple[FilePlan, dict[str, Unpacking]]:
        """What each step does to files, having made sure that the packages agree on them."""
        installed: dict[str, tuple[Listed, ...]] = {}
        changes = []
        for one in steps:
            name = one.pkgname
            if name in self.db.packages and one.action not in ("hold", "configure"):
                path = metafile(name)
                installed[name] = decode_list(read_metafile(self.tree, name), where=path)
            if (new := incoming.get(name)) is not None:
                changes.append(
                    Change(name, one.pkgver, new.listed, installed.get(name), new.preserve)
                )
            elif name in installed:
                changes.append(self._leaving(name))
        plan = plan_files(
            self.tree,
            changes,
            preserved=self.rules.preserved,
            ignore_conflicts=self.ignore_conflicts,
        )
        self._shared = bool(plan.shared)
        return plan, {
            name: Unpacking(
                new,
                {entry.path: entry for entry in installed[name]} if name in installed else None,
                tuple(plan.obsolete.get(name, ())),
            )
            for name, new in incoming.items()
        }

    def _leaving(self, name: str) -> Change:
        """The files of the installed package `name`, which goes."""
        entry = self.old[name]
        listed = decode_list(read_metafile(self.tree, name), where=metafile(name))
        return Change(name, str(entry.get("pkgver")), None, listed, entry.get("preserve") is True)

    # Scripts

    def _pre_scripts(self, steps: Sequence[PlannedStep], incoming: Mapping[str, Incoming]) -> None:
        with step(self.listener, "pre scripts"):
            for one in steps:
                if one.action in ("remove", "update", "reinstall") and one.pkgname in self.old:
                    self._remove_script(one.pkgname, "pre", update=one.action == "update")
            for one in steps:
                new = incoming.get(one.pkgname)
                if new is not None:
                    call = Call("INSTALL", "pre", one.pkgver, one.action == "update", self.arch)
                    ran = run_script(self.runner, new.install_script, call, self.listener)
                    if not ran and self.runner:
                        self._say(f"{one.pkgver}: INSTALL pre cannot be run here", "warning")

    def _remove_script(self, name: str, action: Action, *, update: bool) -> None:
        entry = self.old[name]
        pkgver = str(entry.get("pkgver"))
        if not self._script("REMOVE", action, pkgver, entry, update=update) and self.runner:
            self._say(f"{pkgver}: REMOVE {action} cannot be run here", "warning")
        if action == "pre" and not update:
            self._message(pkgver, entry.get("remove-msg"))

    def _script(
        self, kind: ScriptName, action: Action, pkgver: str, entry: PlistDict, *, update: bool
    ) -> bool:
        script = entry.get("install-script" if kind == "INSTALL" else "remove-script")
        if not isinstance(script, bytes):
            return True
        call = Call(kind, action, pkgver, update, self.arch)
        return run_script(self.runner, script, call, self.listener)

    # Steps

    def _unpack_ahead(
        self, steps: Sequence[PlannedStep], tasks: Mapping[str, Unpacking]
    ) -> dict[str, Registered]:
        """Unpack in parallel what may be: packages that are all new and have nothing in common."""
        new = [task.incoming for task in tasks.values()]
        if (
            self.jobs < 2
            or self._shared
            or any(one.action in ("remove", "update", "reinstall") for one in steps)
            or order_matters(new)
        ):
            return {}
        return unpack_all(
            self.tree, list(tasks.values()), self.rules, jobs=self.jobs, listener=self.listener
        )

    def _unpack(self, one: PlannedStep, task: Unpacking, done: Registered | None) -> Registered:
        """Unpack a package unless that is done, then register alternatives and entry."""
        name, new = one.pkgname, task.incoming
        alternatives = self._alternatives()
        if name in self.old:
            alternatives.before_update(name, self.old[name], new.entry)
        registered = done or unpack_one(self.tree, task, self.rules)
        alternatives.register(name, new.entry)
        old_automatic = self.old.get(name, {}).get("automatic-install")
        automatic: bool | None = one.automatic or None
        if name in self.old:
            automatic = old_automatic if isinstance(old_automatic, bool) else None
        self.db.enter(
            name,
            new.entry,
            automatic=automatic,
            metafile_sha256=registered.metafile_sha256,
            install_script=new.install_script,
            remove_script=new.remove_script,
            repository=self._repositories.get(name) if self.records_origin else None,
            install_date=self.install_date,
        )
        return registered

    def _remove_package(self, name: str, plan: FilePlan) -> str:
        entry = self.old[name]
        self._alternatives().unregister(name, entry)
        for path in plan.obsolete.get(name, ()):
            remove_path(self.tree, path)
        self.tree.remove(metafile(name), missing_ok=True)
        self.db.remove(name)
        return str(entry.get("pkgver"))

    def _alternatives(self) -> Alternatives:
        if self.db.alternatives is None:
            self.db.alternatives = {}
        return Alternatives(self.tree, self.db.alternatives, self.db.packages)

    # Messages

    def _say(self, text: str, level: Literal["note", "warning"] = "note") -> None:
        self.listener(Message(level, text))

    def _message(self, pkgver: str, message: object) -> None:
        """What the package's INSTALL.msg or REMOVE.msg tells the user."""
        if isinstance(message, bytes) and message:
            self._say(f"{pkgver}: {message.decode('utf-8', 'replace').strip()}")


def _unpacks(one: PlannedStep) -> bool:
    return one.action in _UNPACKED
