"""Gives every file of a tree a time that follows from packages and the date, never from the clock.

What packages bring keeps the time that the package states. What was made or changed during the
build gets the epoch: its time is not older than the oldest change of anything in the tree, which
a package's time always is.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def normalise_times(tree: Path, epoch: int) -> int:
    """Set access and modification times of everything in `tree`; returns how many were changed.

    The modification time becomes `epoch` (seconds since 1970) when it is later, or when it comes
    from this build; fractions of seconds are dropped. The access time equals it. Directories come
    after their content, for a change inside would change them again.
    """
    root = os.fsencode(tree)
    found = [(root, os.lstat(root)), *_below(root)]
    begun = min(status.st_ctime_ns for _, status in found)
    changed = 0
    for path, status in reversed(found):
        seconds = status.st_mtime_ns // 10**9
        if seconds > epoch or status.st_mtime_ns >= begun:
            seconds = epoch
        wanted = seconds * 10**9
        if (status.st_mtime_ns, status.st_atime_ns) != (wanted, wanted):
            os.utime(path, ns=(wanted, wanted), follow_symlinks=False)
            changed += 1
    return changed


def _below(root: bytes) -> list[tuple[bytes, os.stat_result]]:
    """Everything below `root`, a directory before its content."""
    found = []
    pending = [root]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                found.append((entry.path, status))
                if stat.S_ISDIR(status.st_mode):
                    pending.append(entry.path)
    return found
