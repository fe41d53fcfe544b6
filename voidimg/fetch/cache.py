"""The content-addressed cache: files kept under their SHA-256, shared by builds and processes.

On disk (all names below the cache directory)::

    objects/ab/cdef...      a file whose SHA-256 is abcdef..., mode 0444, complete and verified
    incoming/<sha256>.part  a download under way or interrupted; locked by the one who writes it
    incoming/*.new          a file being copied in; left behind only by a crash
    repodata/<key>/         the last repodata of a repository, for conditional requests
    signatures/<sha256>     the .sig2 that came with the package of that SHA-256
    keys/<fingerprint>      public keys of repositories, as key plists
    versions/<key>          what a repository had when it was used last: it must not go back
    releases/<key>          what was found of a finished file: what its lint and its boots said
    seen/<digest>           of when the newest repodata of a repository was; never cleared
    users/*                 one file for each build under way, locked by it
    gate                    held shared by who looks a file up, exclusively by who removes some
    work/                   what runs are at
    CACHEDIR.TAG            the mark: this is a cache of voidimg

The cache is its user's alone: see `voidimg.fetch.door`.

Files appear by rename only, so a crash at any moment leaves either the whole file or none. What
is used gets the present time as its modification time, and files used since the oldest build
under way began are not removed: see `voidimg.fetch.upkeep`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from voidimg.errors import DiskFullError, UsageError, storing
from voidimg.fetch import door
from voidimg.file_locks import held, hold, try_to_hold
from voidimg.units import format_size

_HEX = frozenset("0123456789abcdef")


class Cache:
    """The cache in `directory`, which is created on first use.

    With `entered` the caller has been through the door already: in the namespace of a worker the
    owners of files have other ids, by which nothing can be judged.
    """

    def __init__(self, directory: Path, *, entered: bool = False):
        self.directory = directory
        self._entered = self._inside = entered

    def enter(self) -> None:
        """Make the cache if need be, once; it is the caller's alone.

        Raises:
            UsageError: something else is there.
            StoreError: others could change what is in it, or it cannot be made.
        """
        if not self._entered:
            door.make_cache(self.directory)
            self._entered = True

    def make_directory(self) -> None:
        """Make its directory if need be, for the caller alone; raises as `enter` does.

        Without the mark: a place that turns out to be unfit is left as it was.
        """
        door.make_directory(self.directory)

    def is_there(self) -> bool:
        """Whether there is a cache; raises as `enter` does, and makes nothing."""
        return door.require_ours(self.directory)

    def scratch(self) -> Path:
        """The directory for what runs are at, such as unpacked images."""
        return self.part("work", "x").parent

    def part(self, *names: str) -> Path:
        """The path of a file of the cache; its directory exists.

        Raises:
            UsageError, StoreError: as `enter` does.
        """
        self.enter()
        path = self.directory.joinpath(*names)
        if not path.parent.is_dir():
            door.make_private(path.parent, of=self.directory)
        return path

    def object_path(self, sha256: str) -> Path:
        """Where the file with this SHA-256 is or would be.

        Raises:
            UsageError: not 64 lower-case hex digits (the value may come from an index).
        """
        if len(sha256) != 64 or not _HEX.issuperset(sha256):
            raise UsageError(f"{sha256!r} is not a SHA-256", code="SHA256", where="cache")
        return self.part("objects", sha256[:2], sha256[2:])

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While the block runs, nothing is removed from the cache that it has used."""
        directory = self.part("users", "x").parent
        with self.gate(exclusive=True), storing(directory, "write"):
            self.users_since()
            descriptor, text = tempfile.mkstemp(dir=directory)
            hold(descriptor)
        try:
            yield
        finally:
            Path(text).unlink(missing_ok=True)
            os.close(descriptor)

    def users_since(self) -> int | None:
        """When the oldest build under way began (nanoseconds since 1970); hold the gate.

        What killed builds left of themselves is removed.
        """
        began = []
        for path in sorted(self.part("users", "x").parent.iterdir()):
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # a build that ends at this moment takes its file away without the gate
            try:
                if try_to_hold(descriptor):
                    path.unlink(missing_ok=True)
                else:
                    began.append(os.fstat(descriptor).st_mtime_ns)
            finally:
                os.close(descriptor)
        return min(began, default=None)

    @contextmanager
    def gate(self, *, exclusive: bool) -> Iterator[None]:
        """Hold the gate between those who look files up and those who remove them; be quick."""
        path = self.part("gate")
        with storing(path, "open"):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with held(descriptor, shared=not exclusive):
            yield

    def find(self, sha256: str, size: int) -> Path | None:
        """The cached file, or None; one that is damaged is removed.

        A sound file of another size stays: then `size` is wrong, which may come from an index.
        """
        path = self.object_path(sha256)
        with self.gate(exclusive=False):
            try:
                found = path.lstat()
                os.utime(path, follow_symlinks=False)
            except (FileNotFoundError, PermissionError):
                return None
        if found.st_size == size and self.is_own(found):
            return path
        self.keep_if_sound(sha256)
        return None

    def keep_if_sound(self, sha256: str) -> bool:
        """Whether the file with this SHA-256 is there and has it; another one is removed."""
        path = self.object_path(sha256)
        with storing(path, "read"):
            try:
                if self._is_sound(path, sha256):
                    return True
                with self.gate(exclusive=True):
                    if not self._is_sound(path, sha256):  # it may have been made anew by now
                        path.unlink()
            except FileNotFoundError:
                pass
        return False

    def _is_sound(self, path: Path, sha256: str) -> bool:
        return self.is_own(path.lstat()) and sha256_of(path) == sha256

    def is_own(self, found: os.stat_result) -> bool:
        """Whether nobody else has written a file; one that came with a copied cache is not."""
        return self._inside or door.is_own_file(found)

    def adopt(self, part: Path, sha256: str) -> Path:
        """Make the complete and verified file `part` (in this cache) the object `sha256`."""
        path = self.object_path(sha256)
        with storing(path, "write"):
            part.chmod(0o444)
            part.replace(path)
        return path

    def keep_bytes(self, content: bytes) -> str:
        """Keep `content` as an object; returns its SHA-256, in hex."""
        sha256 = hashlib.sha256(content).hexdigest()
        if self.find(sha256, len(content)) is None:
            with self.new_file(sha256) as (file, new):
                file.write(content)
                file.flush()
                self.adopt(new, sha256)
        return sha256

    @contextmanager
    def new_file(self, name: str) -> Iterator[tuple[IO[bytes], Path]]:
        """A private file in `incoming`; it is gone afterwards unless it was renamed."""
        directory = self.part("incoming", name).parent
        with storing(directory / name, "write"):
            descriptor, text = tempfile.mkstemp(suffix=".new", prefix=f"{name}.", dir=directory)
            path = Path(text)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    yield file, path
            finally:
                path.unlink(missing_ok=True)

    def write_small(self, content: bytes, *names: str) -> Path:
        """Write a small file of the cache atomically."""
        path = self.part(*names)
        with self.new_file(names[-1]) as (file, new):
            file.write(content)
            file.flush()
            new.replace(path)
        return path

    def require_room(self, needed_bytes: int, purpose: str) -> None:
        """Check that the file system of the cache can take `needed_bytes` more.

        Raises:
            DiskFullError: it cannot; nothing was written.
        """
        require_room(self.part("incoming").parent, needed_bytes, purpose)


def sha256_of(path: Path) -> str:
    """The SHA-256 of the file `path`, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_room(directory: Path, needed_bytes: int, purpose: str) -> None:
    """Check that the file system that holds `directory` has `needed_bytes` free.

    Raises:
        DiskFullError: it has not; says how much is needed, free, and for what.
    """
    existing = directory
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise DiskFullError(
            f"{purpose} needs {format_size(needed_bytes)} in {directory}, "
            f"but only {format_size(free)} are free",
            code="FORESEEN",
            where=str(directory),
            hint="free some space, or choose another --cache and --out directory",
        )
