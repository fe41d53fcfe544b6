"""Subordinate id ranges: which lines count and what is said when they do not suffice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voidimg.errors import SandboxError
from voidimg.sandbox.idmap import Extent, arranged, own_extents, subordinate_extents


def test_id_zero_is_the_user_and_the_ranges_follow(tmp_path: Path) -> None:
    """Several ranges are joined; lines by name and by uid count, others and garbage do not."""
    file = tmp_path / "subuid"
    file.write_text(
        f"# comment\nbob:1:1\nalice:100000:60000\nalice:x:1\n{os.getuid()}:300000:6000\n"
    )
    assert subordinate_extents(file, "alice", 1000) == (
        Extent(0, 1000, 1),
        Extent(1, 100000, 60000),
        Extent(60001, 300000, 6000),
    )


def test_odd_ranges_give_what_can_be_used(tmp_path: Path) -> None:
    """The user's own id inside a range, overlaps, empty ranges, ids that do not exist."""
    file = tmp_path / "subuid"
    file.write_text(
        "alice:500:65536\nalice:600:10\nalice:70000:0\nalice:66000:100\nalice:4294967290:100\n"
    )
    assert subordinate_extents(file, "alice", 1000) == (
        Extent(0, 1000, 1),
        Extent(1, 500, 500),
        Extent(501, 1001, 65035),
        Extent(65536, 66036, 64),
    )


@pytest.mark.parametrize(
    ("text", "found", "line"),
    [
        (None, "no", "alice:100000:65536"),
        ("bob:100000:65536\n", "no", "alice:165536:65536"),
        ("alice:100000:1000\n", "only 1000", "alice:101000:65536"),
    ],
)
def test_too_few_ids_give_the_line_to_add(
    tmp_path: Path, text: str | None, found: str, line: str
) -> None:
    """The hint is complete and its range is free."""
    file = tmp_path / "subuid"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SandboxError, match=f"has {found} subordinate ids") as caught:
        subordinate_extents(file, "alice", 1000)
    assert caught.value.hint == f"as root: echo '{line}' >> {file}"


HOST = 2**32 - 1


@pytest.mark.parametrize(
    ("ranges", "tree"),
    [
        ([(0, HOST)], [(0x70000000, 65536)]),
        ([(0, 65536)], [(0, 65536)]),
        ([(0, 65537)], [(0, 65536)]),
        ([(0, 131071)], [(0, 65536)]),
        ([(0, 131072)], [(65536, 65536)]),
        ([(0, 200000)], [(134464, 65536)]),
        ([(0, 1000), (100000, 70000)], [(104464, 65536)]),
        ([(0, 1000), (2000, 64536)], [(0, 1000), (2000, 64536)]),
        ([(0, 1), (70000, 40000), (200000, 30000)], [(74464, 35536), (200000, 30000)]),
    ],
)
def test_the_ids_of_a_tree_are_away_from_the_hosts(
    ranges: list[tuple[int, int]], tree: list[tuple[int, int]]
) -> None:
    """Where ids suffice none below 65536 is among them; no id is lost, and none is there twice."""
    extents = arranged(ranges)
    of_tree = [(one.outside, one.count) for one in extents if one.inside < 65536]
    assert of_tree == tree
    assert [one.inside for one in extents] == [
        sum(before.count for before in extents[:index]) for index in range(len(extents))
    ]
    merged: list[tuple[int, int]] = []
    for start, count in sorted((one.outside, one.count) for one in extents):
        if merged and sum(merged[-1]) == start:
            merged[-1] = merged[-1][0], merged[-1][1] + count
        else:
            merged.append((start, count))
    assert merged == ranges


def test_root_has_what_a_tree_needs() -> None:
    """All ids that a tree needs are in the map of this machine."""
    assert sum(extent.count for extent in own_extents("uid")) >= 65536
