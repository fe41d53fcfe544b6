"""Which versions a repository had when it was used before: it must not go back to older ones.

An index is not signed, so a mirror can serve an old one, with packages whose faults are known; all
its signatures are good. What the cache has seen before is the only proof against it.

On disk, for each mirror and architecture: ``versions/<key>`` in the cache, a JSON object with the
SHA-256 of the repodata used last, and the version of each package that was ever in it. It is never
removed with what can be fetched again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from voidimg.errors import VerifyError
from voidimg.fetch import Cache, Location
from voidimg.fetch.location import without_credentials
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.version import compare

_NAMED = 5
"""So many packages are named in an error that concerns more."""

Index = Mapping[str, PlistDict]
"""Package name -> entry, whose ``pkgver`` begins with that name."""


class SeenVersions:
    """The versions that repositories had, kept in `cache`."""

    def __init__(self, cache: Cache):
        self._cache = cache

    def require_not_older(self, location: Location, arch: str, index: Index, where: str) -> None:
        """Ensure that no package of `index` is older than when the repository was used last.

        A version that the entry itself says it reverts may come back: the package, which is signed,
        must say the same before it is installed.

        Raises:
            VerifyError: ``E-VERIFY-OLDER``; `where` is the URL that served it.
        """
        older = list(_older(self._seen(location, arch), index))
        if not older:
            return
        more = f" and {len(older) - _NAMED} more" if len(older) > _NAMED else ""
        raise VerifyError(
            "its repodata is older than one that was used before: "
            f"{', '.join(older[:_NAMED])}{more}",
            code="OLDER",
            where=where,
            hint="the mirror lags behind or rolls packages back; try again later, "
            "or take it with --allow-older-repodata",
        )

    def is_last(self, location: Location, arch: str, sha256: str) -> bool:
        """Whether the repodata with this SHA-256 is the one that was used last."""
        return any(self._read(_key(url, arch))[0] == sha256 for url in location.urls)

    def remember(self, location: Location, arch: str, sha256: str, index: Index) -> None:
        """The `index` of the repodata with this SHA-256 is used now.

        A package that is gone keeps the version that it had.
        """
        if all(self._read(_key(url, arch))[0] == sha256 for url in location.urls):
            return
        seen = self._seen(location, arch)
        now = {name: _version(name, entry) for name, entry in index.items()}
        known = {"sha256": sha256, "versions": {**seen, **now}}
        content = json.dumps(known, sort_keys=True).encode()
        for url in location.urls:
            self._cache.write_small(content, "versions", _key(url, arch))

    def _seen(self, location: Location, arch: str) -> dict[str, str]:
        """Package name -> the highest version that any of the mirrors had when it was used."""
        found: dict[str, str] = {}
        for url in location.urls:
            for name, version in self._read(_key(url, arch))[1].items():
                if name not in found or compare(version, found[name]) > 0:
                    found[name] = version
        return found

    def _read(self, key: str) -> tuple[str | None, dict[str, str]]:
        """What was used last, and the versions; none if that cannot be read."""
        try:
            known = json.loads(self._cache.part("versions", key).read_bytes())
            sha256, versions = known["sha256"], known["versions"]
            return str(sha256), {name: str(version) for name, version in versions.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None, {}


def _key(url: str, arch: str) -> str:
    return hashlib.sha256(f"{without_credentials(url)}\0{arch}".encode()).hexdigest()


def _version(name: str, entry: PlistDict) -> str:
    return str(entry["pkgver"])[len(name) + 1 :]


def _older(seen: Mapping[str, str], index: Index) -> list[str]:
    """What went back, in words, by name."""
    found = []
    for name in sorted(seen.keys() & index.keys()):
        then, now = seen[name], _version(name, index[name])
        if now == then or compare(now, then) >= 0 or then in _reverted(index[name]):
            continue
        found.append(f"{name}-{now} after {name}-{then}")
    return found


def _reverted(entry: PlistDict) -> list[str]:
    reverts = entry.get("reverts")
    return [one for one in reverts if isinstance(one, str)] if isinstance(reverts, list) else []
