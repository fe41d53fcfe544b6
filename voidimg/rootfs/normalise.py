"""Gives every file of a tree a time that follows from packages and the date, never from the clock.

What packages bring keeps the time that the package states. What was made or changed during the
build gets the epoch: its time is not older than the oldest change of anything in the tree, which
a package's time always is.
"""

from __future__ import annotations

import os
from pathlib import Path

from voidimg.tree.paths import mapped
from voidimg.tree.walk import DIRECTORY, descend


def normalise_times(tree: Path, epoch: int) -> int:
    """Set access and modification times of everything in `tree`; returns how many were changed.

    The modification time becomes `epoch` (seconds since 1970) when it is later, or when it comes
    from this build; fractions of seconds are dropped. The access time equals it. Directories come
    after their content, for a change inside would change them again.

    Raises:
        StoreError: a path is too long for any program.
    """
    top = os.open(tree, DIRECTORY)
    try:
        with mapped("set the times in", "/"):
            found = [(b".", os.fstat(top)), *((met.path, met.status) for met in descend(top))]
            begun = min(status.st_ctime_ns for _, status in found)
            changed = 0
            for path, status in reversed(found):
                seconds = status.st_mtime_ns // 10**9
                if seconds > epoch or status.st_mtime_ns >= begun:
                    seconds = epoch
                wanted = seconds * 10**9
                if (status.st_mtime_ns, status.st_atime_ns) != (wanted, wanted):
                    os.utime(path, ns=(wanted, wanted), dir_fd=top, follow_symlinks=False)
                    changed += 1
    finally:
        os.close(top)
    return changed
