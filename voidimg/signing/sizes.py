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
    """Of the lock, of each artifact and of its side files."""
    if not isinstance(said, dict):
        return
    artifacts = _objects(said.get("artifacts"))
    beside = [one for artifact in artifacts for one in _objects(artifact.get("side_files"))]
    for one in (*_objects([said.get("lock")]), *artifacts, *beside):
        name, size = one.get("name"), one.get("size")
        if isinstance(name, str) and type(size) is int and 0 <= size <= MAX_SIZE_BYTES:
            yield name, size


def _objects(said: Any) -> list[dict[str, Any]]:
    return [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
