"""Artifacts: their names, and the store that keeps finished ones by what they were made from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from voidimg.disk.compress import Compression
from voidimg.errors import UsageError, storing
from voidimg.fetch import Cache
from voidimg.identity import ReleaseDate
from voidimg.pipeline.outputs import replace_by_bytes, replace_by_file, write_out
from voidimg.spec.model import WSL_ARCHES, Recipe

Kind = Literal["rootfs", "platformfs", "image", "wsl", "iso", "netboot"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What `build` can make, in the order in which it is made."""

_ASKED_FOR = frozenset({"wsl", "netboot"})
"""Made only when asked for: they are not part of Void's image sets by default."""

LIVE_KINDS: frozenset[Kind] = frozenset({"iso", "netboot"})
"""What is made of the tree of a live system."""

_TREE_STAGE = {"rootfs": "ROOTFS", "platformfs": "PLATFORMFS"}


def artifact_name(kind: Kind, recipe: Recipe, date: ReleaseDate, suffix: str) -> str:
    """Void's file name of an artifact; `suffix` is that of the compression (``.xz``, ``""``).

    An ISO and a netboot tarball have their compression inside, so theirs is always the same; WSL
    looks into its file, so that its suffix never changes.
    """
    if kind == "netboot":
        return f"void-{recipe.arch}-NETBOOT-{date}.tar.gz"
    if kind == "wsl":
        return f"void-{recipe.arch}-{date}.wsl"
    if kind == "iso":
        return f"void-live-{recipe.arch}-{date}-{recipe.profile}.iso"
    if kind == "image":
        return f"void-{recipe.platform}-{date}.img{suffix}"
    subject = recipe.arch if kind == "rootfs" else recipe.platform
    return f"void-{subject}-{_TREE_STAGE[kind]}-{date}.tar{suffix}"


def lock_name(recipe: Recipe, date: ReleaseDate, kinds: Collection[Kind] = ()) -> str:
    """The file name of the lock that is written beside the artifacts `kinds` of a platform."""
    if set(kinds) == {"wsl"}:
        return f"void-{recipe.arch}-{date}.wsl.lock.json"
    if set(kinds) == {"netboot"}:
        return f"void-{recipe.arch}-NETBOOT-{date}.lock.json"
    if kinds and LIVE_KINDS.issuperset(kinds):
        return f"void-live-{recipe.arch}-{date}-{recipe.profile}.lock.json"
    return f"void-{recipe.platform}-{date}.lock.json"


def parse_kinds(words: Collection[str]) -> tuple[Kind, ...]:
    """The artifacts that `words` name, in the order in which they are made.

    Raises:
        UsageError: there is no such artifact.
    """
    unknown = sorted(set(words) - set(KINDS))
    if unknown:
        raise UsageError(
            f"there is no artifact {unknown[0]!r}",
            code="ARTIFACT",
            where="--artifact",
            hint=f"choose from {', '.join(KINDS)}",
        )
    return tuple(kind for kind in KINDS if kind in words)


def kinds_of(recipe: Recipe, asked: Sequence[Kind] = ()) -> tuple[Kind, ...]:
    """The artifacts to make of `recipe`: those `asked` for, else all that it has.

    Raises:
        UsageError: an artifact is asked for that the recipe has not.
    """
    for kind in asked:
        reason = _why_not(kind, recipe)
        if reason is not None:
            raise UsageError(
                f"{recipe.platform} with {recipe.profile} has no {kind}: {reason}",
                code="ARTIFACT",
                where=f"--artifact {kind}",
            )
    if asked:
        return tuple(asked)
    # What a live platform is for is the ISO; nobody unpacks its PLATFORMFS on a board.
    live_only = recipe.live is not None and recipe.disk is None
    return tuple(
        kind
        for kind in KINDS
        if _why_not(kind, recipe) is None
        and kind not in _ASKED_FOR
        and not (live_only and kind == "platformfs")
    )


def _why_not(kind: Kind, recipe: Recipe) -> str | None:
    if kind == "image" and recipe.disk is None:
        return "the platform file has no [disk]"
    if kind in LIVE_KINDS and recipe.live is None:
        return "its platform or profile file has no [live]"
    if kind == "netboot" and recipe.live is not None and recipe.live.netboot is None:
        return "the platform file has no [live.netboot]"
    if kind == "wsl" and recipe.wsl is None:
        return "the profile file has no [wsl]"
    if kind == "wsl" and recipe.arch.removesuffix("-musl") not in WSL_ARCHES:
        return f"WSL is for {' and '.join(WSL_ARCHES)}"
    return None


def require_compression(kinds: Collection[Kind], compression: Compression) -> None:
    """Raise for a compression that an artifact of `kinds` cannot have.

    WSL 2 happens to read Zstandard, WSL 1 does not; its makers support gzip and xz (microsoft/WSL,
    pull request 12818).

    Raises:
        UsageError: WSL does not read it.
    """
    if "wsl" in kinds and compression.kind == "zstd":
        raise UsageError(
            "WSL does not read every file that is compressed with zstd",
            code="COMPRESSION",
            where="--compression",
            hint="build it with xz or none",
        )


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished artifact: where it is, its size in bytes, its SHA-256.

    `cached` says that it was made by an earlier build from the very same inputs.
    """

    kind: Kind
    name: str
    path: Path
    size: int
    sha256: str
    cached: bool

    def as_json(self) -> dict[str, object]:
        """The artifact as a JSON-ready mapping."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True, slots=True)
class Record:
    """What `record.json` beside a stored artifact says; the stamp detects later changes."""

    size: int
    sha256: str
    mtime_ns: int


class ArtifactStore:
    """Finished artifacts in the cache, each under the digest of all that it was made from.

    Layout: ``artifacts/<key>/content`` and ``artifacts/<key>/record.json``; the record is written
    last, so a directory without one is unfinished and counts as empty.
    """

    def __init__(self, cache: Cache):
        self._cache = cache

    def content_path(self, key: str) -> Path:
        """Where the finished file of `key` goes."""
        return self._cache.part("artifacts", key, "content")

    def keep(self, key: str, finished: Path) -> Record:
        """Move the complete file `finished` (same file system) into the store under `key`.

        Its content is on the disk when this returns: after a power failure a file whose length and
        time are right could hold zeros, and would be taken for what the record says.
        """
        content = self.content_path(key)
        with storing(content, "write"):
            finished.chmod(0o644)
            record = Record(
                size=finished.stat().st_size,
                sha256=_sha256(finished),
                mtime_ns=finished.stat().st_mtime_ns,
            )
            write_out(finished)
            finished.replace(content)
        text = json.dumps(asdict(record), sort_keys=True)
        self._cache.write_small(text.encode(), "artifacts", key, "record.json")
        return record

    def find(self, key: str) -> Record | None:
        """The record of `key` if the stored file is still the one recorded; marks it as used."""
        content = self.content_path(key)
        stamp = content.with_name("record.json")
        try:
            with self._cache.gate(exclusive=False):
                record = Record(**json.loads(stamp.read_text()))
                found = content.stat()
                with suppress(PermissionError):  # a cache that another user filled
                    os.utime(stamp)
        except (OSError, ValueError, TypeError):
            return None
        if (found.st_size, found.st_mtime_ns) == (record.size, record.mtime_ns):
            return record
        if found.st_size == record.size and _sha256(content) == record.sha256:
            return record
        with storing(content, "remove the changed file"):
            content.unlink()
        return None

    def publish(
        self, key: str, record: Record, kind: Kind, target: Path, *, cached: bool
    ) -> Artifact:
        """Give the stored file of `key`, confirmed by `record`, the name `target`, atomically.

        A hard link where the file system allows it, else a copy.
        """
        content = self.content_path(key)
        with storing(target, "write"):
            target.parent.mkdir(parents=True, exist_ok=True)
            if not (target.exists() and target.samefile(content)):
                replace_by_file(target, content)
        return Artifact(kind, target.name, target, record.size, record.sha256, cached)


def write_atomically(target: Path, content: bytes) -> None:
    """Write a small output (a lock) by rename, mode 0644."""
    with storing(target, "write"):
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_by_bytes(target, content)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
