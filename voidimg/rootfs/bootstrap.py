"""The small tree that runs ``pre`` scripts while the real one is still empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from voidimg.events import Listener, ignore
from voidimg.xbps.install.install import VerifiedPackage, install
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.query import parse_query

_SHELLS = ("dash", "bash", "busybox")
_COMMANDS = ("base-files", "coreutils", "sed", "grep")
"""What generated INSTALL scripts call; base-files has the links /bin and /lib."""


def bootstrap_packages(packages: Sequence[VerifiedPackage]) -> tuple[VerifiedPackage, ...]:
    """A shell, the usual commands and all they need, out of the same transaction, in its order.

    Empty when the transaction has no shell.
    """
    entries = {
        package.step.pkgname: package.step.entry for package in packages if package.path is not None
    }
    shell = next((name for name in _SHELLS if name in entries), None)
    if shell is None:
        return ()
    wanted = _closure((shell, *_COMMANDS), entries)
    return tuple(package for package in packages if package.step.pkgname in wanted)


def make_bootstrap(
    root: Path, packages: Sequence[VerifiedPackage], *, arch: str, listener: Listener = ignore
) -> Path | None:
    """Unpack `bootstrap_packages` of `packages` into the new tree `root`, running no script.

    Returns:
        `root`, or None when the transaction has no shell.

    Raises:
        PackageError, StoreError: as `voidimg.xbps.install.install.install`.
    """
    chosen = bootstrap_packages(packages)
    if not chosen:
        return None
    install(root, chosen, arch=arch, runner=None, configure=False, listener=listener)
    return root


def _closure(names: Sequence[str], entries: Mapping[str, PlistDict]) -> frozenset[str]:
    providers = {
        _name(virtual): name
        for name, entry in sorted(entries.items(), reverse=True)
        for virtual in _texts(entry, "provides")
    }
    found: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        actual = name if name in entries else providers.get(name)
        if actual is None or actual in found:
            continue
        found.add(actual)
        pending += [_name(text) for text in _texts(entries[actual], "run_depends")]
    return frozenset(found)


def _name(text: str) -> str:
    """The package name of a dependency or provided pkgver; the text itself if it has none."""
    return parse_query(text).name or text


def _texts(entry: PlistDict, key: str) -> list[str]:
    values = entry.get(key, [])
    return [str(value) for value in values] if isinstance(values, list) else []
