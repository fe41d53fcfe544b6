"""Own directories of platforms and profiles, written for one test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[..., Path]

MARK = "▸"
"""Stands in a text right before the place where an error is expected."""


def place_of_mark(text: str) -> tuple[str, str]:
    """The text without its mark, and the place of the mark as ``line:column``."""
    before, mark, after = text.partition(MARK)
    assert mark, "no place is marked"
    assert MARK not in after, "more than one place is marked"
    line = before.count("\n") + 1
    return before + after, f"{line}:{len(before) - before.rfind(chr(10))}"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes `text` to a file of the test's own directory, such as ``platforms/a.toml``."""

    def writer(name: str, text: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return writer
