"""Which extended attributes a tree may have: those that every artifact holds. One rule for all.

``user.*`` and ``security.capability`` are in tarballs, squashfs and ext4 alike. An access control
list is not: a tarball drops it, and what was its mask then gives the group more than it had.
Labels of the host's own security modules are put on every file by its kernel; they are not ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from voidimg.errors import CollectedError, LayoutError
from voidimg.tree.beneath import held

CAPABILITY = "security.capability"
"""The capabilities of a program (capabilities(7))."""

_LABELS = frozenset(
    f"security.{name}"
    for name in ("selinux", "apparmor", "ima", "evm", "SMACK64", "SMACK64EXEC", "SMACK64TRANSMUTE")
)
_MOST_TOLD = 20


def is_kept(name: str) -> bool:
    """Whether an attribute is in every artifact."""
    return name == CAPABILITY or name.startswith("user.")


def require_portable(top: int, paths: Iterable[bytes]) -> None:
    """Ensure that what `paths`, relative to the directory open as `top`, have can be kept.

    Raises:
        LayoutError: an access control list or another attribute; several in a `CollectedError`.
    """
    start = os.fsencode(held(top)) + b"/"
    problems: list[LayoutError] = []
    for path in paths:
        for name in os.listxattr(start + path, follow_symlinks=False):
            if not is_kept(name) and name not in _LABELS and len(problems) < _MOST_TOLD:
                problems.append(_not_portable(path, name))
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise CollectedError("files have attributes that artifacts cannot hold", problems)


def _not_portable(path: bytes, name: str) -> LayoutError:
    where = "/" if path == b"." else f"/{os.fsdecode(path)}"
    what, hint = f"the attribute {name}", f"remove it (setfattr -x {name}) in a hook"
    if name.startswith("system.posix_acl_"):
        what = "an access control list"
        hint = "remove it (setfacl -b) in a hook, and say with mode and group what it said"
    return LayoutError(
        f"{where} has {what}, which not every artifact can hold",
        code="ATTRIBUTE",
        where=where,
        hint=hint,
    )
