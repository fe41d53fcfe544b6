"""Which user and group ids a namespace gets, and how they are entered into the kernel.

As root the ids of a tree are taken from a range that nobody on the host has, and the host's own ids
stay mapped beside them, so that the build's worker can read what root can read. (Scripts run one
namespace further in, which has the ids of the tree alone: see `voidimg.sandbox.jail`.) Where only
as many ids exist as a tree needs, as in many containers, they are the tree's. An ordinary user
becomes uid 0 and lends the ids 1 and up from the subordinate ranges of /etc/subuid and /etc/subgid
(subuid(5)), through newuidmap and newgidmap.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import SandboxError, ToolError
from voidimg.run import find_program, run

NEEDED = 65536
"""Ids a tree needs: packages use 0 to 65534 (nobody), as every Unix filesystem tree does."""

SUBUID = Path("/etc/subuid")
SUBGID = Path("/etc/subgid")

_IDS = 2**32 - 1
"""Ids are below this; the number itself means none."""


@dataclass(frozen=True, slots=True)
class Extent:
    """`count` ids from `inside` on are those from `outside` on of the parent namespace."""

    inside: int
    outside: int
    count: int


_HIGH = 0x70000000
"""Ids that no distribution gives to users, containers or services (systemd: UIDS-GIDS)."""


def own_extents(kind: str) -> tuple[Extent, ...]:
    """Every id that exists here; `kind` is ``uid`` or ``gid``. The first `NEEDED` are the tree's.

    Raises:
        SandboxError: fewer than `NEEDED` ids are mapped, as in some containers.
    """
    ranges = _ranges_here(kind)
    total = sum(count for _, count in ranges)
    if total < NEEDED:
        raise SandboxError(
            f"only {total} {kind}s exist in this container, a root filesystem needs {NEEDED}",
            code="IDS",
            where=f"/proc/self/{kind}_map",
            hint=f"give the container a map of at least {NEEDED} ids",
        )
    return arranged(ranges)


def _ranges_here(kind: str) -> list[tuple[int, int]]:
    """The ids that exist in this namespace, as (first id, count), sorted."""
    lines = Path(f"/proc/self/{kind}_map").read_text("ascii").splitlines()
    rows = [[int(word) for word in line.split()] for line in lines]
    return sorted((inside, count) for inside, _outside, count in rows)


def arranged(ranges: Sequence[tuple[int, int]]) -> tuple[Extent, ...]:
    """The ids of a tree first, away from the host's where `ranges` suffice, then all others; pure.

    `ranges` are (first id, count), sorted, with at least `NEEDED` ids together. The host's are
    those below `NEEDED`: users, services, and root.
    """
    chosen = _of_tree(ranges)
    others = _without(ranges, chosen)
    extents: list[Extent] = []
    inside = 0
    for start, count in (*chosen, *others):
        extents.append(Extent(inside, start, count))
        inside += count
    return tuple(extents)


def _of_tree(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    if any(start <= _HIGH and start + count >= _HIGH + NEEDED for start, count in ranges):
        return [(_HIGH, NEEDED)]
    away = _without(ranges, [(0, NEEDED)])
    if sum(count for _, count in away) < NEEDED:
        return _first(ranges, NEEDED)
    spare = sum(count for _, count in away) - NEEDED
    return _without(away, _first(away, spare))


def _first(ranges: Sequence[tuple[int, int]], wanted: int) -> list[tuple[int, int]]:
    found = []
    for start, count in ranges:
        if wanted > 0:
            found.append((start, min(count, wanted)))
            wanted -= count
    return found


def _without(
    ranges: Sequence[tuple[int, int]], taken: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """`ranges` without the ids in `taken`."""
    left = list(ranges)
    for first, size in taken:
        pieces = []
        for start, count in left:
            below = min(start + count, first) - start
            above = start + count - max(start, first + size)
            if below > 0:
                pieces.append((start, below))
            if above > 0:
                pieces.append((start + count - above, above))
        left = pieces
    return left


def write_tree_ids(pid: int) -> None:
    """Give the user namespace of process `pid`, made in ours, the ids of a tree and no others.

    Raises:
        SandboxError: the kernel refused.
    """
    for kind in ("uid", "gid"):
        # The kernel wants each extent within one of ours.
        tree = _without(_ranges_here(kind), [(NEEDED, 2**32)])
        _write(pid, kind, [Extent(start, start, count) for start, count in tree])


def subordinate_extents(path: Path, name: str, own: int) -> tuple[Extent, ...]:
    """Id 0 is `own`; ids from 1 on are the ranges of user `name` in `path`.

    A line is ``NAME:START:COUNT``, with a user name or a uid (subuid(5)).

    Raises:
        SandboxError: the user has no range, or too few ids; the hint is the line to add.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    fields = [line.strip().split(":") for line in lines]
    uid = str(os.getuid())
    ranges = [
        (int(start), int(count))
        for user, start, count in (field for field in fields if len(field) == 3)
        if user in (name, uid) and start.isdecimal() and count.isdecimal()
    ]
    usable: list[tuple[int, int]] = []
    taken = [(own, 1)]
    for start, count in ranges:
        # An id can be lent once only, and the user's own is there already.
        if 0 < count <= _IDS - start:
            usable += _without([(start, count)], taken)
            taken.append((start, count))
    extents = [Extent(0, own, 1)]
    for start, count in usable:
        extents.append(Extent(extents[-1].inside + extents[-1].count, start, count))
    if sum(extent.count for extent in extents) < NEEDED:
        found = f"only {sum(count for _, count in usable)}" if usable else "no"
        raise SandboxError(
            f"user {name} has {found} subordinate ids in {path}, a build needs {NEEDED - 1}",
            code="SUBIDS",
            where=str(path),
            hint=f"as root: echo '{name}:{_free_start(fields)}:{NEEDED}' >> {path}",
        )
    return tuple(extents)


def _free_start(fields: Sequence[Sequence[str]]) -> int:
    ends = [
        int(field[1]) + int(field[2])
        for field in fields
        if len(field) == 3 and field[1].isdecimal() and field[2].isdecimal()
    ]
    return max([100000, *ends])


def enter_maps(pid: int) -> tuple[int, int]:
    """Give the new user namespace of process `pid` its ids.

    Returns:
        What the uid and gid of this process are called in there.

    Raises:
        SandboxError: the ids are not there, or the kernel or newuidmap refused them.
        ToolError: newuidmap or newgidmap is not installed.
    """
    if os.geteuid() == 0:
        maps = {"uid": own_extents("uid"), "gid": own_extents("gid")}
        for kind, extents in maps.items():
            _write(pid, kind, extents)
        return _inside(maps["uid"], os.geteuid()), _inside(maps["gid"], os.getegid())
    for program in ("newuidmap", "newgidmap"):
        find_program(program)
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    uids = subordinate_extents(SUBUID, name, os.geteuid())
    gids = subordinate_extents(SUBGID, name, os.getegid())
    _lend("newuidmap", pid, uids)
    _lend("newgidmap", pid, gids)
    return (0, 0)


def _inside(extents: Sequence[Extent], outside: int) -> int:
    """What the id `outside` is called inside; 0 when it is not mapped."""
    for extent in extents:
        if extent.outside <= outside < extent.outside + extent.count:
            return extent.inside + outside - extent.outside
    return 0


def _write(pid: int, kind: str, extents: Sequence[Extent]) -> None:
    text = "".join(f"{extent.inside} {extent.outside} {extent.count}\n" for extent in extents)
    path = f"/proc/{pid}/{kind}_map"
    try:
        # The kernel takes the map in one write only, and only once.
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode("ascii"))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SandboxError(
            f"cannot map the ids of the build's user namespace: {error.strerror}",
            code="IDMAP",
            where=path,
            hint="root needs CAP_SETUID, CAP_SETGID, CAP_SETFCAP and CAP_SYS_ADMIN for it; "
            "inside a container run as an ordinary user or give it these capabilities",
        ) from error


def _lend(program: str, pid: int, extents: Sequence[Extent]) -> None:
    numbers = [
        str(number)
        for extent in extents
        for number in (extent.inside, extent.outside, extent.count)
    ]
    try:
        run([program, str(pid), *numbers])
    except ToolError as error:
        raise SandboxError(
            f"{error.what}",
            code="IDMAP",
            where=program,
            hint=f"{program} must be setuid root or have the file capability "
            "(reinstalling the package uidmap mends it), and the ranges must not overlap",
        ) from error
