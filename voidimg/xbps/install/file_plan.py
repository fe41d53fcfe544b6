"""What a transaction does to files: who conflicts with whom, and what has become obsolete.

Decided before anything is touched, from the file lists of the old and new packages and the tree
(xbps 0.60.7, ``lib/transaction_files.c``). Stricter than xbps in one point: a path below another
package's link or file is a conflict also when the list names no directory in between.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from voidimg.errors import PackageError, StoreError
from voidimg.tree.tree import NotInTreeError, Tree
from voidimg.xbps.package.file_list import Kind, Listed
from voidimg.xbps.package.link_target import Links

KEPT_LINKS = frozenset(
    (
        "/bin",
        "/sbin",
        "/usr/sbin",
        "/lib",
        "/lib32",
        "/lib64",
        "/usr/lib32",
        "/usr/lib64",
        "/var/run",
    )
)
"""Links of Void's merged /usr, which no update or removal may take away."""

_CHUNK = 1 << 20
_MAX_PARENTS = 256 * 2**20
"""Most characters in the names of all directories of a transaction; a large one has 20 million."""


@dataclass(frozen=True, slots=True)
class Change:
    """The files of one step: `new` of the package unpacked, `old` of the version installed.

    Attributes:
        name: package name.
        pkgver: of the new version, or of the one removed.
        new: what is unpacked; None when the step only removes.
        old: what is installed; None when nothing is.
        preserve: whether files stay that the step would take away: the new package says so, or
            the one removed does.
    """

    name: str
    pkgver: str
    new: tuple[Listed, ...] | None
    old: tuple[Listed, ...] | None
    preserve: bool

    @property
    def removes(self) -> bool:
        """Whether the package goes and nothing of its name comes in its place."""
        return self.new is None


@dataclass(slots=True)
class FilePlan:
    """The result: `obsolete` paths by the package whose step removes them, longest first.

    `shared` are paths that several packages bring, met only when conflicts are ignored.
    """

    obsolete: dict[str, list[str]] = field(default_factory=dict)
    shared: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Side:
    change: Change
    index: int
    listed: Listed

    @property
    def kind(self) -> Kind:
        """The kind as far as conflicts and changes of type go: one for all files."""
        return Kind.FILE if self.listed.is_regular else self.listed.kind


@dataclass(slots=True)
class _Item:
    old: _Side | None = None
    new: _Side | None = None
    deleted: bool = False


def plan_files(
    tree: Tree,
    changes: Sequence[Change],
    *,
    preserved: Collection[str] = (),
    ignore_conflicts: bool = False,
) -> FilePlan:
    """The obsolete files of a transaction, having made sure that its packages agree.

    Args:
        tree: where the old versions are installed; only read.
        changes: in the order of the transaction.
        preserved: absolute paths that are never removed.
        ignore_conflicts: let the later package win (``xbps-install -I``). A package that is in
            conflict with itself is refused all the same.

    Raises:
        PackageError: ``FILE-CONFLICT``, two packages bring one path; ``THROUGH-LINK``, a package
            has a path below its own link or file; ``DIRECTORY-KEPT``, a directory should become
            something else but still holds other files.
    """
    plan = FilePlan()
    items: dict[str, _Item] = {}
    for index, change in enumerate(changes):
        for listed in change.new or ():
            _add_new(items, _Side(change, index, listed), plan, ignore_conflicts=ignore_conflicts)
        for listed in change.old or ():
            _add_old(items, _Side(change, index, listed))
    _refuse_paths_below_files(items, ignore_conflicts=ignore_conflicts)
    if any(change.old for change in changes):
        _plan_obsolete(tree, items, preserved, plan)
    return plan


def _add_old(items: dict[str, _Item], side: _Side) -> None:
    """Of several that leave one directory the last takes it away; what one preserves stays."""
    item = items.setdefault(side.listed.path, _Item())
    other = item.old
    if (
        other is None
        or (not other.change.preserve and side.change.preserve)
        or (other.kind is side.kind is Kind.DIRECTORY and not other.change.preserve)
    ):
        item.old = side


def _add_new(
    items: dict[str, _Item], side: _Side, plan: FilePlan, *, ignore_conflicts: bool
) -> None:
    item = items.setdefault(side.listed.path, _Item())
    other = item.new
    if other is None:
        item.new = side
    elif other.kind is not Kind.DIRECTORY or side.kind is not Kind.DIRECTORY:
        if not ignore_conflicts:
            raise _conflict(side.listed.path, other, side)
        plan.shared.add(side.listed.path)


def _refuse_paths_below_files(items: dict[str, _Item], *, ignore_conflicts: bool) -> None:
    """No new path may lie below a new link or file: unpacking would pass through it."""
    passed: set[str] = set()
    left = _MAX_PARENTS
    for path, item in items.items():
        if item.new is None:
            continue
        parent = path.rpartition("/")[0]
        while parent and parent not in passed:
            passed.add(parent)
            left -= len(parent)
            if left < 0:
                raise PackageError(
                    "the file lists of the packages name too many and too deep directories",
                    code="LIST-SIZE",
                    where=item.new.change.pkgver,
                    hint="the package was made to fill memory",
                )
            above = items.get(parent)
            if above is not None and above.new is not None:
                _refuse_below(above.new, item.new, ignore_conflicts=ignore_conflicts)
            parent = parent.rpartition("/")[0]


def _refuse_below(above: _Side, below: _Side, *, ignore_conflicts: bool) -> None:
    if above.kind is Kind.DIRECTORY:
        return
    if above.change.name == below.change.name:
        raise PackageError(
            f"{below.listed.path} lies below {above.listed.path}, which is a {above.kind.value}"
            " of the same package",
            code="THROUGH-LINK",
            where=below.change.pkgver,
            hint="the package is malformed or hostile; do not use it",
        )
    if not ignore_conflicts:
        raise _conflict(above.listed.path, above, below)


def _conflict(path: str, one: _Side, other: _Side) -> PackageError:
    return PackageError(
        f"{one.change.pkgver} and {other.change.pkgver} both bring {path}"
        f" ({one.listed.kind.value} and {other.listed.kind.value})",
        code="FILE-CONFLICT",
        where=path,
        hint="leave one of the packages out",
    )


def _plan_obsolete(
    tree: Tree, items: dict[str, _Item], preserved: Collection[str], plan: FilePlan
) -> None:
    by_length = sorted(items.items(), key=lambda pair: -len(pair[0].encode("utf-8", "replace")))
    deleted: set[str] = set()
    changed = _changed_links(tree, items)
    for path, item in by_length:
        if item.old is None or path in preserved or not _goes_away(item):
            continue
        if item.old.kind is Kind.DIRECTORY and item.new is not None:
            _require_removable(tree, path, deleted)
        if path in KEPT_LINKS or path in changed:
            continue
        if item.old.listed.sha256:
            same = holds(tree, path, item.old.listed.sha256)
            if same is None:
                deleted.add(path)
            if not same:
                continue
        deleted.add(path)
        first = item.old
        if item.new is not None and item.new.index < item.old.index:
            first = item.new  # or the new package's file would be removed after it was unpacked
        plan.obsolete.setdefault(first.change.name, []).append(path)


def _goes_away(item: _Item) -> bool:
    """Whether the old path is no longer provided, or provided as something of another type."""
    old, new = item.old, item.new
    if old is None:
        return False
    if new is None:
        return not old.change.preserve
    return new.listed.kind is not Kind.CONF_FILE and new.kind is not old.kind


def _changed_links(tree: Tree, items: Mapping[str, _Item]) -> set[str]:
    """Links of packages that are removed which do not lead where they led; an update asks not."""
    changes: dict[str, Change] = {
        item.old.change.name: item.old.change
        for item in items.values()
        if item.old is not None and item.new is None and item.old.change.removes
    }
    return {path for one in changes.values() for path in changed_links(tree, one.old or ())}


def changed_links(tree: Tree, listed: Iterable[Listed]) -> set[str]:
    """Which symlinks of the package with the files `listed` are gone or lead elsewhere in `tree`.

    A list holds the form that `Links.recorded_target` gives, where a link to a link of the same
    package is recorded by what it leads to in the end. So this is told before any file goes.
    """
    owned = tuple(listed)
    texts = {one.path: _text_of(tree, one.path) for one in owned if one.kind is Kind.LINK}
    links = Links(
        directories={one.path for one in owned if one.kind is Kind.DIRECTORY}
        | {parent for one in owned for parent in _parents(one.path)},
        files={one.path for one in owned if one.is_regular},
        symlinks={path: text for path, text in texts.items() if text is not None},
    )
    return {
        one.path
        for one in owned
        if one.kind is Kind.LINK and not _leads_there(links, one, texts[one.path])
    }


def _leads_there(links: Links, one: Listed, text: str | None) -> bool:
    if text is None:
        return False
    plain = posixpath.normpath(f"{posixpath.dirname(one.path)}/{text}")
    return one.target in (text, plain, links.recorded_target(one.path, text))


def _text_of(tree: Tree, path: str) -> str | None:
    try:
        return tree.readlink(path)
    except StoreError:
        return None


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _require_removable(tree: Tree, path: str, deleted: Collection[str]) -> None:
    """A directory that becomes something else must lose all it holds in this transaction."""
    for name in _below(tree, path):
        if name not in deleted:
            raise PackageError(
                f"the directory {path} cannot be replaced: it still holds {name}",
                code="DIRECTORY-KEPT",
                where=path,
                hint=f"move {name} away, then try again",
            )


def _below(tree: Tree, path: str) -> Iterator[str]:
    try:
        for entry in tree.walk(path):
            yield entry.path
    except StoreError as error:
        if not error.code.endswith(("TREE-TYPE", "TREE-MISSING")):
            raise


def holds(tree: Tree, path: str, sha256: str) -> bool | None:
    """Whether the file at `path` (a link is followed inside the tree) has the hash `sha256`.

    Returns:
        None when there is nothing.
    """
    try:
        return digest_of(tree, path) == sha256
    except NotInTreeError:
        return None


def digest_of(tree: Tree, path: str) -> str:
    """The SHA256 of the regular file `path` (a link is followed inside the tree).

    Returns:
        The empty text when something else than a file is there.

    Raises:
        NotInTreeError: nothing is there.
    """
    try:
        fd = tree.open_file(path)
    except NotInTreeError:
        raise
    except StoreError as error:
        if error.code.endswith(("TREE-TYPE", "TREE-ESCAPE")):
            return ""
        raise
    digest = hashlib.sha256()
    with open(fd, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
