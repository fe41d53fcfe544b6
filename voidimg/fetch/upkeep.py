"""Looking after the cache: how large it is, whether it is sound, and what may leave it.

All of it may run beside builds. A build under way is seen by its lock in ``users``; what was used
since the oldest of them began stays. Looking a file up marks it as used while the gate is held
shared, and removing looks at the marks again while it is held exclusively, so nobody is handed a
file that is about to vanish. Whatever is removed can be fetched or made again, so a run that is
killed in between does no harm.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from voidimg.errors import storing
from voidimg.events import Listener, Progress, ignore, step
from voidimg.fetch.cache import Cache, sha256_of
from voidimg.fetch.door import PARTS
from voidimg.file_locks import try_to_hold

_NAMED_BY_TREE = ("objects", "blocks")
"""Directories whose files are named by the first two digits of a SHA-256 and the other 62."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_BATCH = 64
"""So many entries are removed while the gate is held once."""


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What one kind of content takes: number of files and bytes on disk."""

    content: str
    files: int
    size: int

    def as_json(self) -> dict[str, object]:
        """The use as a JSON-ready mapping."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DamagedEntry:
    """A file of the cache that is not what it should be, below the cache directory."""

    path: str
    why: str
    size: int

    def as_json(self) -> dict[str, object]:
        """The entry as a JSON-ready mapping."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is kept or removed as a whole.

    `paths` are in the order in which they go, `stamp` is the one whose time is the last use.
    """

    paths: tuple[Path, ...]
    stamp: Path
    used_ns: int
    size: int


def measure_cache(cache: Cache) -> tuple[CacheUse, ...]:
    """What the cache takes, by what it holds.

    Raises:
        UsageError: the directory is no cache.
        StoreError: others could change what is in it.
    """
    cache.is_there()
    sums: dict[str, tuple[int, int]] = dict.fromkeys(PARTS.values(), (0, 0))
    for part, content in PARTS.items():
        files, size = disk_use(cache.directory / part)
        sums[content] = sums[content][0] + files, sums[content][1] + size
    return tuple(CacheUse(content, *found) for content, found in sums.items())


def disk_use(directory: Path) -> tuple[int, int]:
    """The number of files below `directory` and the bytes that they take on disk."""
    files = size = 0
    pending = [b""]
    with suppress(OSError):  # it may be gone by now
        top = os.open(directory, _DIRECTORY)
        try:
            while pending:
                for status in _below(top, pending.pop(), pending):
                    size += status.st_blocks * 512
                    files += 1
        finally:
            os.close(top)
    return files, size


def _below(top: int, path: bytes, pending: list[bytes]) -> Iterator[os.stat_result]:
    """The lstat of the files in the directory `path`; directories are put into `pending`.

    Whoever fills a tree could make it too deep for paths: what cannot be reached is not counted,
    and neither is what belongs to subordinate ids.
    """
    with suppress(OSError):
        fd = os.open(path or b".", _DIRECTORY, dir_fd=top)
        try:
            for name in os.listdir(fd):
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    pending.append(os.path.join(path, os.fsencode(name)))
                else:
                    yield status
        finally:
            os.close(fd)


def verify_cache(
    cache: Cache, *, jobs: int = 1, keep: bool = False, listener: Listener = ignore
) -> tuple[DamagedEntry, ...]:
    """Read every file whose content is known, and remove what is damaged unless `keep`.

    Packages and artifacts must have their SHA-256, compressed blocks the one that they begin
    with, indexes that of their stamp. A removed file is fetched or made again when it is needed.

    Raises:
        UsageError: the directory is no cache.
        StoreError: a damaged file cannot be removed, or others could change what is in it.
    """
    if not cache.is_there():
        return ()
    entries = [(path, part) for part in _CHECKS for path in _checked(cache, part)]
    total = len(entries)
    damaged: list[DamagedEntry] = []
    with step(listener, "verify the cache"), ThreadPoolExecutor(jobs) as pool:
        found = pool.map(lambda entry: _complaint(*entry), entries)
        for done, ((path, part), complaint) in enumerate(zip(entries, found, strict=True), 1):
            if complaint is not None:
                name = str(path.relative_to(cache.directory))
                damaged.append(DamagedEntry(name, complaint, _size(path)))
                if not keep:
                    _remove_damaged(cache, path, part)
            listener(Progress("verify the cache", done, total, "files"))
    return tuple(damaged)


def clear_cache(
    cache: Cache,
    *,
    max_bytes: int | None = None,
    older_seconds: int | None = None,
    listener: Listener = ignore,
) -> tuple[CacheUse, ...]:
    """Remove what is left over from killed runs, then what was unused for longest.

    The work of killed builds is not looked at here: see `voidimg.pipeline.workdir`.

    Args:
        cache: which.
        max_bytes: remove until the cache takes no more than this; None: no limit.
        older_seconds: remove what was not used for so long; None: no limit.
        listener: is told of the step.

    Returns:
        What was removed. What a build under way has used stays, whatever the limits say.

    Raises:
        UsageError: the directory is no cache.
        StoreError: something cannot be removed, or others could change what is in it.
    """
    if not cache.is_there():
        return ()
    started = time.time_ns()
    removed: dict[str, tuple[int, int]] = {}
    with step(listener, "clear the cache"):
        _take(
            cache, [(entry, "leftovers") for entry in _leftovers(cache, started)], started, removed
        )
        entries = sorted(_entries(cache), key=lambda pair: (pair[0].used_ns, pair[0].stamp))
        total = sum(use.size for use in measure_cache(cache))
        chosen = []
        for entry, content in entries:
            too_old = older_seconds is not None and entry.used_ns < started - older_seconds * 10**9
            too_much = max_bytes is not None and total > max_bytes
            if too_old or too_much:
                chosen.append((entry, content))
                total -= entry.size
        _take(cache, chosen, started, removed)
    return tuple(CacheUse(content, *found) for content, found in removed.items())


# --- removing ---


def _take(
    cache: Cache,
    chosen: Sequence[tuple[_Entry, str]],
    started_ns: int,
    removed: dict[str, tuple[int, int]],
) -> None:
    """Remove the chosen entries that nobody has used in the meantime."""
    for start in range(0, len(chosen), _BATCH):
        with cache.gate(exclusive=True):
            oldest = cache.users_since()
            limit = started_ns if oldest is None else min(started_ns, oldest)
            for entry, content in chosen[start : start + _BATCH]:
                if _used_ns(entry.stamp) < limit and _unlink(entry):
                    files, size = removed.get(content, (0, 0))
                    removed[content] = files + len(entry.paths), size + entry.size


def _unlink(entry: _Entry) -> bool:
    for path in entry.paths:
        with storing(path, "remove"):
            if path.suffix == ".part":
                return _unlink_abandoned(path)
            path.unlink(missing_ok=True)
            if path.parent.parent.name == "artifacts":
                # others are shared, and whoever writes may have made sure of them just now
                with suppress(OSError):
                    path.parent.rmdir()
    return True


def _unlink_abandoned(part: Path) -> bool:
    """Remove a download that nobody is writing, and let nobody begin meanwhile."""
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        if not try_to_hold(descriptor):
            return False
        part.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
    return True


def _remove_damaged(cache: Cache, path: Path, part: str) -> None:
    with cache.gate(exclusive=True), storing(path, "remove the damaged file"):
        if _complaint(path, part) is not None:  # it may have been made anew by now
            if part == "artifacts":
                path.with_name("record.json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)


# --- what is there ---


def _leftovers(cache: Cache, now_ns: int) -> Iterator[_Entry]:
    """What killed runs left: files being written, and downloads nobody went on with for a week."""
    week_ago = now_ns - 7 * 86400 * 10**9
    for path in _files(cache.directory / "incoming"):
        entry = _entry((path,), path)
        if path.suffix == ".new" or entry.used_ns < week_ago:
            yield entry
    for directory in _children(cache.directory / "artifacts"):
        contents = _contents(directory)
        if contents and not (directory / "record.json").exists():
            yield _entry(contents, contents[0])
    for path in _files(cache.directory / "blocks"):
        if path.suffix == ".part":
            yield _entry((path,), path)


def _entries(cache: Cache) -> Iterator[tuple[_Entry, str]]:
    """Everything that may be removed."""
    for path in _files(cache.directory / "objects"):
        signature = cache.directory / "signatures" / (path.parent.name + path.name)
        yield _entry((signature, path), path), "packages"
    for directory in _children(cache.directory / "artifacts"):
        record = directory / "record.json"
        if record.exists():
            yield _entry((record, *_contents(directory)), record), "artifacts"
    for part in ("blocks", "plans", "releases"):
        for path in _files(cache.directory / part):
            yield _entry((path,), path), PARTS[part]
    for directory in _children(cache.directory / "repodata"):
        stamp = directory / "stamp.json"
        yield _entry((stamp, directory / "content"), stamp), "indexes"
    for path in _files(cache.directory / "incoming"):
        if path.suffix == ".part":
            yield _entry((path,), path), "unfinished downloads"


def _contents(directory: Path) -> tuple[Path, ...]:
    """The main file and the side files of an artifact, as far as they are there."""
    return tuple(path for path in _children(directory) if path.name.startswith("content"))


def _entry(paths: tuple[Path, ...], stamp: Path) -> _Entry:
    there = tuple(path for path in paths if path.exists())
    return _Entry(there, stamp, _used_ns(stamp), sum(_blocks(path) for path in there))


def _used_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _blocks(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_blocks * 512
    return 0


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _files(directory: Path) -> Iterable[Path]:
    """Every file below `directory`, in order."""
    found = []
    pending = [directory]
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                else:
                    found.append(Path(entry.path))
    return sorted(found)


def _children(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


# --- checking ---


def _checked(cache: Cache, part: str) -> Iterable[Path]:
    if part in _NAMED_BY_TREE:
        return [path for path in _files(cache.directory / part) if path.suffix != ".part"]
    record = {"artifacts": "record.json", "repodata": "stamp.json"}[part]
    return [
        content
        for directory in _children(cache.directory / part)
        if (directory / record).exists()
        for content in _contents(directory)
    ]


def _complaint(path: Path, part: str) -> str | None:
    """What is wrong with a file, or None; a file that is gone is none."""
    try:
        return _CHECKS[part](path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError):
        return "what is recorded of it cannot be read"


def _check_object(path: Path) -> str | None:
    fits = sha256_of(path) == path.parent.name + path.name
    return None if fits else "its SHA-256 is not its name"


def _check_artifact(path: Path) -> str | None:
    record = json.loads(path.with_name("record.json").read_text())
    role = path.name.removeprefix("content").removeprefix(".")
    fits = sha256_of(path) == record["files"][role]["sha256"]
    return None if fits else "its SHA-256 is not the recorded one"


def _check_block(path: Path) -> str | None:
    stored = path.read_bytes()
    fits = hashlib.sha256(stored[32:]).digest() == stored[:32]
    return None if fits else "its SHA-256 is not the one it begins with"


def _check_repodata(path: Path) -> str | None:
    stamp = json.loads(path.with_name("stamp.json").read_text())
    return None if sha256_of(path) == stamp["sha256"] else "its SHA-256 is not that of its stamp"


_CHECKS = {
    "objects": _check_object,
    "artifacts": _check_artifact,
    "blocks": _check_block,
    "repodata": _check_repodata,
}
"""Directory of the cache -> what judges a file of it."""
