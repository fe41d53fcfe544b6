"""Says what of its parents a document leaves out by writing a list anew. Pure.

A plain list replaces the one that is inherited; ``add`` and ``remove`` change it. The first is
allowed, and often a mistake: packages, services or root are gone without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from voidimg.spec.document import HEAD
from voidimg.spec.merge import identity, is_change, merge_documents
from voidimg.spec.positions import TomlPath
from voidimg.spec.tree import Node, Origin, path_text

_OF_ITSELF = frozenset({"boards", "libc", "smoke"})
"""What a platform says of its own hardware: nobody expects that of a parent in it."""


@dataclass(frozen=True, slots=True)
class DroppedElements:
    """A list at `where` that replaces an inherited one: `list` is its path, `left_out` are names.

    Its text is a sentence for people.
    """

    where: Origin
    list: str
    left_out: tuple[str, ...]

    def __str__(self) -> str:
        """``file:line:column: note: ...``."""
        names = ", ".join(self.left_out)
        text = f"{self.list} replaces what it inherits; it leaves out {names}"
        if self.list == "users" and "root" in self.left_out:
            text += " (so nobody can log in as root)"
        return f"{self.where}: note: {text}; add = [...] would keep them"

    def as_json(self) -> dict[str, object]:
        """The note as a JSON-ready mapping."""
        return {"where": self.where.as_json(), "list": self.list, "left_out": list(self.left_out)}


def find_dropped(documents: Sequence[Node], libc: str) -> tuple[DroppedElements, ...]:
    """What the youngest of `documents` leaves out of what the others say, for `libc`.

    The others are the eldest first; all are sound.
    """
    *parents, youngest = documents
    if not parents:
        return ()
    base = merge_documents(parents, libc, lambda _: None)
    body = {name: node for name, node in youngest.table.items() if name not in HEAD}
    own = Node(body, youngest.origin, youngest.key)
    found = [*_dropped(base, own, ())]
    if libc in youngest.table:
        found += _dropped(base, youngest.table[libc], ())
    return tuple(found)


def _dropped(base: Node, over: Node, path: TomlPath) -> Iterator[DroppedElements]:
    for name, node in over.table.items():
        before = base.table.get(name)
        if before is None or is_change(node) or (not path and name in _OF_ITSELF):
            continue
        if isinstance(node.content, tuple):
            kept = {identity(element) for element in node.items}
            gone = [identity(element) for element in before.items]
            left_out = tuple(dict.fromkeys(one for one in gone if one and one not in kept))
            if left_out:
                yield DroppedElements(node.key, path_text((*path, name)), left_out)
        else:
            yield from _dropped(before, node, (*path, name))
