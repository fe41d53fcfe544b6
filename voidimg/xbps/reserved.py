"""What of the package database (``/var/db/xbps``) a package may bring: trusted keys and one link.

Only the installer writes the database. Two packages of Void have paths below it all the same:
xbps may bring trusted keys, and xbps-triggers owns the link by which build tools find its
programs. Whatever else a package puts there would forge what is installed.
"""

from __future__ import annotations

from collections.abc import Iterable

from voidimg.errors import PackageError
from voidimg.xbps.install.alternatives import alternatives_of
from voidimg.xbps.install.pkgdb import DIRECTORY
from voidimg.xbps.package.file_list import Kind, Listed
from voidimg.xbps.plist import PlistDict

KEYS = f"{DIRECTORY}/keys/"
"""Below it lie trusted keys, ordinary files of packages."""
TRIGGERS_PACKAGE = "xbps-triggers"
TRIGGERS_LINK = f"{DIRECTORY}/triggers"
TRIGGERS_TEXT = "../../../usr/libexec/xbps-triggers"
"""The text of the link, letter by letter (void-packages, template of xbps-triggers 0.131_1)."""


def is_reserved(path: str) -> bool:
    """Whether the absolute, clean `path` is the database's own, as far as the path alone says.

    >>> is_reserved("/var/db/xbps/lock"), is_reserved("/var/db/xbps/keys/aa.plist")
    (True, False)
    """
    return path == DIRECTORY or (path.startswith(f"{DIRECTORY}/") and not path.startswith(KEYS))


def require_own_paths(pkgname: str, listed: Iterable[Listed], *, where: str) -> None:
    """Ensure that the file list of the package `pkgname` leaves the database alone.

    A listed directory is not made, so it may be any. The text of the link of xbps-triggers is
    not in the list; `require_link_text` looks at it.

    Raises:
        PackageError: ``DATABASE``.
    """
    for one in listed:
        if one.kind is Kind.DIRECTORY or not is_reserved(one.path):
            continue
        if one.path != TRIGGERS_LINK:
            raise _refused(f"the package brings {one.path}", where)
        if pkgname != TRIGGERS_PACKAGE:
            raise _refused(f"{pkgname} brings {one.path}, the link of {TRIGGERS_PACKAGE},", where)
        if one.kind is not Kind.LINK:
            raise _refused(f"the package brings {one.path} as a {one.kind.value}", where)


def require_link_text(path: str, text: str, *, where: str) -> None:
    """Ensure that the symlink `path` of a package, if it is that of xbps-triggers, leads there.

    Raises:
        PackageError: ``DATABASE``.
    """
    if path == TRIGGERS_LINK and text != TRIGGERS_TEXT:
        raise _refused(f"the package brings {path} as a link to {text!r}", where)


def require_own_alternatives(entry: PlistDict, *, where: str) -> None:
    """Ensure that no link of the package's alternatives lies in the database, keys included.

    Raises:
        PackageError: ``DATABASE``; or the alternatives are malformed.
    """
    for links in alternatives_of(entry).values():
        for link in links:
            if link.path == DIRECTORY or link.path.startswith(f"{DIRECTORY}/"):
                raise _refused(f"the package's alternatives put a link at {link.path}", where)


def _refused(what: str, where: str) -> PackageError:
    return PackageError(
        f"{what}, which belongs to the package database",
        code="DATABASE",
        where=where,
        hint=f"below {DIRECTORY} a package may bring keys/ and, if it is {TRIGGERS_PACKAGE}, the"
        f" link triggers -> {TRIGGERS_TEXT}; this one is malformed or hostile, do not use it",
    )
