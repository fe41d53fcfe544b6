"""A repository index must say of a package what the signed package says of itself.

The index is not signed, yet xbps builds its transaction from it: dependencies, alternatives, even
scripts of an index entry are believed. Here an entry may only select; any difference from the
package's own ``props.plist`` is refused.
"""

from __future__ import annotations

from voidimg.errors import PackageError
from voidimg.xbps.names import NOARCH, Pkgver, split_pkgver
from voidimg.xbps.plist import PlistDict

_ONLY_IN_PROPS = frozenset(("pkgname", "version", "packaged-with"))
_ONLY_IN_INDEX = frozenset(("filename-sha256", "filename-size"))
OLD_INDEX_KEYS = frozenset(("build-date",))
"""What xbps-rindex 0.48 to 0.57.1 (2017 to January 2020) put into entries, and never a package.

An entry stays as long as its package does, so today's indexes have it still. Nothing reads it.
"""
_SCRIPTS = frozenset(("install-script", "remove-script"))


def require_agreement(entry: PlistDict, props: PlistDict, *, where: str) -> None:
    """Ensure that the index `entry` is the package's `props` in the form of an index.

    Raises:
        PackageError: ``INDEX-SCRIPT``, the entry brings a script; ``PKGVER``, it is about another
            package; ``INDEX-DIFFERS``, another key differs (the first in byte order is named).
    """
    smuggled = sorted(_SCRIPTS & entry.keys())
    if smuggled:
        raise _refused(
            f"the repository index gives the package a {smuggled[0]}", "INDEX-SCRIPT", where
        )
    if entry.get("pkgver") != props.get("pkgver"):
        raise _refused(
            f"the index says {entry.get('pkgver')!r}, but the package is {props.get('pkgver')!r}",
            "PKGVER",
            where,
        )
    ours_alone = _ONLY_IN_INDEX | OLD_INDEX_KEYS
    for key in sorted((entry.keys() - ours_alone) | (props.keys() - _ONLY_IN_PROPS)):
        ours, theirs = entry.get(key), props.get(key)
        if ours != theirs or type(ours) is not type(theirs):
            raise _refused(
                f"the repository index and the package differ in {key!r}", "INDEX-DIFFERS", where
            )


def entry_of_props(props: PlistDict, *, size: int, sha256: str) -> PlistDict:
    """What an index says of the package with these `props`, whose file has `size` bytes."""
    kept = {key: value for key, value in props.items() if key not in _ONLY_IN_PROPS}
    return {**kept, "filename-sha256": sha256, "filename-size": size}


def require_identity(props: PlistDict, arch: str, *, where: str) -> Pkgver:
    """Ensure that a package's own names fit each other and that it is for `arch`.

    Returns:
        Name and version.

    Raises:
        PackageError: ``PKGVER``, ``pkgver``, ``pkgname`` and ``version`` do not fit together;
            ``ARCH``, it is for another architecture.
    """
    pkgver = props.get("pkgver")
    split = split_pkgver(pkgver) if isinstance(pkgver, str) else None
    if split is None or (
        props.get("pkgname", split.name) != split.name
        or props.get("version", split.version) != split.version
        or "/" in str(split)
        or split.name.startswith((".", "_XBPS_"))
    ):
        raise _refused(f"{pkgver!r} is not the package's name and version", "PKGVER", where)
    if props.get("architecture") not in (NOARCH, arch):
        raise PackageError(
            f"the package is for {props.get('architecture')!r}, not for {arch!r}",
            code="ARCH",
            where=where,
            hint="the repository's index is wrong",
        )
    return split


def _refused(what: str, code: str, where: str) -> PackageError:
    return PackageError(
        what,
        code=code,
        where=where,
        hint="the repository is damaged or hostile; do not use it",
    )
