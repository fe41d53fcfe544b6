"""The sizes of the files of an image set, from its manifest: known before a file is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

MAX_SIZE_BYTES = 2**53
"""No file of an image set is larger."""


def signed_sizes(manifest: bytes, sha256: str) -> Mapping[str, int]:
    """File name -> size in bytes, as `manifest` tells; `sha256` is the signed one of it.

    A manifest that is not the signed one, or that another version writes in another form, tells
    nothing: then a file is judged by its SHA-256 alone, as in sets that have no manifest.
    """
    if hashlib.sha256(manifest).hexdigest() != sha256:
        return {}
    try:
        said = json.loads(manifest)
    except (ValueError, RecursionError):
        return {}
    return dict(_sizes(said))


def _sizes(said: Any) -> Iterator[tuple[str, int]]:
    if not isinstance(said, dict):
        return
    name, size = said.get("name"), said.get("size")
    if isinstance(name, str) and type(size) is int and 0 <= size <= MAX_SIZE_BYTES:
        yield name, size
    yield from _sizes(said.get("lock"))
    for key in ("artifacts", "side_files"):
        below = said.get(key)
        for one in below if isinstance(below, list) else ():
            yield from _sizes(one)
