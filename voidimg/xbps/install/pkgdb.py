"""The package database of a tree: what is installed, in which state, and who offers what.

It lives in ``var/db/xbps``: ``pkgdb-0.38.plist``, one ``.<pkgname>-files.plist`` per package that
has any path, an empty ``lock``, and ``keys/`` (xbps 0.60.7).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Literal

from voidimg.errors import PackageError
from voidimg.file_locks import held
from voidimg.tree.directories import DATABASE
from voidimg.tree.tree import NotInTreeError, Tree
from voidimg.xbps import plist
from voidimg.xbps.install.alternatives import Providers
from voidimg.xbps.package.agreement import OLD_INDEX_KEYS
from voidimg.xbps.plist import PlistDict, PlistValue

DIRECTORY = DATABASE
"""Where the database lives in every tree."""

FILE = f"{DIRECTORY}/pkgdb-0.38.plist"
CACHE = "/var/cache/xbps"
"""Made by every run of xbps, so by ours too."""

_ALTERNATIVES = "_XBPS_ALTERNATIVES_"
_RESERVED = "_XBPS_"

State = Literal["unpacked", "installed"]
"""What a run stores; xbps also knows ``half-removed`` and ``broken`` but never writes them."""

_NOT_FROM_INDEX = (
    frozenset(
        ("pkgname", "version", "transaction", "download", "skip-obsoletes", "remove-and-update")
    )
    | OLD_INDEX_KEYS
)


class Pkgdb:
    """The database of one tree, in memory.

    Attributes:
        packages: name -> entry. An entry is the package's index entry plus ``state`` and the
            keys of `enter`.
        alternatives: group -> providers, the current one first; None until a package was entered.
    """

    def __init__(self, content: PlistDict | None = None) -> None:
        """The database with `content` as decoded from its file; empty by default."""
        self._read: PlistDict | None = None if content is None else deepcopy(content)
        self._reserved: PlistDict = {}
        self.packages: dict[str, PlistDict] = {}
        self.alternatives: Providers | None = None
        for key, value in (content or {}).items():
            if key == _ALTERNATIVES:
                self.alternatives = _providers(value)
            elif key.startswith(_RESERVED):
                self._reserved[key] = value
            elif isinstance(value, dict):
                value["pkgname"] = key  # libxbps adds it to every entry it loads
                self.packages[key] = value
            else:
                raise _malformed(f"the entry {key} is not a dictionary")

    @classmethod
    def read(cls, root: Path) -> Pkgdb:
        """The database of the tree under the host directory `root`."""
        with Tree(root) as tree:
            return cls.read_from(tree)

    @classmethod
    def read_from(cls, tree: Tree) -> Pkgdb:
        """The database of `tree`; empty when there is none yet.

        Raises:
            PackageError: it cannot be decoded.
        """
        try:
            encoded = tree.read(FILE)
        except NotInTreeError:
            return cls()
        return cls(plist.decode(encoded, where=FILE))

    def content(self) -> PlistDict:
        """The dictionary to be written."""
        content: PlistDict = {**self._reserved, **self.packages}
        if self.alternatives is not None:
            groups: PlistDict = {group: list(names) for group, names in self.alternatives.items()}
            content[_ALTERNATIVES] = groups
        return content

    def write(self, tree: Tree) -> None:
        """Write the database into `tree` if it is not what was read.

        The ``pkgname`` that loading adds to every entry is such a change, as in libxbps.
        """
        content = self.content()
        if content != self._read:
            tree.mkdir(DIRECTORY, parents=True)
            tree.write(FILE, plist.encode(content))
            self._read = deepcopy(content)

    def enter(
        self,
        name: str,
        index_entry: PlistDict,
        *,
        automatic: bool | None,
        metafile_sha256: str | None,
        install_script: bytes | None,
        remove_script: bytes | None,
        repository: str | None = None,
        install_date: str | None = None,
    ) -> None:
        """Enter package `name` as unpacked, replacing an older entry.

        Args:
            name: the package's name.
            index_entry: all keys of the package as the repository index gives them.
            automatic: whether it came as a dependency; None leaves the key out.
            metafile_sha256: of ``.<pkgname>-files.plist`` as written; None without one.
            install_script: INSTALL of the archive, empty or None if there is none.
            remove_script: REMOVE likewise.
            repository: only in databases that need not be reproducible.
            install_date: likewise, local time ``%Y-%m-%d %H:%M %Z``.
        """
        entry: PlistDict = {
            key: deepcopy(value) for key, value in index_entry.items() if key not in _NOT_FROM_INDEX
        }
        optional: dict[str, PlistValue | None] = {
            "automatic-install": automatic,
            "metafile-sha256": metafile_sha256,
            "install-script": install_script or None,
            "remove-script": remove_script or None,
            "repository": repository,
            "install-date": install_date,
        }
        for key, value in optional.items():
            entry.pop(key, None)
            if value is not None:
                entry[key] = value
        old = self.packages.get(name, {})
        for flag in ("hold", "repolock"):
            if flag in old:
                entry[flag] = old[flag]
        entry["state"] = "unpacked"
        self.packages[name] = entry
        if self.alternatives is None:
            self.alternatives = {}

    def remove(self, name: str) -> None:
        """Forget package `name`."""
        del self.packages[name]

    def set_state(self, name: str, state: State) -> None:
        """Record that the package is unpacked only, or configured as well."""
        self.packages[name]["state"] = state

    def state(self, name: str) -> str:
        """The recorded state of package `name`; empty when there is none."""
        return str(self.packages[name].get("state", ""))


def metafile(name: str) -> str:
    """The path of the file list of package `name` in the tree."""
    return f"{DIRECTORY}/.{name}-files.plist"


def read_metafile(tree: Tree, name: str) -> PlistDict:
    """The recorded file list of the installed package `name`; empty when it has none."""
    path = metafile(name)
    try:
        return plist.decode(tree.read(path), where=path)
    except NotInTreeError:
        return {}


def write_metafile(tree: Tree, name: str, files: PlistDict) -> str | None:
    """Record the file list of package `name` in canonical form.

    Returns:
        Its SHA256, or None when the package has no path at all: then no file is kept.
    """
    path = metafile(name)
    if not files:
        tree.remove(path, missing_ok=True)
        return None
    encoded = plist.encode(files)
    tree.write(path, encoded)
    return hashlib.sha256(encoded).hexdigest()


@contextmanager
def locked(tree: Tree) -> Iterator[None]:
    """Hold the database's lock, and make the directories every run of xbps makes.

    Waits while another run, of ours or of xbps, holds it.
    """
    tree.mkdir(DIRECTORY, parents=True)
    tree.mkdir(CACHE, parents=True)
    path = f"{DIRECTORY}/lock"
    if tree.lstat(path) is None:
        tree.write(path, b"")
    with held(tree.open_file(path, follow=False)):
        yield


def _providers(value: PlistValue) -> Providers:
    if not isinstance(value, dict):
        raise _malformed("its alternatives are not a dictionary")
    groups: Providers = {}
    for group, names in value.items():
        if not isinstance(names, list) or not names:
            raise _malformed(f"the alternatives group {group} has no providers")
        groups[group] = [str(name) for name in names]
    return groups


def _malformed(reason: str) -> PackageError:
    return PackageError(
        f"the package database is malformed: {reason}",
        code="PKGDB",
        where=FILE,
        hint="it was changed by something else than xbps",
    )
