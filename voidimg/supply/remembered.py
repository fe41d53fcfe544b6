"""Locks as earlier runs resolved them: what comes from the same inputs is not resolved again.

The inputs are all that a resolution depends on: the repodata of every repository, the recipe, this
program, the keys that are trusted, and the stages. A lock is remembered only if there was nothing
to tell of its repositories, since a run that finds it does not look into them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from voidimg.errors import VoidimgError
from voidimg.spec.compose import ResolvedRecipe
from voidimg.spec.stages import PackageStage
from voidimg.supply.digest import digest, resolution_digest
from voidimg.supply.lock import Lock
from voidimg.supply.opened import state_digest
from voidimg.supply.state import RepositoryState

_DIGEST_BYTES = 32


def known_lock(
    resolved: ResolvedRecipe, state: RepositoryState, stages: Collection[PackageStage]
) -> Lock | None:
    """The lock that `stages` of `resolved` would get, if an earlier run made it; else None.

    None too if the caller wants to know what only a look into the repositories tells.

    Raises:
        FetchError: a repository cannot be read.
        VerifyError: a key file is none.
    """
    sources = state.sources
    if sources.require_consistent or sources.max_age_seconds is not None:
        return None
    path = _place(resolved, state, stages)
    try:
        stored = path.read_bytes()
        with suppress(PermissionError):  # a cache that another user filled
            os.utime(path)
    except FileNotFoundError:
        return None
    content = stored[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != stored[:_DIGEST_BYTES]:
        return None
    try:
        return Lock.decode(content, where=str(path))
    except VoidimgError:
        return None


def remember_lock(
    resolved: ResolvedRecipe, state: RepositoryState, stages: Collection[PackageStage], lock: Lock
) -> None:
    """Remember that `stages` of `resolved` were resolved to `lock` from the state's repositories.

    Raises:
        StoreError, DiskFullError: the cache cannot be written.
    """
    if any(one.repository.stage for one in state.open(resolved.recipe)):
        return
    path = _place(resolved, state, stages)
    content = lock.encode()
    names = path.relative_to(state.cache.directory).parts
    state.cache.write_small(hashlib.sha256(content).digest() + content, *names)


def _place(
    resolved: ResolvedRecipe, state: RepositoryState, stages: Collection[PackageStage]
) -> Path:
    trust = state.trust(resolved.recipe)
    inputs = [
        state_digest(state.files(resolved.recipe)),
        resolution_digest(resolved),
        sorted(trust.fingerprints),
        [[key.fingerprint, key.signed_by, key.pem.decode("latin-1")] for key in trust.of_tree()],
        list(stages),
    ]
    return state.cache.part("plans", digest(inputs))
