"""The door of the cache: what may be used as one, looked at before anything is read or written.

Whoever can write in a cache decides what is unpacked from it and what is removed below it. So a
cache belongs to its user alone: the directory, those above it, and those in it that are used are
the caller's (above it also root's), and nobody else can write there. Then no name in it can be
exchanged between a look and its use. And it carries a mark, so that no other directory of the
user's is ever cleared as a cache.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from voidimg.atomic import is_private_name
from voidimg.errors import StoreError, UsageError, storing
from voidimg.foreign import ForeignFileError, read_regular

MARK = "CACHEDIR.TAG"
"""The file that says what the directory is; backup programs leave such directories out."""

_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55\n"
_OURS = b"# This directory is a cache of voidimg. `voidimg cache gc` clears it.\n"
_MARK_BYTES = 4096

PARTS = {
    "objects": "packages",
    "signatures": "packages",
    "artifacts": "artifacts",
    "blocks": "compressed blocks",
    "plans": "plans",
    "releases": "results of releases",
    "repodata": "indexes",
    "incoming": "unfinished downloads",
    "keys": "keys",
    "versions": "versions seen",
    "seen": "indexes",
    "work": "work under way",
}
"""Directory of the cache -> what it holds."""

_OTHERS = frozenset({"users", "gate", "lint", "smoke", "inspect"})
_WORK = "work"
_ALONE = "a cache is its user's alone, see docs/trust.md: "


def require_ours(directory: Path) -> bool:
    """Ensure that `directory` is a cache of the caller's own, or can become one.

    Returns:
        Whether it is there.

    Raises:
        UsageError: something else is there.
        StoreError: another user owns it, one that it is in or one in it, or can write there.
    """
    for place in _above(directory):
        _require_own_place(place, directory)
    try:
        found = os.stat(directory)
    except FileNotFoundError:
        if os.path.islink(directory):
            raise _no_cache(directory, "it is a symbolic link to nothing") from None
        return False
    if not stat.S_ISDIR(found.st_mode):
        raise _no_cache(directory, "it is no directory")
    with storing(directory, "read the cache directory"):
        names = sorted(os.listdir(directory))
    _require_marked(directory, names)
    if names or found.st_uid != os.geteuid():  # an empty one becomes a new cache
        _require_own(directory, directory, found)
    for place in _below(directory, names):
        _require_own(place, directory, os.lstat(place))
    return True


def make_directory(directory: Path) -> None:
    """Make `directory` for the caller alone, and those above it; without the mark yet.

    Raises:
        UsageError: something else is there.
        StoreError: it cannot be made, or others can write there.
    """
    if not require_ours(directory):
        make_private(directory, of=directory)
    found = os.stat(directory)
    if _others_can_write(directory, found):  # it was empty, like a file system just mounted there
        with storing(directory, "make the cache its user's alone"):
            os.chmod(directory, 0o700)
        require_ours(directory)


def make_cache(directory: Path) -> None:
    """Make `directory` as `make_directory` does, and put the mark into it.

    Raises:
        UsageError: something else is there.
        StoreError: it cannot be made, or others can write there.
    """
    make_directory(directory)
    mark = directory / MARK
    if not mark.exists():
        with storing(mark, "write"):
            descriptor, new = tempfile.mkstemp(prefix=f".{MARK}.", dir=directory)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(_SIGNATURE + _OURS)
                os.replace(new, mark)
            except BaseException:
                os.unlink(new)
                raise


def make_private(directory: Path, of: Path) -> None:
    """Make `directory` and those above it that are missing; nobody else may enter `of`, a cache.

    Those above the cache are not ours: the caller may put images there, for others to read. So
    they get the umask's mode, but never one that lets others write.

    Raises:
        StoreError: it cannot be made.
    """
    missing = []
    place = directory
    while not place.exists() and place != place.parent:
        missing.append(place)
        place = place.parent
    with storing(directory, "create the cache directory"):
        for one in reversed(missing):
            one.mkdir(mode=0o700 if one.is_relative_to(of) else 0o755, exist_ok=True)
        if not directory.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))


def is_own_file(found: os.stat_result) -> bool:
    """Whether `found` is of a regular file that the caller alone can have written."""
    own = found.st_uid == os.geteuid()
    return own and stat.S_ISREG(found.st_mode) and not found.st_mode & stat.S_IWOTH


def _require_marked(directory: Path, names: list[str]) -> None:
    """Refuse what holds something, but no mark, and is not a cache of before there were marks."""
    if not names or _is_marked(directory):
        return
    # a run may have been killed before it wrote the mark, or while it tried the file system
    foreign = [name for name in names if name not in PARTS and name not in _OTHERS]
    foreign = [name for name in foreign if not _is_left_over(name)]
    if foreign or not ("gate" in names or set(names).isdisjoint(PARTS)):
        first = repr((foreign or names)[0])
        raise _no_cache(directory, f"it has no {MARK} of ours, and holds {first}")


def _is_left_over(name: str) -> bool:
    """Whether `name` is what a run of ours that was killed leaves in a new cache."""
    return name.startswith(f".{MARK}.") or is_private_name(name)


def _is_marked(directory: Path) -> bool:
    try:
        return _OURS in read_regular(directory / MARK, _MARK_BYTES, follow=False)
    except (FileNotFoundError, ForeignFileError):
        return False
    except OSError as error:
        raise StoreError(
            f"the cache {directory} cannot be read: {error.strerror}",
            code="CACHE",
            where=str(directory),
            hint="choose another directory with --cache",
        ) from error


def _no_cache(directory: Path, why: str) -> UsageError:
    return UsageError(
        f"{directory} is no cache of voidimg: {why}",
        code="CACHE",
        where=str(directory),
        hint="choose an empty or new directory with --cache; nothing was changed",
    )


def _above(directory: Path) -> Iterator[Path]:
    """The directories in which a name leads to `directory`, and those in which links lead on."""
    yielded = set()
    for path in (Path(os.path.abspath(directory)), Path(os.path.realpath(directory))):
        for place in path.parents:
            if place not in yielded:
                yielded.add(place)
                yield place


def _below(directory: Path, names: list[str]) -> Iterator[Path]:
    """The parts of the cache and the directories in them; trees of `work` have owners of theirs."""
    for name in names:
        if name not in PARTS and name != "users":
            continue
        place = directory / name
        yield place
        if name != _WORK and not place.is_symlink():
            with suppress(OSError), os.scandir(place) as entries:
                yield from (
                    Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)
                )


def _require_own_place(place: Path, cache: Path) -> None:
    """Refuse a directory in which another user could put something else in the cache's place."""
    try:
        found = os.stat(place)
    except OSError:
        return  # not there, or not to be entered: then neither is the cache
    safe = {0, os.geteuid(), *_nobody_here()}
    if found.st_uid not in safe:
        raise _of_another(place, cache, found)
    if not found.st_mode & stat.S_ISVTX and _others_can_write(place, found):
        raise _writable(place, cache, found)


def _require_own(place: Path, cache: Path, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode):
        raise StoreError(
            f"{place} is no directory, so nothing of the cache is used",
            code="CACHE-OWNER",
            where=str(cache),
            hint="remove it, or choose another directory with --cache",
        )
    if found.st_uid != os.geteuid():
        raise _of_another(place, cache, found)
    if _others_can_write(place, found):
        raise _writable(place, cache, found)


def _others_can_write(place: Path, found: os.stat_result) -> bool:
    if found.st_mode & stat.S_IWOTH:
        return True
    if not found.st_mode & stat.S_IWGRP:
        return False
    with suppress(OSError):  # with an access control list these bits are its mask
        os.getxattr(place, "system.posix_acl_access")
        return True
    return not _is_private_group(found.st_gid, found.st_uid)


def _is_private_group(gid: int, uid: int) -> bool:
    """Whether a group is that of one user alone, or root's."""
    if gid == 0:
        return not _members(0)
    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    return user.pw_gid == gid and user.pw_name == group.gr_name and not _members(gid)


def _members(gid: int) -> set[str]:
    try:
        return set(grp.getgrgid(gid).gr_mem) - {"root"}
    except KeyError:
        return set()


def _nobody_here() -> set[int]:
    """The id that stands for owners who have none here: in a user namespace, who made it all."""
    with suppress(OSError, ValueError):
        words = Path("/proc/self/uid_map").read_text().split()
        if words != ["0", "0", str(2**32 - 1)]:
            return {int(Path("/proc/sys/kernel/overflowuid").read_text())}
    return set()


def _of_another(place: Path, cache: Path, found: os.stat_result) -> StoreError:
    whose = f"the user {found.st_uid}"
    with suppress(KeyError):
        whose = pwd.getpwuid(found.st_uid).pw_name
    what = "the cache" if place == cache else f"{place}, which leads to the cache or is in it,"
    return StoreError(
        f"{what} belongs to {whose}, who could exchange what is in it",
        code="CACHE-OWNER",
        where=str(cache),
        hint=_ALONE + "choose another directory with --cache",
    )


def _writable(place: Path, cache: Path, found: os.stat_result) -> StoreError:
    what = "the cache" if place == cache else f"{place}, which leads to the cache or is in it,"
    return StoreError(
        f"others can write in {what}".rstrip(",") + f": its mode is {found.st_mode & 0o7777:04o}",
        code="CACHE-MODE",
        where=str(cache),
        hint=_ALONE + f"chmod go-w {place}, or choose another directory with --cache;"
        " remove the cache if others have been there",
    )
