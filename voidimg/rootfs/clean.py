"""What is taken out of a tree before it is published, and why: one table."""

from __future__ import annotations

import stat
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from voidimg.rootfs.identities import IDENTITIES
from voidimg.tree.tree import Entry, Tree

Action = Literal["remove", "empty"]


@dataclass(frozen=True, slots=True)
class Rule:
    """Files (not directories) whose path matches `pattern` are removed or emptied.

    `*` in a pattern crosses slashes. Files that a package owns are never touched.
    """

    pattern: str
    action: Action
    reason: str


RULES = (
    Rule("/etc/.pwd.lock", "remove", "lock file of the account tools"),
    Rule("/etc/*.lock", "remove", "lock file of the account tools"),
    Rule("/etc/passwd-", "remove", "backup of an earlier state of the accounts"),
    Rule("/etc/shadow-", "remove", "backup of an earlier state of the passwords"),
    Rule("/etc/group-", "remove", "backup of an earlier state of the groups"),
    Rule("/etc/gshadow-", "remove", "backup of an earlier state of the groups"),
    Rule("/etc/subuid-", "remove", "backup of an earlier state of the accounts"),
    Rule("/etc/subgid-", "remove", "backup of an earlier state of the accounts"),
    Rule("/etc/resolv.conf", "remove", "name servers of the builder"),
    *(Rule(one.pattern, "remove", one.reason) for one in IDENTITIES if one.made_anew),
    Rule("/var/cache/*", "remove", "caches, with times and inode numbers of the builder in them"),
    Rule("/var/db/xbps/lock", "remove", "lock file of the package database"),
    Rule("/var/log/*", "empty", "logs of the build"),
    Rule("/run/*", "remove", "state of the running system"),
    Rule("/tmp/*", "remove", "temporary files of scripts"),  # noqa: S108 - a path of the tree
    Rule("/var/tmp/*", "remove", "temporary files of scripts"),  # noqa: S108
    Rule("/root/.bash_history", "remove", "history of the build"),
    Rule("/root/.cache/*", "remove", "caches of the build"),
    Rule("/.xbps-script-*", "remove", "script of a run that was killed"),
    Rule("*/.voidimg-*", "remove", "rest of a write that was killed"),
)
"""In this order; the first rule that matches decides."""

TEMPORARY = ("/tmp", "/var/tmp", "/root/.cache")  # noqa: S108 - paths of the tree
"""Directories below these go too; elsewhere directories stay, they have owners and modes."""

_PYC = Rule(
    "*/__pycache__/*.pyc",
    "remove",
    "byte code bound to a time of a source file; Python makes it again",
)
"""Byte code that a trigger compiled under SOURCE_DATE_EPOCH is bound to the source's hash (PEP
552: bit 0 of the flags at offset 4) and stays; what a script merely imported is not."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A path that was removed or emptied, and the rule that says why."""

    path: str
    rule: Rule


def clean(tree: Tree, owned: Collection[str]) -> tuple[Cleaned, ...]:
    """Apply `RULES` to everything in `tree` that is not in `owned` (paths of packages).

    Raises:
        StoreError: something cannot be removed.
    """
    done = []
    directories = []
    for entry in list(tree.walk()):
        if entry.path in owned:
            continue
        if stat.S_ISDIR(entry.stat.st_mode):
            if entry.path.startswith(tuple(f"{place}/" for place in TEMPORARY)):
                directories.append(entry.path)
            continue
        rule = _rule_for(tree, entry)
        if rule is None or (rule.action == "empty" and not _emptied(tree, entry)):
            continue
        if rule.action == "remove":
            tree.remove(entry.path)
        done.append(Cleaned(entry.path, rule))
    for path in reversed(directories):
        if not tree.listdir(path):
            tree.remove(path)
    return tuple(done)


def _rule_for(tree: Tree, entry: Entry) -> Rule | None:
    for rule in RULES:
        if fnmatchcase(entry.path, rule.pattern):
            return rule
    if fnmatchcase(entry.path, _PYC.pattern) and stat.S_ISREG(entry.stat.st_mode):
        flags = tree.read(entry.path)[4:5]
        if not flags or not flags[0] & 1:
            return _PYC
    return None


def _emptied(tree: Tree, entry: Entry) -> bool:
    if not stat.S_ISREG(entry.stat.st_mode) or entry.stat.st_size == 0:
        return False
    status = entry.stat
    tree.write(entry.path, b"", stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    return True
