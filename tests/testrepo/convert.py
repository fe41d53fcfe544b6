"""Turns Debian packages and the written parts into the list of XBPS packages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from voidimg.errors import PackageError

from . import elf, raspberry
from .deb import Deb, read_deb
from .model import HANDMADE_MTIME, Member, Package
from .paths import merged, merged_link
from .scripts import render_script, triggers_of
from .selection import Selection, void_version
from .source import Source, read_source, source_names

ARCHITECTURE = "aarch64"
_KERNEL = "linux-image-"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What one conversion works on: the chosen packages and where their files are."""

    selection: Selection
    deb_files: Mapping[str, Path]

    def packages(self, only: Iterable[str] | None = None) -> Iterator[Package]:
        """The packages in order of name; `only` these if given.

        Raises:
            PackageError: two packages own one path, a shared library has no owner, or
                dependencies go in a circle.
        """
        groups = self._groups()
        versions = self._versions(groups)
        names = sorted(versions) if only is None else sorted(only)
        for name in names:
            yield self._package(name, groups.get(name, ()), versions)

    def kernel_version(self) -> str:
        """The kernel's version as an XBPS version."""
        return void_version(self.selection.debs["linux-image-arm64"].version)

    def kernel_release(self) -> str:
        """What `uname -r` says under the kernel: the name of its modules directory."""
        name = next(name for name in self.selection.debs if name.startswith(f"{_KERNEL}6."))
        return name.removeprefix(_KERNEL)

    def _kernel_source(self) -> raspberry.KernelSource:
        release = self.kernel_release()
        return raspberry.KernelSource(
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
        for name in source_names():
            version = read_source(name).version
            if version or name not in versions:
                versions[name] = version
        versions["rpi-kernel"] = self.kernel_version()
        versions["rpi-initramfs"] = self.kernel_version()
        return versions

    def _package(self, name: str, debs: Sequence[str], versions: Mapping[str, str]) -> Package:
        source = read_source(name)
        read = [read_deb(self.deb_files[deb]) for deb in debs]
        members, conf_files = self._members(source, read)
        if name in raspberry.EXTRA:
            members = [*members, *raspberry.EXTRA[name](self._kernel_source())]
        members = _placed(members, source)
        depends = self._depends(source, debs, versions)
        provided, required = _shared_libraries(members)
        return Package(
            name=name,
            version=versions[name],
            architecture=source.architecture or _architecture(read, members),
            short_desc=source.short_desc or self.selection.debs[debs[0]].summary,
            members=tuple(members),
            depends=depends,
            provides=source.provides,
            replaces=source.replaces,
            conflicts=source.conflicts,
            conf_files=tuple(sorted({*conf_files, *source.conf_files})),
            alternatives=source.alternatives,
            shlib_provides=provided,
            shlib_requires=required,
            install=render_script("install", self._variables(source), source.install),
            remove=render_script("remove", self._variables(source), source.remove),
        )

    def _variables(self, source: Source) -> dict[str, str]:
        release = self.kernel_release()
        return {name: value.replace("@KERNEL@", release) for name, value in source.triggers.items()}

    def _members(self, source: Source, debs: Sequence[Deb]) -> tuple[list[Member], set[str]]:
        members = []
        conf_files = set()
        for deb in debs:
            for member in deb.members:
                moved = _moved(member, source)
                if moved is not None and self._wanted(moved.path, source):
                    members.append(moved)
            conf_files |= {_renamed(merged(path), source) for path in deb.conf_files}
        present = {member.path for member in members if member.kind == "file"}
        return members, conf_files & present

    def _wanted(self, path: str, source: Source) -> bool:
        # A pattern the package itself names wins over the general ones.
        if source.keep and source.wants(path):
            return True
        pruned = any(fnmatchcase(path, pattern) for pattern in self.selection.names.prune)
        return not pruned and source.wants(path)

    def _depends(
        self, source: Source, debs: Sequence[str], versions: Mapping[str, str]
    ) -> tuple[str, ...]:
        found = self.selection.run_depends(source.name, debs, versions)
        for name in source.without:
            found.pop(name, None)
        for pattern in source.depends:
            found[pattern.split(">")[0].split("<")[0]] = pattern
        if triggers_of(source.triggers):
            found.setdefault("xbps-triggers", "xbps-triggers>=0")
        return tuple(pattern for _, pattern in sorted(found.items()))


def check(packages: Sequence[Package]) -> None:
    """Make sure that the packages fit together.

    Raises:
        PackageError: two packages own one path, a library or dependency has no owner, or
            dependencies go in a circle.
    """
    owners: dict[str, str] = {}
    for package in packages:
        for member in package.members:
            other = owners.setdefault(member.path, package.name)
            if other != package.name:
                raise PackageError(
                    f"{member.path} is also in {other}", code="TESTREPO", where=package.name
                )
    sonames = {soname for package in packages for soname in package.shlib_provides}
    for package in packages:
        missing = sorted(set(package.shlib_requires) - sonames)
        if missing:
            raise PackageError(
                f"nothing provides {', '.join(missing)}", code="TESTREPO", where=package.name
            )
    _check_order({package.name: package for package in packages})


def _check_order(packages: Mapping[str, Package]) -> None:
    provided = {
        text.rpartition("-")[0]: package.name
        for package in packages.values()
        for text in package.provides
    }
    done: set[str] = set()

    def visit(name: str, chain: tuple[str, ...]) -> None:
        if name in chain:
            circle = " -> ".join((*chain[chain.index(name) :], name))
            raise PackageError(f"a circle: {circle}", code="TESTREPO", where=name)
        if name in done:
            return
        if name not in packages:
            raise PackageError("does not exist", code="TESTREPO", where=" -> ".join((*chain, name)))
        for pattern in packages[name].depends:
            wanted = pattern.split(">")[0].split("<")[0]
            visit(provided.get(wanted, wanted), (*chain, name))
        done.add(name)

    for name in packages:
        visit(name, ())


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
    for path, mode in source.modes.items():
        found[path] = replace(found[path], mode=int(mode, 8))
    return [member for _, member in sorted(found.items())]


def _architecture(debs: Sequence[Deb], members: Sequence[Member]) -> str:
    if any(deb.architecture != "all" for deb in debs):
        return ARCHITECTURE
    return ARCHITECTURE if any(elf.is_elf(m.content) for m in members) else "noarch"


def _shared_libraries(members: Sequence[Member]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    provided: set[str] = set()
    required: set[str] = set()
    for member in members:
        if not elf.is_elf(member.content) or member.path.startswith(
            ("/boot/", "/usr/lib/modules/")
        ):
            continue
        names = elf.shared_names(member.content)
        required.update(names.needed)
        if names.soname:
            provided.add(names.soname)
    return tuple(sorted(provided)), tuple(sorted(required - provided))
