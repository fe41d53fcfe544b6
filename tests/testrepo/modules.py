"""Chooses kernel modules with what they need, and writes the index modprobe reads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock

from voidimg.run import run

from . import elf
from .deb import Deb, read_deb
from .model import HANDMADE_MTIME, Member
from .paths import merged


@dataclass(frozen=True, slots=True)
class KernelSource:
    """What the packages are cut from: the kernel's `.deb`, its release, a static busybox's."""

    kernel: Path
    release: str
    busybox: Path


@dataclass(frozen=True, slots=True)
class Module:
    """A kernel module: its file, and the modules that must be loaded before it."""

    member: Member
    needs: tuple[str, ...]


def read_kernel(path: Path) -> Deb:
    """The kernel's `.deb`; several packages are cut from it, perhaps in threads: read once."""
    with _reading:
        return _read_deb_once(path)


_reading = Lock()
_read_deb_once = cache(read_deb)


def module_members(deb: Deb, release: str, keep: Iterable[str], *, mtime: int) -> list[Member]:
    """The modules `keep` with all they need, and their index, below /usr/lib/modules.

    Raises:
        LookupError: the kernel does not have one of them.
    """
    content = {member.path: member for member in deb.members}
    kept = choose(deb, keep)
    listings = [
        content[f"/lib/modules/{release}/modules.{name}"]
        for name in ("builtin", "builtin.modinfo", "order")
    ]
    return [
        *_moved([module.member for module in kept]),
        *_module_index([*listings, *(module.member for module in kept)], release, mtime),
    ]


def choose(deb: Deb, wanted: Iterable[str]) -> list[Module]:
    """The modules `wanted` with what they need, dependencies first.

    A soft dependency may be built in or not exist: then there is no file.

    Raises:
        LookupError: the kernel does not have one of them.
    """
    modules = _modules(deb)
    ordered: dict[str, Module] = {}

    def add(name: str, chain: tuple[str, ...]) -> None:
        if name in ordered or name in chain or name not in modules:
            return
        for need in modules[name].needs:
            add(need, (*chain, name))
        ordered[name] = modules[name]

    for name in wanted:
        if _same(name) not in modules:
            raise LookupError(f"the kernel has no module {name}")
        add(_same(name), ())
    return list(ordered.values())


def _modules(deb: Deb) -> Mapping[str, Module]:
    found = {}
    for member in deb.members:
        if not member.path.endswith(".ko"):
            continue
        fields = elf.module_fields(member.content)
        needs = [
            name for key, value in fields if key == "depends" for name in value.split(",") if name
        ]
        for key, value in fields:
            words = value.split()
            if key == "softdep" and words and words[0] == "pre:":
                needs += words[1:]
        name = member.path.rsplit("/", 1)[1].removesuffix(".ko")
        found[_same(name)] = Module(member, tuple(_same(need) for need in needs))
    return found


def _same(name: str) -> str:
    return name.replace("-", "_")


def _moved(members: Iterable[Member]) -> list[Member]:
    return [
        Member(merged(member.path), "file", 0o644, mtime=member.mtime, content=member.content)
        for member in members
    ]


def _module_index(inputs: Sequence[Member], release: str, mtime: int) -> list[Member]:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        for member in inputs:
            path = top / member.path.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(member.content)
        run(["depmod", "-b", top, release])
        directory = top / "lib" / "modules" / release
        return [
            Member(
                f"/usr/lib/modules/{release}/{file.name}",
                "file",
                0o644,
                mtime=mtime or HANDMADE_MTIME,
                content=file.read_bytes(),
            )
            for file in sorted(directory.glob("modules.*"))
        ]
