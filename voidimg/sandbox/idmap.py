"""Which user and group ids a namespace gets, and how they are entered into the kernel.

As root the map is the identity over everything that is mapped for us, so that owners on disk are
the real ones. An ordinary user becomes uid 0 and lends the ids 1 and up from the subordinate
ranges of /etc/subuid and /etc/subgid (subuid(5)), through newuidmap and newgidmap.
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


@dataclass(frozen=True, slots=True)
class Extent:
    """`count` ids from `inside` on are those from `outside` on of the parent namespace."""

    inside: int
    outside: int
    count: int


def own_extents(kind: str) -> tuple[Extent, ...]:
    """The identity over every id that exists here; `kind` is ``uid`` or ``gid``.

    Raises:
        SandboxError: fewer than `NEEDED` ids are mapped, as in some containers.
    """
    lines = Path(f"/proc/self/{kind}_map").read_text("ascii").splitlines()
    rows = [[int(word) for word in line.split()] for line in lines]
    extents = tuple(Extent(inside, inside, count) for inside, _outside, count in rows)
    if sum(extent.count for extent in extents) < NEEDED:
        raise SandboxError(
            f"only {sum(extent.count for extent in extents)} {kind}s exist in this container, "
            f"a root filesystem needs {NEEDED}",
            code="IDS",
            where=f"/proc/self/{kind}_map",
            hint=f"give the container a map of at least {NEEDED} ids",
        )
    return extents


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
    extents = [Extent(0, own, 1)]
    for start, count in ranges:
        extents.append(Extent(extents[-1].inside + extents[-1].count, start, count))
    if sum(extent.count for extent in extents) < NEEDED:
        found = f"only {sum(count for _, count in ranges)}" if ranges else "no"
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


def enter_maps(pid: int) -> None:
    """Give the new user namespace of process `pid` its ids.

    Raises:
        SandboxError: the ids are not there, or the kernel or newuidmap refused them.
        ToolError: newuidmap or newgidmap is not installed.
    """
    if os.geteuid() == 0:
        _write(pid, "uid", own_extents("uid"))
        _write(pid, "gid", own_extents("gid"))
        return
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
