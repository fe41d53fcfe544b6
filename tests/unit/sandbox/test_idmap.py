"""Subordinate id ranges: which lines count and what is said when they do not suffice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voidimg.errors import SandboxError
from voidimg.sandbox.idmap import Extent, own_extents, subordinate_extents


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


def test_root_keeps_the_ids_it_has() -> None:
    """The identity over what is mapped here."""
    assert all(extent.inside == extent.outside for extent in own_extents("uid"))
