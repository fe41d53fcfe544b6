"""The system calls that Python 3.11 has no function for: namespaces, mounts, process controls.

Numbers are those of the Linux uapi headers. Every call raises `OSError` with the kernel's errno.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38

_KEYCTL = {"x86_64": 250, "i686": 288, "armv7l": 311, "ppc64le": 271}
_KEYCTL_GENERIC = 219
_KEYCTL_JOIN_SESSION_KEYRING = 1

_PIVOT_ROOT = {"x86_64": 155, "i686": 217, "armv7l": 218, "ppc64le": 203}
_PIVOT_ROOT_GENERIC = 41
"""asm-generic: aarch64, riscv64, loongarch64."""


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def last_capability() -> int:
    """The highest capability number of the running kernel."""
    return int(Path("/proc/sys/kernel/cap_last_cap").read_bytes())


def _check(result: int, *objects: object) -> None:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), *objects)


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags`, an or of CLONE_NEW..., for new ones."""
    _check(_libc().unshare(ctypes.c_int(flags)))


def mount(
    source: str | None,
    target: str,
    filesystem: str | None = None,
    flags: int = 0,
    options: str | None = None,
) -> None:
    """Put a mount at `target`, or change the one there. The error names `target`."""
    texts = [None if text is None else os.fsencode(text) for text in (source, target, filesystem)]
    data = None if options is None else os.fsencode(options)
    _check(_libc().mount(*texts, ctypes.c_ulong(flags), data), target)


def unmount(target: str, flags: int = 0) -> None:
    """Unmount what is at `target`."""
    _check(_libc().umount2(os.fsencode(target), ctypes.c_int(flags)), target)


def bind_read_only(target: str) -> None:
    """Make the mount at `target` read-only, here only; whatever else holds of it goes on to hold.

    Device nodes can be opened for writing all the same, but get no other mode, owner or time.
    """
    kept = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount(None, target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY | kept)


def pivot_root(new_root: str, put_old: str) -> None:
    """Make `new_root` the root mount and put the old one at `put_old`; no C library wraps it."""
    number = _PIVOT_ROOT.get(platform.machine(), _PIVOT_ROOT_GENERIC)
    arguments = (os.fsencode(new_root), os.fsencode(put_old))
    _check(_libc().syscall(ctypes.c_long(number), *arguments), new_root)


def prctl(option: int, argument: int = 0, second: int = 0) -> None:
    """Set an attribute of this process that takes one argument or two."""
    zero = ctypes.c_ulong(0)
    words = (ctypes.c_ulong(argument), ctypes.c_ulong(second))
    _check(_libc().prctl(ctypes.c_int(option), *words, zero, zero))


def leave_session_keyring() -> None:
    """Take a new empty session keyring in place of the caller's.

    Nothing happens on a kernel without keys, or where a container forbids the call: programs there
    cannot read any.
    """
    number = _KEYCTL.get(platform.machine(), _KEYCTL_GENERIC)
    join = ctypes.c_long(_KEYCTL_JOIN_SESSION_KEYRING)
    with suppress(OSError):
        _check(_libc().syscall(ctypes.c_long(number), join, None))


_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
"""The same on all machines."""
_LANDLOCK_VERSION = 1
_LANDLOCK_PATH_BENEATH = 1


def landlock_version() -> int:
    """The version of this kernel's Landlock."""
    flags = ctypes.c_uint(_LANDLOCK_VERSION)
    number = ctypes.c_long(_LANDLOCK_CREATE)
    version = int(_libc().syscall(number, None, ctypes.c_size_t(0), flags))
    _check(version)
    return version


def landlock_ruleset(attributes: bytes) -> int:
    """A descriptor of a new set of rules; `attributes` is ``struct landlock_ruleset_attr``."""
    size = ctypes.c_size_t(len(attributes))
    number = ctypes.c_long(_LANDLOCK_CREATE)
    ruleset = int(_libc().syscall(number, attributes, size, ctypes.c_uint(0)))
    _check(ruleset)
    return ruleset


def landlock_allow(ruleset: int, rule: bytes) -> None:
    """Add a ``struct landlock_path_beneath_attr`` to the rules."""
    kind = ctypes.c_int(_LANDLOCK_PATH_BENEATH)
    words = (ctypes.c_int(ruleset), kind, rule, ctypes.c_uint(0))
    _check(_libc().syscall(ctypes.c_long(_LANDLOCK_ADD), *words))


def landlock_restrict(ruleset: int) -> None:
    """Put the calling thread, and what it starts, under the rules."""
    words = (ctypes.c_int(ruleset), ctypes.c_uint(0))
    _check(_libc().syscall(ctypes.c_long(_LANDLOCK_RESTRICT), *words))


def enter(descriptor: int, kind: int) -> None:
    """Enter the namespace open as `descriptor`, of `kind` CLONE_NEW...; children for pid ones."""
    _check(_libc().setns(ctypes.c_int(descriptor), ctypes.c_int(kind)))


def drop_bounding_set(kept: Collection[int], last: int) -> None:
    """Take the capabilities up to `last` that are not in `kept` from programs executed later."""
    for number in range(last + 1):
        if number not in kept:
            prctl(PR_CAPBSET_DROP, number)
