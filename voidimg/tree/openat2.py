"""Opening directories inside a root: the kernel's openat2, or the same rules walked by hand.

Whoever fills a tree with files from packages must never be led out of it by a symbolic link. The
kernel can promise that for a whole path in one call (openat2(2), Linux 5.6). Where the call is
missing or forbidden (an old kernel, a strict container) the path is walked component by
component, each opened with ``O_NOFOLLOW`` relative to the one before.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import os

_SYS_OPENAT2 = 437
"""The system call's number, the same on every architecture but alpha."""

_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_RESOLVE_IN_ROOT = 0x10

_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_LINKS = 40
"""Links followed in one path before giving up, as the kernel does (MAXSYMLINKS)."""

_RETRIES = 64
"""How often EAGAIN is answered by another try: the kernel saw a rename while resolving ``..``."""


class Links(enum.Enum):
    """What a symbolic link in a directory's path may do."""

    INSIDE = _RESOLVE_IN_ROOT
    """Followed as after a chroot: absolute links and ``..`` never leave the root."""
    BENEATH = _RESOLVE_BENEATH
    """Followed when relative and staying beneath the root; anything else is ``EXDEV``."""
    REFUSED = _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH
    """Never followed: ``ELOOP``."""


class _How(ctypes.Structure):
    """struct open_how of <linux/openat2.h>."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_number = ctypes.c_long(_SYS_OPENAT2)
_how_bytes = ctypes.c_size_t(ctypes.sizeof(_How))
_hows = {links: _How(_FLAGS, 0, links.value | _RESOLVE_NO_MAGICLINKS) for links in Links}
_refs = {links: ctypes.byref(how) for links, how in _hows.items()}


def open_beneath(root_fd: int, path: bytes, links: Links) -> int:
    """A descriptor (``O_PATH``) of the directory `path`, relative to the directory `root_fd`.

    Args:
        root_fd: the directory that is never left.
        path: relative, without a leading slash; empty means the root itself.
        links: what symbolic links on the way may do, the last component included.

    Raises:
        OSError: as openat2: EXDEV or ELOOP for a link that is not to be followed, ENOENT, ENOTDIR.
    """
    for _ in range(_RETRIES):
        fd = _syscall(_number, root_fd, path or b".", _refs[links], _how_bytes)
        if fd >= 0:
            return int(fd)
        error = ctypes.get_errno()
        if error != errno.EAGAIN:
            break
    raise OSError(error, os.strerror(error), path)


def open_walking(root_fd: int, path: bytes, links: Links) -> int:
    """As `open_beneath`, without openat2."""
    stack = [os.open(b".", _FLAGS, dir_fd=root_fd)]
    todo = path.split(b"/")[::-1]
    followed = 0
    try:
        while todo:
            name = todo.pop()
            if name in (b"", b"."):
                continue
            if name == b"..":
                _go_up(stack, links, path)
                continue
            target = _link_text(stack[-1], name)
            if target is None:
                stack.append(os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=stack[-1]))
                continue
            followed += 1
            if links is Links.REFUSED or followed > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith(b"/"):
                if links is Links.BENEATH:
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
                while len(stack) > 1:
                    os.close(stack.pop())
            todo += target.split(b"/")[::-1]
        return stack.pop()
    finally:
        for fd in stack:
            os.close(fd)


def _go_up(stack: list[int], links: Links, path: bytes) -> None:
    """Leave the innermost directory; at the root stay there, or refuse."""
    if len(stack) > 1:
        os.close(stack.pop())
    elif links is not Links.INSIDE:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)


def _link_text(dir_fd: int, name: bytes) -> bytes | None:
    """The text of the link `name`, None when it is no link (or does not exist)."""
    try:
        return os.readlink(name, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise


def _kernel_has_openat2() -> bool:
    fd = os.open("/", _FLAGS)
    try:
        os.close(open_beneath(fd, b".", Links.INSIDE))
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


open_inside = open_beneath if _kernel_has_openat2() else open_walking
"""The better of the two for this machine, chosen once."""
