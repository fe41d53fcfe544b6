"""Gives every file of a tree a time that follows from packages and the date, never from the clock.

What packages bring keeps the time that the package states, in whole seconds. What was made or
changed during the build has a time of the kernel's clock, which has a fraction of a second, and
gets the epoch. So it does not matter whether the clock of the host is right, or is set meanwhile.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from voidimg.rootfs.attributes import not_portable, require_portable, socket_in_tree
from voidimg.tree.paths import mapped
from voidimg.tree.walk import DIRECTORY, descend

_SECOND = 10**9


@dataclass(frozen=True, slots=True)
class _Clock:
    """Tells times of the kernel's clock from those that somebody stated.

    `fractions` says whether the file system keeps them; where it does not, what is not older than
    the oldest change of anything in the tree (`begun`) comes from this build.
    """

    fractions: bool
    begun: int

    @classmethod
    def of(cls, found: Iterable[os.stat_result]) -> _Clock:
        """The clock by the times of change in a tree, which nobody can state."""
        changes = [status.st_ctime_ns for status in found]
        return cls(any(change % _SECOND for change in changes), min(changes))

    def gave(self, status: os.stat_result) -> bool:
        """Whether the modification time is one of this build."""
        if self.fractions:
            return status.st_mtime_ns % _SECOND != 0
        return status.st_mtime_ns >= self.begun


def _may_have(status: os.stat_result) -> bool:
    """Links have no attributes of any use, and special files none that users may set."""
    return stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)


def normalise_times(tree: Path, epoch: int) -> int:
    """Set access and modification times of everything in `tree`; returns how many were changed.

    The modification time becomes `epoch` (seconds since 1970) when it is later, or when it comes
    from this build; one before 1970, which squashfs and ext4 cannot hold, becomes 1970. The access
    time equals it. Directories come after their content, for a change inside would change them
    again.

    Raises:
        LayoutError: a file has an attribute that not every artifact can hold, or is a socket;
            several collected.
        StoreError: a path is too long for any program.
    """
    top = os.open(tree, DIRECTORY)
    try:
        with mapped("set the times in", "/"):
            found = [(b".", os.fstat(top))]
            problems = not_portable(top, b".", b".")
            for met in descend(top):
                found.append((met.path, met.status))
                if stat.S_ISSOCK(met.status.st_mode):
                    problems.append(socket_in_tree(met.path))
                elif _may_have(met.status):
                    problems += not_portable(met.fd, met.name, met.path)
            require_portable(problems)
            clock = _Clock.of(status for _, status in found)
            changed = 0
            for path, status in reversed(found):
                seconds = max(0, status.st_mtime_ns // _SECOND)
                if seconds > epoch or clock.gave(status):
                    seconds = epoch
                wanted = seconds * _SECOND
                if (status.st_mtime_ns, status.st_atime_ns) != (wanted, wanted):
                    os.utime(path, ns=(wanted, wanted), dir_fd=top, follow_symlinks=False)
                    changed += 1
    finally:
        os.close(top)
    return changed
