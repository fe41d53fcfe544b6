"""Keeps compressed blocks by what they hold, so that an unchanged block is compressed only once.

One file for each block, named by the SHA-256 of settings and content. It begins with the SHA-256
of what follows, so a block that a crash or a bad disk damaged is not believed but made again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import storing
from voidimg.sandbox.caller import give, make_directory

PART = ".part"
"""Ending of a block that is being written, or that a killed build left half written."""


@dataclass(frozen=True, slots=True)
class BlockCache:
    """The compressed blocks below `directory`, made on first use.

    A block that is used gets the present time as its modification time, so whoever limits the
    size of the cache can remove the files unused for longest. Any file may be removed at any time.
    """

    directory: Path

    def get(self, settings: str, content: bytes) -> bytes | None:
        """The compressed form of `content`, or None when it is not there or damaged."""
        path = self._path(settings, content)
        try:
            stored = path.read_bytes()
            if hashlib.sha256(stored[32:]).digest() != stored[:32]:
                return None
            os.utime(path)
        except OSError:
            return None
        return stored[32:]

    def put(self, settings: str, content: bytes, compressed: bytes) -> None:
        """Keep `compressed`; it appears at once and whole.

        Raises:
            StoreError: it cannot be written.
        """
        path = self._path(settings, content)
        with storing(path, "keep the compressed block"):
            make_directory(path.parent)
            # Two runs that make the same block write the same bytes: the later one wins
            # harmlessly. Process ids do not tell them apart, each has its own pid namespace.
            descriptor, part = tempfile.mkstemp(PART, dir=self.directory)
            try:
                os.fchmod(descriptor, 0o644)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(hashlib.sha256(compressed).digest() + compressed)
                give(Path(part))
                os.replace(part, path)
            except BaseException:
                os.unlink(part)
                raise

    def _path(self, settings: str, content: bytes) -> Path:
        digest = hashlib.sha256(settings.encode() + b"\0")
        digest.update(content)
        name = digest.hexdigest()
        return self.directory / name[:2] / name[2:]
