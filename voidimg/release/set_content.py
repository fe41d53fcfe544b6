"""Reads what an image set is, from its directory or from a server, so that it can be compared.

Nobody's signature is asked here: `voidimg verify` does that. What is read is bounded, the lock must
be the one that the manifest lists, and names are only compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from voidimg.artifact_names import MANIFEST_NAME, date_of_name
from voidimg.errors import ReleaseError, storing
from voidimg.fetch.published import Published
from voidimg.foreign import read_regular
from voidimg.release.manifest import MAX_MANIFEST_BYTES, Manifest
from voidimg.release.set_difference import SetContent
from voidimg.signing.sums import MAX_SUMS_BYTES, SUMS_NAME, decode_sums
from voidimg.supply.lock import MAX_LOCK_BYTES, Lock

_LOCK_SUFFIX = ".lock.json"
Read = Callable[[str, int], bytes | None]
"""Gives the content of a file of the set, of so many bytes at most; None when it is not there."""


def read_set(where: str) -> SetContent:
    """What the image set at `where`, a directory or a URL, is; of a URL a manifest may be named.

    Raises:
        UsageError: it is not the URL of a server.
        FetchError: the server does not answer properly.
        ReleaseError: it has neither a manifest nor checksums, or they do not fit each other.
        SpecError: its lock is none.
        StoreError: it cannot be read.
    """
    if "://" in where:
        place = Published.at(where, where="URL")
        if place.name == MANIFEST_NAME:
            place = place.parent
        return _content(str(place), place.read, lambda _name: None)
    directory = Path(where)

    def read(name: str, limit: int) -> bytes | None:
        path = directory / name
        if not path.exists():
            return None
        with storing(path, "read"):
            return read_regular(path, limit, follow=False)

    def size_of(name: str) -> int | None:
        path = directory / name
        return path.lstat().st_size if path.exists() else None

    return _content(str(directory), read, size_of)


def _content(name: str, read: Read, size_of: Callable[[str], int | None]) -> SetContent:
    found = read(MANIFEST_NAME, MAX_MANIFEST_BYTES)
    if found is not None:
        manifest = Manifest.decode(found, f"{name}/{MANIFEST_NAME}")
        rows = [one for artifact in manifest.artifacts for one in (artifact, *artifact.side_files)]
        lock = _lock(name, read, manifest.lock.name, manifest.lock.sha256)
        return SetContent(
            name,
            manifest.date,
            {one.name: one.size for one in rows},
            {one.name: one.sha256 for one in rows},
            manifest,
            lock,
        )
    sums = read(SUMS_NAME, MAX_SUMS_BYTES)
    if sums is None:
        raise ReleaseError(
            f"there is neither {MANIFEST_NAME} nor {SUMS_NAME}",
            code="NO-SET",
            where=name,
            hint="name the directory or URL of a finished image set",
        )
    digests = decode_sums(sums, f"{name}/{SUMS_NAME}")
    return _without_manifest(name, digests, read, size_of)


def _without_manifest(
    name: str, digests: Mapping[str, str], read: Read, size_of: Callable[[str], int | None]
) -> SetContent:
    """A set that says no more of itself than its checksums: Void's, or one of `voidimg build`."""
    locks = [one for one in sorted(digests) if one.endswith(_LOCK_SUFFIX)]
    dates = {date_of_name(one) for one in digests} - {None}
    read_locks = [_lock(name, read, one, digests[one]) for one in locks]
    return SetContent(
        name,
        next(iter(dates)) if len(dates) == 1 else None,
        {one: size_of(one) for one in digests if one not in locks},
        {one: digest for one, digest in digests.items() if one not in locks},
        None,
        Lock.joined(read_locks) if read_locks else None,
    )


def _lock(name: str, read: Read, file: str, sha256: str) -> Lock:
    content = read(file, MAX_LOCK_BYTES)
    where = f"{name}/{file}"
    if content is None:
        raise ReleaseError("the lock of the image set is missing", code="NO-LOCK", where=where)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ReleaseError(
            "the lock is not the one that the image set lists",
            code="OTHER-LOCK",
            where=where,
            hint="`voidimg verify` says what else differs",
        )
    return Lock.decode(content, where)
