"""What must be true of a tree when its packages have been configured: nothing else is published."""

from __future__ import annotations

import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voidimg.errors import CollectedError, ScriptError
from voidimg.events import Event, Listener, Message, ScriptOutput
from voidimg.rootfs.promises import (
    PASSWD,
    BrokenPromise,
    PackageScript,
    broken_promises,
    unread_promises,
)
from voidimg.tree.tree import NotInTreeError, Tree
from voidimg.xbps.install.pkgdb import Pkgdb
from voidimg.xbps.plist import PlistDict

_LAST_LINES = 20


@dataclass(slots=True)
class LastWords:
    """A listener that passes everything on, and keeps the last lines of each INSTALL post."""

    listener: Listener
    of: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        """Hear `event`."""
        if isinstance(event, ScriptOutput) and (event.script, event.action) == ("INSTALL", "post"):
            self.of[event.package] = event.lines[-_LAST_LINES:]
        self.listener(event)


def account_names(root: Path) -> frozenset[str]:
    """The names of the accounts in the tree `root`."""
    with Tree(root) as tree:
        content = _Places(tree).read(PASSWD) or b""
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    return frozenset(line.partition(":")[0] for line in lines)


def unconfigured_packages(tree: Tree) -> tuple[str, ...]:
    """The pkgvers of the packages of `tree` that the database does not say are configured."""
    return tuple(
        str(entry.get("pkgver", name))
        for name, entry in sorted(Pkgdb.read_from(tree).packages.items())
        if entry.get("state") != "installed"
    )


def require_configured(unconfigured: Sequence[str]) -> None:
    """Raise when packages (pkgvers) should have been configured and were not.

    Raises:
        ScriptError: there are some: their scripts could not be run.
    """
    if unconfigured:
        raise ScriptError(
            f"packages are not configured, and the tree is of no use so: {' '.join(unconfigured)}",
            code="UNCONFIGURED",
            where=unconfigured[0],
            hint="scripts need a shell: add one, such as dash, to the packages of this stage or an "
            "earlier one; a hook must leave no package unpacked only",
        )


def require_promises(
    root: Path,
    names: Collection[str],
    *,
    known: Collection[str],
    held_back: Collection[str],
    words: LastWords,
) -> None:
    """Raise when what the INSTALL scripts of the packages `names` promised is not in the tree.

    Args:
        root: the tree, right after its packages were configured.
        names: pkgnames of those packages.
        known: accounts that were there before.
        held_back: programs that no script could run.
        words: what the scripts wrote; is told, as a warning, of promises that cannot be read.

    Raises:
        CollectedError: of a `ScriptError` for each promise that was not kept.
        PackageError: the package database cannot be decoded.
    """
    with Tree(root) as tree:
        scripts = package_scripts(Pkgdb.read_from(tree).packages)
        broken = broken_promises(scripts, _Places(tree), of=names, known=known, held_back=held_back)
    for pkgver, variable in unread_promises([one for one in scripts if one.pkgname in names]):
        what = f"what it promises in {variable} cannot be checked: only a shell can read it"
        words(Message("warning", f"{pkgver}: {what}"))
    if broken:
        raise CollectedError(
            "package scripts ended well, but did not make what they promised",
            [_error(one, words.of) for one in broken],
        )


def package_scripts(packages: Mapping[str, PlistDict]) -> tuple[PackageScript, ...]:
    """The INSTALL scripts that a package database keeps, by name of their packages."""
    return tuple(
        PackageScript(name, str(entry.get("pkgver", name)), script)
        for name, entry in sorted(packages.items())
        if isinstance(script := entry.get("install-script"), bytes)
    )


def _error(broken: BrokenPromise, words: Mapping[str, Sequence[str]]) -> ScriptError:
    return ScriptError(
        f"the INSTALL script of {broken.package} ended well, but {broken.promised}"
        f" ({broken.variable}) is not there: {broken.found}",
        code="PROMISE",
        where=broken.package,
        hint=broken.hint,
        output="\n".join(words.get(broken.package, ())),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """A `voidimg.rootfs.promises.Place`."""

    kind: str
    mode: int
    uid: int
    gid: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Places:
    """A tree on the disk as `voidimg.rootfs.promises.Places`."""

    tree: Tree

    def read(self, path: str) -> bytes | None:
        try:
            return self.tree.read(path)
        except NotInTreeError:
            return None

    def leads_to(self, path: str) -> _Found | None:
        try:
            found = self.tree.stat(path)
        except NotInTreeError:
            return None
        return _Found(
            _KINDS.get(stat.S_IFMT(found.st_mode), "other"),
            stat.S_IMODE(found.st_mode),
            found.st_uid,
            found.st_gid,
            found.st_size,
        )


_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
