"""The order of a strict transaction: dependencies first, the same for any order of requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from voidimg.xbps.query import parse_query
from voidimg.xbps.resolve.pool import byte_order
from voidimg.xbps.resolve.transaction import Step, Suppliers


def in_order(steps: Sequence[Step], first: Sequence[str] = ()) -> tuple[Step, ...]:
    """`steps` so that each comes after all that it depends on.

    Packages that need one another form a group that stays together; within it each comes after
    as many of its dependencies as the cycle allows. What dependencies leave open is decided by
    `first`, then by the names of what was asked for, and below those by the order in which a
    package lists its dependencies, as xbps goes through them: of several packages that offer an
    alternative, that decides which one has it (Void's base packages list dash before bash).
    """
    ranks = {name: rank for rank, name in enumerate(first)}
    by_name = {step.pkgname: step for step in steps}

    def rank(name: str) -> tuple[int, bool, bytes]:
        return ranks.get(name, len(ranks)), by_name[name].automatic, byte_order(name)

    names = sorted(by_name, key=rank)
    suppliers = Suppliers(steps)
    needs = {name: _needs(by_name[name], suppliers) for name in names}
    return tuple(by_name[name] for group in groups(names, needs) for name in group)


def _needs(step: Step, suppliers: Suppliers) -> list[str]:
    found = [
        supplier.pkgname
        for text in step.strings("run_depends")
        for supplier in suppliers.of(parse_query(text))
    ]
    return [name for name in dict.fromkeys(found) if name != step.pkgname]


def groups(names: Sequence[str], needs: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The strongly connected groups of the graph `needs`, those needed first (Tarjan).

    Iterative: chains of dependencies may be longer than Python's stack is deep.
    """
    found: list[list[str]] = []
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    finished: dict[str, int] = {}
    open_names: list[str] = []
    is_open: set[str] = set()
    for root in names:
        if root in number:
            continue
        path: list[tuple[str, Iterator[str]]] = []
        _enter(root, number, lowest, open_names, is_open)
        path.append((root, iter(needs[root])))
        while path:
            name, rest = path[-1]
            needed = next(rest, None)
            if needed is None:
                path.pop()
                finished[name] = len(finished)
                if path:
                    parent = path[-1][0]
                    lowest[parent] = min(lowest[parent], lowest[name])
                if lowest[name] == number[name]:
                    group = open_names[open_names.index(name) :]
                    del open_names[-len(group) :]
                    is_open -= set(group)
                    found.append(sorted(group, key=finished.__getitem__))
            elif needed not in number:
                _enter(needed, number, lowest, open_names, is_open)
                path.append((needed, iter(needs[needed])))
            elif needed in is_open:
                lowest[name] = min(lowest[name], number[needed])
    return found


def _enter(
    name: str,
    number: dict[str, int],
    lowest: dict[str, int],
    open_names: list[str],
    is_open: set[str],
) -> None:
    number[name] = lowest[name] = len(number)
    open_names.append(name)
    is_open.add(name)
