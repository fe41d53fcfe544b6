"""Which extended attributes a tree may have: those that every artifact holds. One rule for all.

``user.*`` and ``security.capability`` are in tarballs, squashfs and ext4 alike. An access control
list is not: a tarball drops it, and what was its mask then gives the group more than it had.
Labels of the host's own security modules are put on every file by its kernel; they are not ours.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from voidimg.errors import LayoutError, raise_all
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


def not_portable(directory: int, name: bytes, path: bytes) -> list[LayoutError]:
    """What `name` of the open `directory` has that artifacts cannot hold; `path` says it to people.

    Asked beneath the directory, since the whole path may be longer than any program may say it.
    """
    file = os.fsencode(held(directory)) + b"/" + name
    return [
        _not_portable(path, attribute)
        for attribute in os.listxattr(file, follow_symlinks=False)
        if not is_kept(attribute) and attribute not in _LABELS
    ]


def socket_in_tree(path: bytes) -> LayoutError:
    """What is wrong with a socket at `path`: a tarball cannot hold it, and nobody listens there."""
    where = f"/{os.fsdecode(path)}"
    return LayoutError(
        f"{where} is a socket, which not every artifact can hold",
        code="SOCKET",
        where=where,
        hint="a program that a script started left it: stop the program, or remove it in a hook",
    )


def require_portable(problems: Sequence[LayoutError]) -> None:
    """Raise for what `not_portable` found, if there is anything.

    Raises:
        LayoutError: an access control list or another attribute; several in a `CollectedError`.
    """
    raise_all(problems[:_MOST_TOLD], "files have attributes that artifacts cannot hold")


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
