"""Alternatives: the links' arithmetic, and who has a group when providers come and go."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from voidimg.errors import PackageError
from voidimg.tree.tree import Tree
from voidimg.xbps.install.alternatives import Alternatives, Providers, parse_link
from voidimg.xbps.plist import PlistDict

TABLES = Path(__file__).parents[2] / "vectors" / "xbps" / "tables"
ROWS: list[dict[str, Any]] = json.loads((TABLES / "alternatives-links.json").read_text())
INSIDE = [row for row in ROWS if not any("@OUTSIDE@" in link for link, _ in row["links"])]
OUTSIDE = [row for row in ROWS if row not in INSIDE]


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    with Tree(tmp_path / "root", create=True) as tree:
        yield tree


def package(name: str, alternatives: dict[str, list[str]], **more: list[str]) -> PlistDict:
    groups: PlistDict = {group: list(links) for group, links in alternatives.items()}
    return {
        "pkgver": f"{name}-1.0_1",
        "alternatives": groups,
        **{k: list(v) for k, v in more.items()},
    }


def links(tree: Tree) -> dict[str, str]:
    return {
        entry.path: tree.readlink(entry.path)
        for entry in tree.walk()
        if os.path.islink(tree.root / entry.path[1:])
    }


def id_of(row: dict[str, Any]) -> str:
    return f"{row['link']}:{row['target']}"


@pytest.mark.parametrize("row", INSIDE, ids=id_of)
def test_recorded_links(tree: Tree, row: dict[str, Any]) -> None:
    """Each recorded pair gives the recorded links and directories, or fails where xbps does."""
    entry = package("p", {"g": [f"{row['link']}:{row['target']}"]})
    groups: Providers = {}
    if row["exit_code"]:
        with pytest.raises(PackageError) as caught:
            Alternatives(tree, groups, {"p": entry}).register("p", entry)
        assert caught.value.code == "E-PACKAGE-ALTERNATIVE-DIRECTORY"
    else:
        Alternatives(tree, groups, {"p": entry}).register("p", entry)
    made = [
        e.path
        for e in tree.walk()
        if (tree.root / e.path[1:]).is_dir() and e.path not in links(tree)
    ]
    assert links(tree) == dict(row["links"])
    # The record leaves /var out: it is part of every tree there.
    assert [path for path in made if not path.startswith("/var")] == sorted(row["directories"])
    assert groups == {"g": ["p"]}


@pytest.mark.parametrize("row", OUTSIDE, ids=id_of)
def test_links_that_xbps_makes_outside_are_refused(tree: Tree, row: dict[str, Any]) -> None:
    """Where the real tool leaves the tree, we refuse before touching anything."""
    entry = package("p", {"g": [f"{row['link']}:{row['target']}"]})
    with pytest.raises(PackageError) as caught:
        Alternatives(tree, {}, {"p": entry}).register("p", entry)
    assert caught.value.code == "E-PACKAGE-ALTERNATIVE-ESCAPE"
    assert list(tree.walk()) == []


@pytest.mark.parametrize("spec", ["", ":", "a", "a:", ":b", "/:/x", "/x/..:/y", "../../x:/y/z"])
def test_malformed_pairs(spec: str) -> None:
    """Pairs without both sides, and links that would be the root or above, are refused."""
    with pytest.raises(PackageError):
        parse_link(spec, where="p-1.0_1")


def test_a_file_in_the_place_of_a_link_is_replaced(tree: Tree) -> None:
    """As in xbps, a regular file at the link's path goes."""
    tree.write("/usr/bin/vi", b"old", parents=True)
    entry = package("a", {"vi": ["/usr/bin/vi:/usr/bin/vim"]})
    Alternatives(tree, {}, {"a": entry}).register("a", entry)
    assert links(tree) == {"/usr/bin/vi": "vim"}


def test_the_first_provider_keeps_the_group(tree: Tree) -> None:
    """Later ones wait; when it goes the next one takes over; the last one ends the group."""
    a = package("a", {"vi": ["/usr/bin/vi:/usr/bin/a", "/usr/bin/ex:/usr/bin/a"]})
    b = package("b", {"vi": ["/usr/bin/vi:/usr/bin/b"]})
    groups: Providers = {}
    alternatives = Alternatives(tree, groups, {"a": a, "b": b})
    alternatives.register("a", a)
    alternatives.register("b", b)
    assert (groups, links(tree)["/usr/bin/vi"]) == ({"vi": ["a", "b"]}, "a")
    alternatives.unregister("a", a)
    assert (groups, links(tree)) == ({"vi": ["b"]}, {"/usr/bin/vi": "b"})
    alternatives.unregister("b", b)
    assert (groups, links(tree)) == ({}, {})


def test_choosing_a_provider(tree: Tree) -> None:
    """The chosen one moves to the front and its links replace the other's."""
    a = package("a", {"vi": ["/usr/bin/vi:/usr/bin/a", "/usr/bin/ex:/usr/bin/a"]})
    b = package("b", {"vi": ["/usr/bin/vi:/usr/bin/b"]})
    groups: Providers = {}
    alternatives = Alternatives(tree, groups, {"a": a, "b": b})
    alternatives.register("a", a)
    alternatives.register("b", b)
    alternatives.choose("b")
    assert (groups, links(tree)) == ({"vi": ["b", "a"]}, {"/usr/bin/vi": "b"})
    for name, group in (("c", None), ("a", "other")):
        with pytest.raises(PackageError) as caught:
            alternatives.choose(name, group)
        assert caught.value.code == "E-PACKAGE-ALTERNATIVE-UNKNOWN"


def test_an_update_that_drops_a_group(tree: Tree) -> None:
    """The next provider gets it; if the new package has dependencies, the one that came last."""
    old = package("a", {"vi": ["/usr/bin/vi:/usr/bin/a"]})
    others = {name: package(name, {"vi": [f"/usr/bin/vi:/usr/bin/{name}"]}) for name in ("b", "c")}
    for new, expected in (
        (package("a", {}), ["b", "c"]),
        (package("a", {}, run_depends=["c>=1"]), ["c", "b"]),
    ):
        groups: Providers = {}
        alternatives = Alternatives(tree, groups, {"a": old, **others})
        for name, entry in {"a": old, **others}.items():
            alternatives.register(name, entry)
        alternatives.before_update("a", old, new)
        alternatives.register("a", new)
        assert (groups["vi"], links(tree)) == (expected, {"/usr/bin/vi": expected[0]})
