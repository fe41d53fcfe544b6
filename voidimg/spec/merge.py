"""Merging of documents: a child over its parents, and a profile with a platform.

The trees keep the place of every value, so the result says where each came from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from voidimg.errors import SpecError
from voidimg.spec.document import HEAD
from voidimg.spec.positions import TomlPath
from voidimg.spec.problems import problem
from voidimg.spec.tree import Node, implied, path_text
from voidimg.suggest import did_you_mean

Report = Callable[[SpecError], None]

_CHANGE = frozenset({"add", "remove"})
_IDENTITY = ("name", "path", "medium")
"""What tables in lists are known by; `Edit`s share a path and are never replaced by another."""


def merge_documents(documents: Sequence[Node], libc: str, report: Report) -> Node:
    """`documents`, the eldest parent first, as one table for `libc` without the heads.

    The ``[glibc]`` or ``[musl]`` table of a document comes over the rest of the same document.
    Changes of lists that do not fit are given to `report`.
    """
    youngest = documents[-1]
    merged = Node({}, youngest.origin, youngest.key)
    for document in documents:
        body = {name: node for name, node in document.table.items() if name not in HEAD}
        merged = _over(merged, Node(body, document.origin, document.key), (), report)
        if libc in document.table:
            merged = _over(merged, document.table[libc], (), report)
    return Node(merged.content, youngest.origin, youngest.key)


def _over(base: Node | None, over: Node, path: TomlPath, report: Report) -> Node:
    """`over` laid over `base`: tables merge, lists change or are replaced, the rest is replaced."""
    if is_change(over):
        return _changed(base, over, path, report)
    if not isinstance(over.content, dict):
        return over
    under = base.table if base is not None else {}
    merged = dict(under)
    for name, node in over.table.items():
        merged[name] = _over(under.get(name), node, (*path, name), report)
    return Node(merged, over.origin, over.key)


def is_change(node: Node) -> bool:
    """Whether the table says how to change a list: ``add``, ``remove`` and nothing else."""
    return bool(node.table) and node.table.keys() <= _CHANGE


def _changed(base: Node | None, change: Node, path: TomlPath, report: Report) -> Node:
    elements = list(base.items) if base is not None else []
    remove, add = change.table.get("remove"), change.table.get("add")
    for gone in remove.items if remove is not None else ():
        names = {identity(element) for element in elements}
        if gone.content not in names:
            report(
                problem(
                    gone.origin,
                    f"cannot remove {gone.content!r} from {path_text(path)}: it is not there",
                    code="REMOVE",
                    hint=did_you_mean(str(gone.content), (name for name in names if name)),
                )
            )
        elements = [element for element in elements if identity(element) != gone.content]
    for new in add.items if add is not None else ():
        _add(elements, new)
    return Node(tuple(elements), change.origin, change.key)


def _add(elements: list[Node], new: Node) -> None:
    """Put `new` in the place of the element with its name, or at the end."""
    if "match" not in new.table:
        for index, element in enumerate(elements):
            if identity(element) == identity(new):
                if new.table:  # a word that is there already stays where it was written first
                    elements[index] = new
                return
    elements.append(new)


def identity(element: Node) -> str:
    """What an element of a list is known by: a word by itself, a table by name, path or medium."""
    for name in _IDENTITY:
        if name in element.table:
            return str(element.table[name].content)
    return str(element.content) if not element.table else ""


def join_stages(first: Node | None, second: Node | None) -> Node | None:
    """Two stages as one: the lists of `first`, then those of `second`; a word stands once."""
    if first is None or second is None:
        return first or second
    joined = dict(first.table)
    for name, node in second.table.items():
        joined[name] = join_lists(joined.get(name), node)
    return Node(joined, first.origin, first.key)


def join_lists(first: Node | None, second: Node) -> Node:
    """The elements of `first`, then those of `second`; a word stands once."""
    if first is None:
        return second
    elements = list(first.items)
    seen = {node.content for node in elements if isinstance(node.content, str)}
    elements += [
        node
        for node in second.items
        if not isinstance(node.content, str) or node.content not in seen
    ]
    return Node(tuple(elements), first.origin, first.key)


def join_live(platform: Node | None, profile: Node | None) -> Node:
    """The live system of a platform with a profile; None as content where either has none.

    Its packages are those of the profile, those that the platform adds to every live system, its
    graphics where the profile is graphical, and those of its machines; packages that the platform
    replaces are not among them. A file of the platform comes in the place of the profile's.
    """
    if platform is None or profile is None:
        return implied(None)
    joined = {name: node for name, node in platform.table.items() if name not in _HARDWARE_ONLY}
    joined |= profile.table
    graphical = profile.at("graphical").content is True
    lists = [profile.table.get("packages"), platform.table.get("packages")]
    lists += [platform.table.get("graphics")] if graphical else []
    lists += [machine.table.get("packages") for machine in platform.at("machines").items]
    packages: Node | None = None
    for found in lists:
        packages = packages if found is None else join_lists(packages, found)
    if packages is not None:
        joined["packages"] = _instead(packages, platform.table.get("replaced"))
    services = platform.table.get("graphics_services")
    if graphical and services is not None:
        joined["services"] = join_lists(joined.get("services"), services)
    own = platform.table.get("files")
    if own is not None:
        paths = {identity(file) for file in own.items}
        others = [file for file in profile.at("files").items if identity(file) not in paths]
        joined["files"] = Node((*others, *own.items), own.origin, own.key)
    return Node(joined, profile.origin, profile.key)


_HARDWARE_ONLY = frozenset(
    {"packages", "graphics", "graphics_services", "replaced", "profiles", "files"}
)
"""What a platform says of its live systems that becomes part of what profiles say of them."""


def _instead(packages: Node, replaced: Node | None) -> Node:
    """`packages` with those of the platform in place of the ones that they replace, each once."""
    found: dict[object, Node] = {}
    for node in packages.items:
        other = node if replaced is None else replaced.table.get(str(node.content), node)
        found.setdefault(other.content, other)
    return Node(tuple(found.values()), packages.origin, packages.key)
