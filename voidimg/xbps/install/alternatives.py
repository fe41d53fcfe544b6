"""Alternatives: several packages offer one link, one of them has it.

A package's ``alternatives`` are groups of strings ``link:target``. For each group the package
database lists its providers; the first one is current and its links are on disk. Behaviour as
xbps 0.60.7, ``lib/package_alternatives.c``, except that nothing outside the tree is touched and
that a link replaces files and links only.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from voidimg.errors import PackageError
from voidimg.tree.tree import Tree
from voidimg.xbps.plist import PlistDict, PlistValue

_MAX_SPEC = 4096
_MAX_SPEC_DEPTH = 128
"""Every directory on the way to a link is remembered whole; Void's lie some ten levels deep."""


@dataclass(frozen=True, slots=True)
class Link:
    """One link of a group: its absolute path, its text, and the directories that must exist."""

    path: str
    text: str
    directories: tuple[str, ...]


def parse_link(spec: str, *, where: str) -> Link:
    """`spec`, ``link:target``, as the link to make.

    A relative link lies in the directory of the target. An absolute target becomes a text
    relative to the link's directory; a relative target is the text as it stands.

    Raises:
        PackageError: one side is missing, or the link would lie outside of the tree.

    >>> parse_link("/usr/bin/vi:/usr/libexec/vim", where="vim-9_1").text
    '../libexec/vim'
    """
    link, colon, rest = spec.partition(":")
    target = rest.partition(":")[0]
    length = len(spec.encode("utf-8", "surrogateescape"))
    if length > _MAX_SPEC or spec.count("/") > _MAX_SPEC_DEPTH:
        raise PackageError(
            f"{spec[:80]!r}... is too long or too deep for a link",
            code="ALTERNATIVE",
            where=where,
            hint="the package's alternatives are malformed",
        )
    if not colon or not link or not target:
        raise PackageError(
            f"{spec!r} is not of the form 'link:target'",
            code="ALTERNATIVE",
            where=where,
            hint="the package's alternatives are malformed",
        )
    target_directory = _dirname(target)
    if not link.startswith("/"):
        link = f"{target_directory}/{link}"
    parts = _clean(link, where)
    if not parts:
        raise _escape(link, where)
    directories = list(_directories(target_directory)) if target.startswith("/") else []
    directories += _directories(_dirname(link))
    text = _relative(parts, _clean(target, where)) if target.startswith("/") else target
    return Link("/" + "/".join(parts), text, tuple(dict.fromkeys(directories)))


def links_of(alternatives: Mapping[str, PlistValue], *, where: str) -> dict[str, tuple[Link, ...]]:
    """The groups of an ``alternatives`` dictionary in byte order, with their links.

    Raises:
        PackageError: it is not a dictionary of arrays of ``link:target`` strings.
    """
    groups: dict[str, tuple[Link, ...]] = {}
    for group in sorted(alternatives, key=_bytes):
        specs = alternatives[group]
        if not isinstance(specs, list) or not all(isinstance(spec, str) for spec in specs):
            raise PackageError(
                f"the alternatives group {group} is not an array of strings",
                code="ALTERNATIVE",
                where=where,
            )
        groups[group] = tuple(parse_link(str(spec), where=where) for spec in specs)
    return groups


def alternatives_of(entry: PlistDict) -> dict[str, tuple[Link, ...]]:
    """The groups that a package (index entry, properties or database entry) offers."""
    offered = entry.get("alternatives")
    where = str(entry.get("pkgver", "package"))
    return links_of(offered, where=where) if isinstance(offered, dict) else {}


Providers = dict[str, list[str]]
"""Group -> names of the packages that offer it, the current one first."""


class Alternatives:
    """Registers and unregisters providers in `groups` and keeps the links in `tree` true.

    `packages` are the entries of the package database, by name: where the links of other
    providers are found. `groups` is changed in place.
    """

    def __init__(self, tree: Tree, groups: Providers, packages: Mapping[str, PlistDict]) -> None:
        self.tree = tree
        self.groups = groups
        self.packages = packages

    def register(self, name: str, entry: PlistDict) -> None:
        """Enter package `name` into the groups of `entry`; links follow if it is current."""
        for group, links in alternatives_of(entry).items():
            providers = self.groups.setdefault(group, [])
            if name not in providers:
                providers.append(name)
            if providers[0] == name:
                self._create(links, str(entry.get("pkgver", name)))

    def before_update(self, name: str, old: PlistDict, new: PlistDict) -> None:
        """Take the links of the old version away, and leave the groups that the new one drops.

        A dropped group goes to the next provider. If the new package still depends on others it
        is taken for a transitional package, and the provider that came last, its replacement,
        gets the group.
        """
        kept = alternatives_of(new)
        for group, links in alternatives_of(old).items():
            providers = self.groups.get(group)
            if not providers or name not in providers:
                continue
            current = providers[0] == name
            if current:
                self._delete(links)
            if group not in kept:
                self._leave(group, name)
                transitional = bool(new.get("run_depends") or new.get("shlib-requires"))
                if current and transitional and providers:
                    providers.insert(0, providers.pop())
                if current:
                    self._hand_over(group)

    def unregister(self, name: str, entry: PlistDict) -> None:
        """Take the removed package `name` out of its groups; the next provider takes over."""
        for group, links in alternatives_of(entry).items():
            providers = self.groups.get(group)
            if not providers or name not in providers:
                continue
            current = providers[0] == name
            if current:
                self._delete(links)
            self._leave(group, name)
            if current:
                self._hand_over(group)

    def choose(self, name: str, group: str | None = None) -> None:
        """Make `name` the current provider of `group`, or of all groups it offers.

        Raises:
            PackageError: the package is not installed or does not offer the group.
        """
        entry = self.packages.get(name)
        offered = {} if entry is None else alternatives_of(entry)
        if not offered or (group is not None and group not in offered):
            raise PackageError(
                f"{name} offers no alternatives" + (f" for {group}" if group else ""),
                code="ALTERNATIVE-UNKNOWN",
                where=name,
                hint="name an installed package that offers the group",
            )
        for key, links in offered.items():
            if group not in (None, key) or key not in self.groups:
                continue
            providers = self.groups[key]
            if providers[0] != name:
                self._delete(self._links(providers[0], key))
            providers[:] = [name, *(other for other in providers if other != name)]
            self._create(links, name)

    def _links(self, name: str, group: str) -> tuple[Link, ...]:
        entry = self.packages.get(name)
        return () if entry is None else alternatives_of(entry).get(group, ())

    def _leave(self, group: str, name: str) -> None:
        self.groups[group].remove(name)
        if not self.groups[group]:
            del self.groups[group]

    def _hand_over(self, group: str) -> None:
        providers = self.groups.get(group)
        if providers:
            self._create(self._links(providers[0], group), providers[0])

    def _create(self, links: Iterable[Link], where: str) -> None:
        for link in links:
            for directory in link.directories:
                self.tree.mkdir(directory, parents=True)
            status = self.tree.lstat(link.path)
            if status is not None and stat.S_ISDIR(status.st_mode):
                raise PackageError(
                    f"the alternatives link {link.path} cannot be made: a directory is there",
                    code="ALTERNATIVE-DIRECTORY",
                    where=where,
                )
            self.tree.symlink(link.path, link.text)

    def _delete(self, links: Iterable[Link]) -> None:
        """Remove `links`; a file or directory that somebody put in the place of one stays."""
        for link in links:
            status = self.tree.lstat(link.path)
            if status is not None and stat.S_ISLNK(status.st_mode):
                self.tree.remove(link.path)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _dirname(path: str) -> str:
    """dirname(3): without slashes at the end, up to the last slash."""
    head, slash, _ = path.rstrip("/").rpartition("/")
    return head.rstrip("/") if slash else "."


def _clean(path: str, where: str) -> list[str]:
    """The components of `path` from the root, with ``.`` and ``..`` resolved by text alone."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                raise _escape(path, where)
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return parts


def _directories(directory: str) -> Iterator[str]:
    """Every directory passed on the way to `directory`, also those that ``..`` leaves again."""
    parts: list[str] = []
    for part in directory.split("/"):
        if part == "..":
            parts.pop()  # never empty: the path was cleaned before
        elif part not in ("", "."):
            parts.append(part)
            yield "/" + "/".join(parts)


def _relative(link: list[str], target: list[str]) -> str:
    """The text of a link at `link` that means `target`.

    The last component of neither side counts as common: ``/a/b/c`` -> ``/a/b`` is ``../b``.
    """
    common = 0
    for ours, theirs in zip(link[:-1], target[:-1], strict=False):
        if ours != theirs:
            break
        common += 1
    return "../" * (len(link) - 1 - common) + "/".join(target[common:])


def _escape(path: str, where: str) -> PackageError:
    return PackageError(
        f"the alternatives path {path!r} lies outside of the tree",
        code="ALTERNATIVE-ESCAPE",
        where=where,
        hint="the package or its index entry is malformed or hostile; do not use it",
    )
