"""Takes files from a thread and what it starts, but those that are named (Landlock, landlock(7)).

No privilege is needed. Rights and structures are those of ``linux/landlock.h``; kernels from 5.13
on have the first of them, and each asks only for what the running one knows. A kernel that has
none, or was started without them, takes nothing: other bounds hold there.
"""

from __future__ import annotations

import functools
import os
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from voidimg.sandbox import kernel

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Version of the interface -> every right over files that it knows."""
_BIND_AND_CONNECT = 0b11
"""LANDLOCK_ACCESS_NET_BIND_TCP and _CONNECT_TCP, from version 4 on."""
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11
"""LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and _SIGNAL, from version 6 on."""
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
"""What can be allowed of what is no directory."""
_READ = _READ_FILE | _READ_DIR | _IOCTL_DEV
_RUN = _READ | _EXECUTE
_WRITE = (1 << 15) - 1 & ~(_EXECUTE | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11) | _IOCTL_DEV
"""Everything but programs, device nodes, sockets and pipes."""


@functools.cache
def landlock_version() -> int:
    """The version of the running kernel's interface; 0 where there is none."""
    try:
        return kernel.landlock_version()
    except OSError:
        return 0


def restrict_thread(
    *, programs: Iterable[Path], reads: Iterable[Path], writes: Iterable[Path]
) -> None:
    """Take every file from the calling thread but these, and those below them; for good.

    The thread must have given up new privileges (``no_new_privs``). A path that is not there, or
    cannot be opened, is passed over: so it will be for the thread. Nothing happens without
    Landlock.

    Raises:
        OSError: the kernel has Landlock and refuses.
    """
    version = landlock_version()
    if version == 0:
        return
    known = _RIGHTS[max(one for one in _RIGHTS if one <= version)]
    ruleset = kernel.landlock_ruleset(
        struct.pack(
            "<QQQ"[: 2 + (version >= 4) + (version >= 6)],
            *(known, _BIND_AND_CONNECT, _ABSTRACT_SOCKETS_AND_SIGNALS)[
                : 1 + (version >= 4) + (version >= 6)
            ],
        )
    )
    try:
        for rights, paths in ((_RUN, programs), (_READ, reads), (_WRITE, writes)):
            for path in paths:
                _allow(ruleset, path, rights & known)
        kernel.landlock_restrict(ruleset)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    with suppress(OSError):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(place).st_mode):
                rights &= _OF_FILES
            kernel.landlock_allow(ruleset, struct.pack("<Qi", rights, place))
        finally:
            os.close(place)
