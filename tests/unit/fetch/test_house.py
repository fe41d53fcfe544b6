"""The modules of `fetch` stand on each other in one direction."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import voidimg.fetch

PLACE = Path(voidimg.fetch.__file__).parent


def test_there_is_no_circle() -> None:
    """Imports within functions and for types count too."""
    needs: dict[str, set[str]] = {}
    for path in PLACE.glob("*.py"):
        found = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
        prefix = "voidimg.fetch."
        names = {(node.module or "").removeprefix(prefix) for node in found
                 if (node.module or "").startswith(prefix)}  # fmt: skip
        needs[path.stem] = names
    assert list(TopologicalSorter(needs).static_order())
