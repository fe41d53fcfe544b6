"""What earlier runs found out about a release, kept in the cache as small JSON values.

Each value begins with its own SHA-256: what a power failure cut off counts as not there.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress

from voidimg.errors import StoreError, storing
from voidimg.fetch import Cache
from voidimg.foreign import read_regular
from voidimg.supply.digest import digest

_PART = "releases"
_MAX_BYTES = 64 * 2**20
_DIGEST_BYTES = 32


def recall(cache: Cache, key: object) -> object | None:
    """What was remembered under `key`, a JSON-ready value; None when nothing was."""
    path = cache.part(_PART, digest(key))
    try:
        with storing(path, "read"):
            stored = read_regular(path, _MAX_BYTES, follow=False)
            if not cache.is_own(path.lstat()):
                return None
    except StoreError:
        return None
    with suppress(OSError):
        os.utime(path)
    content = stored[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != stored[:_DIGEST_BYTES]:
        return None
    found: object = json.loads(content)
    return found


def remember(cache: Cache, key: object, value: object) -> None:
    """Keep the JSON-ready `value` under `key`, in place of what was there.

    Raises:
        StoreError, DiskFullError: the cache cannot be written.
    """
    content = json.dumps(value, sort_keys=True).encode()
    cache.write_small(hashlib.sha256(content).digest() + content, _PART, digest(key))


def forget(cache: Cache, key: object) -> None:
    """Remove what was remembered under `key`."""
    path = cache.part(_PART, digest(key))
    with storing(path, "remove"):
        path.unlink(missing_ok=True)
