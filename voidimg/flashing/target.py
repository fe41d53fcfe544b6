"""What an image may be written to: a whole disk that nothing uses, or a plain file."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import StoreError, UsageError
from voidimg.flashing.device import look_at_device, require_unused, why_file_in_use
from voidimg.foreign import kind_in_words
from voidimg.units import format_size

_BLKFLSBUF = 0x1261
_BLKRRPART = 0x125F


@dataclass(frozen=True, slots=True)
class FlashTarget:
    """A medium that may be written to.

    Attributes:
        path: as it was named.
        size_bytes: how much it holds.
        described: it in words for a person: model and size of a device.
        is_device: whether it is a block device; else it is a file.
        identity: which one it is, to be sure that it is the same one later.
    """

    path: Path
    size_bytes: int
    described: str
    is_device: bool
    identity: tuple[int, int, int]


def look_at_target(path: Path) -> FlashTarget:
    """The medium at `path`, if it may be written to.

    Raises:
        UsageError: it is no such thing, or in use.
        StoreError: it cannot be looked at.
    """
    try:
        named = path.lstat()
        found = path.stat()
    except OSError as error:
        raise _missing(path, error) from error
    if stat.S_ISBLK(found.st_mode):
        device = look_at_device(found.st_rdev)
        require_unused(device, str(path))
        identity = (0, 0, found.st_rdev)
        return FlashTarget(path, device.size_bytes, device.described, True, identity)
    if stat.S_ISLNK(named.st_mode):
        raise _refused(
            "LINK", path, f"{path} is a link to {path.resolve()}", "name the file itself"
        )
    if not stat.S_ISREG(found.st_mode):
        what = f"{path} is {kind_in_words(found.st_mode)}, not a disk or a file"
        raise _refused("KIND", path, what, "name a disk, such as /dev/sdX; lsblk shows them")
    if found.st_nlink > 1:
        what = f"the file {path} has {found.st_nlink} names, and would change under all of them"
        raise _refused("LINK", path, what, "copy it first; a cache may hold the same file")
    used = why_file_in_use(path)
    if used is not None:
        raise _refused("IN-USE", path, f"{path} is in use: {used}", "stop that first")
    described = f"a file of {format_size(found.st_size)}"
    identity = (found.st_dev, found.st_ino, 0)
    return FlashTarget(path, found.st_size, described, False, identity)


def require_room(target: FlashTarget, image: Path, image_bytes: int) -> None:
    """Raise when `target` is smaller than the image.

    Raises:
        UsageError: it is.
    """
    if target.size_bytes >= image_bytes:
        return
    missing = format_size(image_bytes - target.size_bytes)
    hint = "name a larger disk"
    if not target.is_device:
        hint = f"make the file as large as the medium shall be: truncate -s {image_bytes}"
    raise _refused(
        "SMALL",
        target.path,
        f"{target.path} holds {target.size_bytes} bytes, but {image.name} needs {image_bytes}:"
        f" {missing} are missing",
        hint,
    )


@contextmanager
def opened_target(target: FlashTarget) -> Iterator[int]:
    """The descriptor of `target`, for reading and writing, used by nobody else while this lasts.

    Raises:
        UsageError: it is another one than it was, or in use.
        StoreError: it cannot be opened.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    # Of a block device O_EXCL without O_CREAT fails when the kernel uses it, whoever mounted it.
    flags |= os.O_EXCL if target.is_device else os.O_NOFOLLOW
    try:
        descriptor = os.open(target.path, flags)
    except OSError as error:
        raise _not_opened(target.path, error) from error
    try:
        found = os.fstat(descriptor)
        now = (0, 0, found.st_rdev) if target.is_device else (found.st_dev, found.st_ino, 0)
        is_same_kind = stat.S_ISBLK if target.is_device else stat.S_ISREG
        if now != target.identity or not is_same_kind(found.st_mode):
            raise _refused(
                "CHANGED",
                target.path,
                f"{target.path} is not what it was a moment ago",
                "look what it is now, and try again",
            )
        if os.lseek(descriptor, 0, os.SEEK_END) != target.size_bytes:
            raise _refused(
                "CHANGED", target.path, f"{target.path} has another size now", "try again"
            )
        _lock(descriptor, target.path)
        yield descriptor
        if target.is_device:
            with suppress(OSError):
                fcntl.ioctl(descriptor, _BLKRRPART)
    finally:
        os.close(descriptor)


def forget_cached(descriptor: int, target: FlashTarget) -> None:
    """Make sure that what is read next comes from the medium, as far as the kernel lets us."""
    with suppress(OSError):
        if target.is_device:
            fcntl.ioctl(descriptor, _BLKFLSBUF)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise _refused(
            "IN-USE", path, f"another program has locked {path}", "wait until it is done"
        ) from error


def _missing(path: Path, error: OSError) -> UsageError | StoreError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return _refused(
            "MISSING",
            path,
            f"there is no {path}",
            "lsblk shows the disks; a file has to be there before: truncate -s SIZE FILE",
        )
    return StoreError(f"cannot look at {path}: {error.strerror}", code="IO", where=str(path))


def _not_opened(path: Path, error: OSError) -> UsageError | StoreError:
    if error.errno == errno.EBUSY:
        return _refused(
            "IN-USE",
            path,
            f"the kernel uses {path}: it is mounted somewhere, or a part of LVM or RAID",
            "stop what uses it, or name another device",
        )
    if error.errno == errno.ELOOP:
        return _refused("LINK", path, f"{path} is a link", "name the file itself")
    return StoreError(
        f"cannot write to {path}: {error.strerror}",
        code="IO",
        where=str(path),
        hint="disks are written by root, or by the group that owns them",
    )


def _refused(code: str, path: Path, what: str, hint: str) -> UsageError:
    return UsageError(what, code=f"MEDIUM-{code}", where=str(path), hint=hint)
