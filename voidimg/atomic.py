"""Files appear whole or not at all, and killed runs leave none of theirs behind."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from voidimg.errors import storing

_LINK = ".link"


def require_writable(directory: Path) -> None:
    """Ensure that files can be made in `directory`, or where it would be made; nothing is left.

    Raises:
        StoreError: they cannot.
    """
    with storing(directory, "write to"):
        existing = directory
        while not existing.exists():
            existing = existing.parent
        with tempfile.TemporaryFile(dir=existing):
            pass


def replace_by_file(target: Path, content: Path) -> None:
    """Give the file `content` also the name `target`, atomically: a hard link, else a copy.

    Raises:
        OSError: it cannot be written.
    """
    with _new_file(target) as new:
        link = new.with_name(new.name + _LINK)
        try:
            os.link(content, link)
        except OSError:
            shutil.copyfile(content, new)
            write_out(new)
            new.replace(target)
        else:
            link.replace(target)


def replace_by_bytes(target: Path, content: bytes) -> None:
    """Make `content` the content of the file `target`, atomically, mode 0644.

    Raises:
        OSError: it cannot be written.
    """
    with _new_file(target) as new:
        new.write_bytes(content)
        new.replace(target)


def write_out(path: Path) -> None:
    """Wait until the content of the file `path` is on the disk.

    Raises:
        OSError: it cannot be written there.
    """
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """An empty file beside `target`, mode 0644; gone afterwards unless it was renamed.

    It is locked while the block runs, which tells it from those that killed builds left.
    """
    _remove_abandoned(target)
    descriptor, new = _make_locked(target)
    try:
        os.fchmod(descriptor, 0o644)
        yield new
    finally:
        with suppress(FileNotFoundError):
            _remove(new)
        os.close(descriptor)


def _make_locked(target: Path) -> tuple[int, Path]:
    while True:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.exists(name):
            return descriptor, Path(name)
        os.close(descriptor)  # another build found it before it was locked, and removed it


def _remove_abandoned(target: Path) -> None:
    for path in sorted(target.parent.glob(f".{target.name}.*")):
        if path.name.endswith(_LINK):
            continue
        # What is not ours to open is not ours to remove; what is gone has been removed.
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(path)
            finally:
                os.close(descriptor)


def _remove(new: Path) -> None:
    new.with_name(new.name + _LINK).unlink(missing_ok=True)
    new.unlink()


def write_atomically(target: Path, content: bytes) -> None:
    """Write a small output (a lock, a record) by rename, mode 0644; its directory is made.

    Raises:
        StoreError: it cannot be written.
    """
    with storing(target, "write"):
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_by_bytes(target, content)
