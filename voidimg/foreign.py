"""The one way in which files that others made are opened: regular, bounded, and without waiting.

A path that a user, a mirror, a bundle or an image set names may lead to anything: a pipe without
a writer waits for ever, `/dev/zero` never ends, a sparse file of a terabyte fills memory, opening
a tape rewinds it. So what is there is looked at first and again after it was opened, and nothing
is read that is larger than its reader can take.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path

from voidimg.units import format_size

MAX_DOCUMENT_BYTES = 4 * 2**20
"""Most of a file that a person writes: TOML, a template, a script, a key."""

HINT_FOR_SECRETS = "make it your own with mode 0600, and make a new key if others have been here"
"""What to do about what `why_not_secret` says."""

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISLNK, "a symbolic link"),
)


class ForeignFileError(OSError):
    """A file is not one that can be read: not regular, or too large.

    An `OSError`, so that who tells of files that cannot be read tells of it too; `strerror` says
    what it is and `hint` what to do.
    """

    def __init__(self, number: int, what: str, path: object, hint: str):
        super().__init__(number, what, str(path))
        self.hint = hint


def kind_in_words(mode: int) -> str | None:
    """What a file of `mode` is when it is not regular, like "a pipe"; else None."""
    return next((words for is_kind, words in _KINDS if is_kind(mode)), None)


def open_regular(
    path: str | Path,
    *,
    follow: bool = True,
    block_device: bool = False,
    max_bytes: int | None = None,
) -> BufferedReader:
    """The file `path`, open for reading bytes.

    Args:
        path: of the file.
        follow: whether its last component may be a symbolic link.
        block_device: whether it may be a block device too, such as a card that was written.
        max_bytes: most that it may hold; None: as much as it will.

    Raises:
        ForeignFileError: it is not regular, or holds more than `max_bytes`.
        OSError: there is none, it is a directory, or it cannot be opened.
    """
    _require_regular(os.stat(path, follow_symlinks=follow), path, block_device=block_device)
    descriptor = _open(path, follow=follow)
    try:
        found = os.fstat(descriptor)  # it may be another one by now
        _require_regular(found, path, block_device=block_device)
        if max_bytes is not None and found.st_size > max_bytes:
            raise too_large(path, max_bytes)
        os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | Path, max_bytes: int, *, follow: bool = True) -> bytes:
    """The content of the file `path`, `max_bytes` at most.

    Raises:
        ForeignFileError: it is not regular, or holds more than `max_bytes`.
        OSError: there is none, or it cannot be read.
    """
    with open_regular(path, follow=follow, max_bytes=max_bytes) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:  # it grew
        raise too_large(path, max_bytes)
    return content


def too_large(path: object, max_bytes: int) -> ForeignFileError:
    """The error of a file at `path` that holds more than `max_bytes`."""
    return ForeignFileError(
        errno.EFBIG,
        f"it holds more than {format_size(max_bytes)}, the most that is read of such a file",
        path,
        "see whether it is the file that was meant",
    )


def not_regular(path: object, mode: int) -> OSError:
    """The error of what is at `path` and has `mode`, where a regular file has to be."""
    if stat.S_ISDIR(mode):
        return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return ForeignFileError(
        errno.EINVAL,
        f"it is {kind_in_words(mode)} and no regular file",
        path,
        "put a regular file in its place",
    )


def why_not_secret(found: os.stat_result) -> str | None:
    """Why the file that `found` is of is no secret of the caller, in words; None when it is."""
    if found.st_uid not in (0, os.geteuid()):
        return "belongs to another user"
    if found.st_mode & 0o077:
        return f"can be used by others: its mode is {stat.S_IMODE(found.st_mode):04o}"
    return None


def _open(path: str | Path, *, follow: bool) -> int:
    try:
        return os.open(path, _FLAGS | (0 if follow else os.O_NOFOLLOW))
    except OSError as error:
        if error.errno == errno.ELOOP and not follow:
            raise not_regular(path, stat.S_IFLNK) from error
        raise


def _require_regular(found: os.stat_result, path: str | Path, *, block_device: bool) -> None:
    if stat.S_ISREG(found.st_mode) or (block_device and stat.S_ISBLK(found.st_mode)):
        return
    raise not_regular(path, found.st_mode)
