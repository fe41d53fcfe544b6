"""Turns Debian packages and the written parts into the list of XBPS packages."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from . import elf
from .deb import Deb, read_deb
from .model import HANDMADE_MTIME, Member, Package, dependency_name
from .modules import KernelSource
from .paths import merged, merged_link
from .scripts import render_script, triggers_of
from .selection import Selection, void_version
from .source import Source, read_source, source_names
from .target import DEFAULT, Target

_KERNEL = "linux-image-"
_NOT_OF_THE_SYSTEM = ("/boot/", "/usr/lib/modules/", "/usr/lib/grub/", "/usr/lib/syslinux/")


@dataclass(frozen=True, slots=True)
class Conversion:
    """What one conversion works on: the chosen packages and where their files are."""

    selection: Selection
    deb_files: Mapping[str, Path]
    target: Target = DEFAULT

    def packages(self, only: Iterable[str] | None = None) -> Iterator[Package]:
        """The packages in order of name; `only` these if given.

        Debian's archives are decompressed in threads, the order stays.
        """
        groups = self._groups()
        versions = self._versions(groups)
        names = sorted(versions) if only is None else sorted(only)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            yield from pool.map(
                lambda name: self._package(name, groups.get(name, ()), versions), names
            )

    def kernel_version(self) -> str:
        """The kernel's version as an XBPS version."""
        return void_version(self.selection.debs[self.target.kernel].version)

    def kernel_release(self) -> str:
        """What `uname -r` says under the kernel: the name of its modules directory."""
        name = next(name for name in self.selection.debs if name.startswith(f"{_KERNEL}6."))
        return name.removeprefix(_KERNEL)

    def _kernel_source(self) -> KernelSource:
        release = self.kernel_release()
        return KernelSource(
            kernel=self.deb_files[f"{_KERNEL}{release}"],
            release=release,
            busybox=self.deb_files["busybox-static"],
        )

    def _groups(self) -> dict[str, tuple[str, ...]]:
        groups = self.selection.groups()
        return {
            name: debs
            for name, debs in groups.items()
            if not name.startswith(_KERNEL) and name != "busybox-static"
        }

    def _versions(self, groups: Mapping[str, Sequence[str]]) -> dict[str, str]:
        versions = {
            name: void_version(self.selection.debs[debs[0]].version)
            for name, debs in groups.items()
        }
        left_out = self.target.settings().get("without_packages", ())
        for name in source_names(self.target.sources):
            version = read_source(name, *self.target.sources).version
            if name not in left_out and (version or name not in versions):
                versions[name] = version or self.kernel_version()
        return versions

    def _package(self, name: str, debs: Sequence[str], versions: Mapping[str, str]) -> Package:
        source = read_source(name, *self.target.sources)
        extra = self.target.extra.get(name)
        return assemble(
            source,
            [read_deb(self.deb_files[deb]) for deb in debs],
            [] if extra is None else extra(self._kernel_source()),
            version=versions[name],
            short_desc=source.short_desc or self.selection.debs[debs[0]].summary,
            needs=self.selection.run_depends(name, debs, versions),
            prune=self.selection.names.prune,
            kernel_release=self.kernel_release(),
            architecture=self.target.arch,
        )


def assemble(
    source: Source,
    debs: Sequence[Deb],
    extra: Iterable[Member],
    *,
    version: str,
    short_desc: str,
    needs: Mapping[str, str],
    prune: Sequence[str] = (),
    kernel_release: str = "",
    architecture: str = DEFAULT.arch,
) -> Package:
    """One package from its written part, its Debian packages and computed files.

    Args:
        source: the written part; it wins over Debian's files.
        debs: Debian packages, in the order in which they may replace each other's files.
        extra: further files.
        version: with revision.
        short_desc: one line.
        needs: package name to dependency pattern, as Debian has it.
        prune: shell patterns of paths that no package has.
        kernel_release: what `@KERNEL@` in the variables of triggers stands for.
        architecture: of the package, where neither it nor Debian says that it is for all.
    """
    found, conf_files = _members(source, debs, prune)
    members = _placed([*found, *extra], source)
    provided, required = _shared_libraries(members, source.sonames)
    variables = {
        name: value.replace("@KERNEL@", kernel_release) for name, value in source.triggers.items()
    }
    triggers = triggers_of(variables, (member.path for member in members))
    return Package(
        name=source.name,
        version=version,
        architecture=source.architecture.replace("@ARCH@", architecture)
        or _architecture(debs, members, architecture),
        short_desc=short_desc,
        members=tuple(members),
        depends=_depends(source, needs),
        provides=source.provides,
        replaces=source.replaces,
        conflicts=source.conflicts,
        conf_files=tuple(sorted({*conf_files, *source.conf_files})),
        alternatives=source.alternatives,
        shlib_provides=provided,
        shlib_requires=required,
        preserve=source.preserve,
        build_date=source.build_date,
        install=render_script("install", variables, source.install, triggers),
        remove=render_script("remove", variables, source.remove, triggers),
    )


def _members(
    source: Source, debs: Sequence[Deb], prune: Sequence[str]
) -> tuple[list[Member], set[str]]:
    members = []
    conf_files = set()
    for deb in debs:
        for member in deb.members:
            moved = _moved(member, source)
            if moved is not None and _is_wanted(moved.path, source, prune):
                members.append(moved)
        conf_files |= {_renamed(merged(path), source) for path in deb.conf_files}
    return members, conf_files & {member.path for member in members if member.kind == "file"}


def _is_wanted(path: str, source: Source, prune: Sequence[str]) -> bool:
    # A pattern the package itself names wins over the general ones.
    if source.keep and source.wants(path):
        return True
    return source.wants(path) and not any(fnmatchcase(path, pattern) for pattern in prune)


def _depends(source: Source, needs: Mapping[str, str]) -> tuple[str, ...]:
    # Debian's by name, then those written here in their own order, which is that of installing.
    found = {name: needs[name] for name in sorted(needs) if name not in source.without}
    for pattern in source.depends:
        found.pop(dependency_name(pattern), None)
        found[dependency_name(pattern)] = pattern
    return tuple(found.values())


def _moved(member: Member, source: Source) -> Member | None:
    path = _renamed(merged(member.path), source)
    if member.kind == "hardlink":
        return replace(member, path=path, target=_renamed(merged(member.target), source))
    if member.kind == "symlink":
        text = merged_link(member.path, member.target)
        return None if text is None else replace(member, path=path, target=text)
    return replace(member, path=path)


def _renamed(path: str, source: Source) -> str:
    if path in source.move:
        return source.move[path]
    for old, new in source.move.items():
        if old.endswith("/") and path.startswith(old):
            return new + path[len(old) :]
    return path


def _placed(members: Iterable[Member], source: Source) -> list[Member]:
    # Later ones replace earlier ones: Debian's parts in order, then what is written here.
    found = {member.path: member for member in members}
    for member in source.files:
        found[member.path] = member
    for path, text in source.links.items():
        found[path] = Member(path, "symlink", 0o777, mtime=HANDMADE_MTIME, target=text)
    for pattern, mode in source.modes.items():
        paths = [path for path in found if fnmatchcase(path, pattern)]
        if not paths:
            raise LookupError(f"{source.name} has nothing like {pattern}")
        for path in paths:
            found[path] = replace(found[path], mode=int(mode, 8))
    return [member for _, member in sorted(found.items())]


def _architecture(debs: Sequence[Deb], members: Sequence[Member], native: str) -> str:
    if any(deb.architecture != "all" for deb in debs):
        return native
    return native if any(_is_program(member) for member in members) else "noarch"


def _is_program(member: Member) -> bool:
    """Whether it is a program or library of the system: not the kernel's, nor a boot loader's."""
    return elf.is_elf(member.content) and not member.path.startswith(_NOT_OF_THE_SYSTEM)


def _shared_libraries(
    members: Sequence[Member], sonames: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    provided = set(sonames)
    required: set[str] = set()
    for member in members:
        if not _is_program(member):
            continue
        names = elf.shared_names(member.content)
        required.update(names.needed)
        if names.soname:
            provided.add(names.soname)
    return tuple(sorted(provided)), tuple(sorted(required - provided))
