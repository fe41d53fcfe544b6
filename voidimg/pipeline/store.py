"""The store: finished artifacts in the cache, each kept by what it was made from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from voidimg.artifacts.kind import MAIN, KindName
from voidimg.atomic import replace_by_file, write_out
from voidimg.errors import storing
from voidimg.fetch import Cache
from voidimg.foreign import read_regular
from voidimg.sandbox.caller import give

_RECORD_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished file of an image set: where it is, its size in bytes, its SHA-256.

    `cached` says that it was made by an earlier build from the very same inputs. `role` is empty
    for the file that the artifact is called by, and says what a side file is.
    """

    kind: KindName
    name: str
    path: Path
    size: int
    sha256: str
    cached: bool
    role: str = MAIN

    def as_json(self) -> dict[str, object]:
        """The artifact as a JSON-ready mapping."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What the record says of one file; the stamp detects later changes."""

    size: int
    sha256: str
    mtime_ns: int


Record = Mapping[str, StoredFile]
"""Role -> the file that has it; the main file first."""


class ArtifactStore:
    """Finished artifacts, each under the digest of all that it was made from.

    Layout: ``artifacts/<key>/content`` is the main file, ``content.<role>`` are side files, and
    ``record.json`` says what they are; the record is written last, so a directory without one is
    unfinished and counts as empty.
    """

    def __init__(self, cache: Cache):
        self._cache = cache

    def content_path(self, key: str, role: str = MAIN) -> Path:
        """Where the finished file of `key` with `role` goes."""
        return self._cache.part("artifacts", key, f"content.{role}" if role else "content")

    def keep(self, key: str, files: Mapping[str, Path], warnings: Sequence[str] = ()) -> Record:
        """Move the complete `files` (same file system) into the store under `key`.

        The `warnings` of making them are kept too: whoever takes them later is told the same.

        Their content is on the disk when this returns: after a power failure a file whose length
        and time are right could hold zeros, and would be taken for what the record says.
        """
        record = {role: self._keep_file(key, role, path) for role, path in files.items()}
        said = {
            "files": {role: asdict(one) for role, one in record.items()},
            "warnings": list(warnings),
        }
        stamp = self._cache.write_small(json.dumps(said).encode(), "artifacts", key, "record.json")
        with storing(stamp, "write"):
            give(stamp)
        return record

    def _keep_file(self, key: str, role: str, finished: Path) -> StoredFile:
        content = self.content_path(key, role)
        with storing(content, "write"):
            finished.chmod(0o644)
            for path in (content.parent.parent, content.parent, finished):
                give(path)
            status = finished.stat()
            stored = StoredFile(status.st_size, _sha256(finished), status.st_mtime_ns)
            write_out(finished)
            finished.replace(content)
        return stored

    def find(self, key: str) -> Record | None:
        """The record of `key` if the stored files are still those recorded; marks it as used."""
        stamp = self.content_path(key).with_name("record.json")
        try:
            with self._cache.gate(exclusive=False):
                text = read_regular(stamp, _RECORD_BYTES, follow=False)
                if not self._cache.is_own(stamp.lstat()):
                    return None
                said = json.loads(text)
                record = {role: StoredFile(**one) for role, one in said["files"].items()}
                os.utime(stamp)
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            return None
        sound = [self._is_sound(key, role, stored) for role, stored in record.items()]
        return record if sound and all(sound) else None

    def warnings(self, key: str) -> tuple[str, ...]:
        """What was warned of when the files of `key`, which `find` has found, were made."""
        stamp = self.content_path(key).with_name("record.json")
        try:
            said = json.loads(read_regular(stamp, _RECORD_BYTES, follow=False))["warnings"]
        except (OSError, ValueError, TypeError, KeyError):
            return ()
        return tuple(text for text in said if isinstance(text, str))

    def _is_sound(self, key: str, role: str, stored: StoredFile) -> bool:
        content = self.content_path(key, role)
        try:
            found = content.lstat()
        except FileNotFoundError:
            return False
        if not self._cache.is_own(found):
            with storing(content, "remove the file of another"):
                content.unlink()
            return False
        if (found.st_size, found.st_mtime_ns) == (stored.size, stored.mtime_ns):
            return True
        if found.st_size == stored.size and _sha256(content) == stored.sha256:
            return True
        with storing(content, "remove the changed file"):
            content.unlink()
        return False

    def publish(
        self,
        key: str,
        record: Record,
        kind: KindName,
        targets: Mapping[str, Path],
        *,
        cached: bool,
    ) -> tuple[Artifact, ...]:
        """Give the stored files of `key`, confirmed by `record`, the names `targets` (by role).

        Each atomically: a hard link where the file system allows it, else a copy.
        """
        return tuple(
            self._publish_file(key, role, stored, kind, targets[role], cached=cached)
            for role, stored in record.items()
        )

    def _publish_file(
        self, key: str, role: str, stored: StoredFile, kind: KindName, target: Path, *, cached: bool
    ) -> Artifact:
        content = self.content_path(key, role)
        with storing(target, "write"):
            target.parent.mkdir(parents=True, exist_ok=True)
            if not (target.exists() and target.samefile(content)):
                replace_by_file(target, content)
        return Artifact(kind, target.name, target, stored.size, stored.sha256, cached, role)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
