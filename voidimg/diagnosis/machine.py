"""Whether this machine can build, and whether its repositories can be used, before anybody tries.

What is asked is what a build asks: the same namespace is made, the same properties of the file
system are tried, the same emulators are registered. Nothing in a report names a path, a person or
a host, so that it can be pasted into a public issue.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from voidimg.errors import StoreError, ToolError, VoidimgError
from voidimg.fetch import Cache
from voidimg.host_packages import this_host
from voidimg.run import find_program, run
from voidimg.sandbox import binfmt, namespace
from voidimg.smoke.u_boot import find_u_boot
from voidimg.smoke.uefi import find_uefi
from voidimg.spec.model import Recipe
from voidimg.units import format_size
from voidimg.work_filesystem import PRIVILEGED, TREE_NEEDS, Lack, lacks

State = Literal["good", "warning", "bad"]
"""Warnings are about what some builds need, or what may go wrong."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that was looked at.

    Attributes:
        group: what it belongs to, such as ``programs``.
        name: of it.
        state: whether it is as builds need it.
        found: what was seen.
        needed_for: what it is needed for, where that is not everything.
        mend: the command that mends it, or what else to do.
    """

    group: str
    name: str
    state: State
    found: str
    needed_for: str = ""
    mend: str | None = None

    def as_json(self) -> dict[str, object]:
        """The condition as a JSON-ready mapping."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found out: the `system` in a line, and its conditions."""

    system: str
    conditions: tuple[Condition, ...]

    @property
    def can_build(self) -> bool:
        """Whether nothing stands against it."""
        return not any(one.state == "bad" for one in self.conditions)

    def as_json(self) -> dict[str, object]:
        """The diagnosis as a JSON-ready mapping."""
        return {
            "system": self.system,
            "can_build": self.can_build,
            "conditions": [one.as_json() for one in self.conditions],
        }


Purpose = Literal["trees", "disk images", "live ISOs", "lint and inspect", "smoke"]


@dataclass(frozen=True, slots=True)
class _Program:
    """A program, what it is called for, and the words that make it say its version."""

    name: str
    purpose: Purpose
    version: tuple[str, ...] | None = None


_PROGRAMS = (
    _Program("openssl", "trees", ("version",)),
    _Program("mount", "trees", ("--version",)),
    _Program("mke2fs", "disk images", ("-V",)),
    _Program("debugfs", "disk images", ("-V",)),
    _Program("e2fsck", "disk images", ("-V",)),
    _Program("unshare", "disk images", ("--version",)),
    _Program("mkfs.vfat", "disk images", ()),
    _Program("fsck.vfat", "disk images", ()),
    _Program("mcopy", "disk images", ("-V",)),
    _Program("mmd", "disk images", ("-V",)),
    _Program("mksquashfs", "live ISOs", ("-version",)),
    _Program("grub-mkimage", "live ISOs", ("--version",)),
    _Program("mdir", "lint and inspect", ("-V",)),
    _Program("mtype", "lint and inspect", ("-V",)),
    _Program("unsquashfs", "lint and inspect", ("-version",)),
    _Program("qemu-system-aarch64", "smoke", ("--version",)),
    _Program("qemu-system-arm", "smoke", ("--version",)),
    _Program("qemu-system-i386", "smoke", ("--version",)),
    _Program("qemu-system-x86_64", "smoke", ("--version",)),
    _Program("qemu-img", "smoke", ("--version",)),
    _Program("fdtput", "smoke", ("-V",)),
)
_OF_ORDINARY_USERS = (_Program("newuidmap", "trees"), _Program("newgidmap", "trees"))

_ARCHES = ("x86_64", "i686", "aarch64", "armv7l")
"""One architecture for each emulator that Void's platforms need."""

_VERSION = re.compile(r"\d+(?:\.\d+)+[a-z0-9.-]*")
_ANY_STATUS = range(256)

_LEAST_BYTES = 2**29
_LOW_BYTES = 4 * 2**30
"""A tree of a Raspberry Pi, its image raw and compressed, and its packages take so much."""
_LOW_FILES = 100_000
"""A tree has so many files."""

_FIRST_RELEASE = 1704067200
"""2024-01-01: a clock that says less is wrong, and certificates of mirrors are not valid yet."""
_LAST_OF_32_BITS = 2**31 - 1


def diagnose(
    cache: Path, out: Path, recipes: Sequence[Recipe] = (), *, now: int | None = None
) -> Diagnosis:
    """Whether this machine can build, in a second or two; nothing is fetched.

    Args:
        cache: the directory of the cache; it is made if need be.
        out: the directory of image sets; it is only looked at.
        recipes: what is to be built. What they do not need is worth a warning; without any, disk
            images are asked for.
        now: seconds since 1970; None means the present time.

    Raises:
        UsageError, StoreError: `cache` is no cache of the caller's own, so nothing is tried there.
    """
    _enter(cache)
    arches = tuple(dict.fromkeys(one.arch for one in recipes))
    purposes = _purposes(recipes)
    inside = _asked_inside(cache, arches or _ARCHES)
    present = int(time.time()) if now is None else now
    conditions = [
        *_namespace_conditions(inside),
        *_program_conditions(purposes),
        *_firmware_conditions(),
        *_emulation_conditions(inside, needed=arches),
        _filesystem_condition(cache, inside),
        _room_condition("cache", cache, _LOW_BYTES),
        _room_condition("out", out, _LOW_BYTES // 4),
        _clock_condition(present),
    ]
    return Diagnosis(_system(), tuple(conditions))


def _enter(cache: Path) -> None:
    try:
        Cache(cache).make_directory()
    except StoreError as error:
        if error.code in ("E-STORE-CACHE-OWNER", "E-STORE-CACHE-MODE"):
            raise


def _system() -> str:
    person = "root" if os.geteuid() == 0 else "an ordinary user"
    python = ".".join(map(str, sys.version_info[:3]))
    return (
        f"{this_host().title}, Linux {platform.release()}, {platform.machine()},"
        f" Python {python}, as {person}"
    )


def _purposes(recipes: Sequence[Recipe]) -> frozenset[Purpose]:
    found: set[Purpose] = {"trees"}
    if not recipes or any(one.disk is not None for one in recipes):
        found.add("disk images")
    if any(one.live is not None for one in recipes):
        found.add("live ISOs")
    return frozenset(found)


# --- within the namespace of a build ---


@dataclass(frozen=True, slots=True)
class _Inside:
    """What was seen in the user namespace: ids, the file system, and emulators.

    `emulation` has the error of each architecture whose programs cannot be run.
    """

    uids: int
    gids: int
    lacking: tuple[Lack, ...]
    emulation: dict[str, VoidimgError | None]


def _asked_inside(cache: Path, arches: Sequence[str]) -> _Inside | VoidimgError:
    try:
        return namespace.call(_look_inside, cache, arches)
    except VoidimgError as error:
        return error


def _look_inside(cache: Path, arches: Sequence[str]) -> _Inside:
    try:
        lacking = lacks(cache, PRIVILEGED)
    except VoidimgError:
        lacking = ()  # that nothing can be written there is seen from outside too
    emulation: dict[str, VoidimgError | None] = {}
    for arch in arches:
        try:
            binfmt.register(arch)
            emulation[arch] = None
        except VoidimgError as error:
            emulation[arch] = error
    return _Inside(_mapped("uid"), _mapped("gid"), lacking, emulation)


def _mapped(kind: str) -> int:
    """How many ids there are in this namespace (user_namespaces(7))."""
    lines = Path(f"/proc/self/{kind}_map").read_text("ascii").splitlines()
    return sum(int(line.split()[2]) for line in lines)


def _namespace_conditions(inside: _Inside | VoidimgError) -> Iterable[Condition]:
    group, name = "namespaces", "user namespace"
    if isinstance(inside, VoidimgError):
        yield Condition(group, name, "bad", inside.what, mend=inside.hint)
        return
    ids = f"{inside.uids} uids and {inside.gids} gids"
    yield Condition(group, name, "good", f"made, with {ids}")


def _emulation_conditions(
    inside: _Inside | VoidimgError, needed: Collection[str]
) -> Iterable[Condition]:
    group = "emulation"
    if isinstance(inside, VoidimgError):
        return
    for arch, error in inside.emulation.items():
        if binfmt.is_native(arch):
            yield Condition(group, arch, "good", "runs here natively")
        elif error is None:
            yield Condition(group, arch, "good", "qemu-user and binfmt_misc run its programs")
        else:
            state: State = "bad" if arch in needed else "warning"
            use = f"platforms for {arch}"
            yield Condition(group, arch, state, error.what, use, error.hint)


# --- programs ---


def _program_conditions(purposes: Collection[Purpose]) -> list[Condition]:
    wanted = _PROGRAMS if os.geteuid() == 0 else (*_OF_ORDINARY_USERS, *_PROGRAMS)
    with ThreadPoolExecutor() as pool:
        versions = list(pool.map(_version_of, wanted))
    return [
        _program_condition(program, version, required=program.purpose in purposes)
        for program, version in zip(wanted, versions, strict=True)
    ]


def _program_condition(program: _Program, version: str | None, *, required: bool) -> Condition:
    group, use = "programs", program.purpose
    if version is not None:
        return Condition(group, program.name, "good", version or "there", use)
    state: State = "bad" if required else "warning"
    mend = this_host().installing([program.name])
    return Condition(group, program.name, state, "not installed", use, mend)


def _version_of(program: _Program) -> str | None:
    """The version that a program says it has, empty if it says none; None if it is not there."""
    try:
        find_program(program.name)
    except ToolError:
        return None
    if program.version is None:
        return ""
    try:
        ended = run([program.name, *program.version], good=_ANY_STATUS)
    except ToolError:
        return ""
    said = _VERSION.search(ended.stderr + ended.stdout.decode("utf-8", "replace"))
    return "" if said is None else said[0]


_FIRMWARE: Mapping[str, Callable[[], object]] = {
    "UEFI for x86_64": lambda: find_uefi("qemu-system-x86_64"),
    "UEFI for i386": lambda: find_uefi("qemu-system-x86_64", ia32=True),
    "UEFI for aarch64": lambda: find_uefi("qemu-system-aarch64"),
    "U-Boot for aarch64": lambda: find_u_boot("qemu-system-aarch64"),
}
"""What it is called -> what raises `ToolError` where it is not installed."""


def _firmware_conditions() -> list[Condition]:
    found = []
    for name, find in _FIRMWARE.items():
        try:
            find()
        except ToolError as error:
            condition = Condition("programs", name, "warning", "not installed", "smoke", error.hint)
        else:
            condition = Condition("programs", name, "good", "there", "smoke")
        found.append(condition)
    return found


# --- the file system, room, time ---


def _filesystem_condition(cache: Path, inside: _Inside | VoidimgError) -> Condition:
    group, name = "file system", "cache"
    try:
        lacking = lacks(cache, TREE_NEEDS - PRIVILEGED)
    except StoreError as error:
        return Condition(group, name, "bad", _reason(error), mend="choose a place with --cache DIR")
    except VoidimgError as error:
        return Condition(group, name, "bad", _reason(error), mend="voidimg cache gc --older 30")
    if isinstance(inside, _Inside):
        lacking += inside.lacking
    if lacking:
        found = f"lacks {', '.join(map(str, lacking))}"
        return Condition(group, name, "bad", found, mend="choose another place with --cache DIR")
    return Condition(group, name, "good", f"keeps {', '.join(sorted(TREE_NEEDS))}")


def _reason(error: VoidimgError) -> str:
    """Why, without the path."""
    cause = error.__cause__
    return cause.strerror or "" if isinstance(cause, OSError) else "it cannot be used"


def _room_condition(name: str, directory: Path, low_bytes: int) -> Condition:
    existing = directory
    while not existing.exists():
        existing = existing.parent
    try:
        free = shutil.disk_usage(existing).free
        status = os.statvfs(existing)
    except OSError as error:
        return Condition("room", name, "warning", f"cannot be told: {error.strerror}")
    # some file systems make files as they need them and say 0
    few = status.f_files > 0 and status.f_favail < _LOW_FILES
    found = f"{format_size(free)} free" + (f", {status.f_favail} files" if few else "")
    state: State = (
        "bad" if free < _LEAST_BYTES else "warning" if free < low_bytes or few else "good"
    )
    mend = (
        None
        if state == "good"
        else "voidimg cache gc --older 30, or other places with --cache and --out"
    )
    return Condition("room", name, state, found, mend=None if state == "good" else mend)


def _clock_condition(now: int) -> Condition:
    shown = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if now < _FIRST_RELEASE:
        found = f"{shown}: certificates of mirrors are not valid yet"
    elif now > _LAST_OF_32_BITS:
        found = f"{shown}: many file systems hold no time after 2038-01-19"
    else:
        return Condition("clock", "time", "good", shown)
    mend = "as root: date -u -s 'YYYY-MM-DD HH:MM:SS'"
    return Condition("clock", "time", "warning", found, "fetching by https", mend)
