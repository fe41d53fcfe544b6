"""Patterns agree with libxbps and with fnmatch(3)."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voidimg.xbps.pattern import glob_matches, is_pattern, matches

TABLES = Path(__file__).parents[2] / "vectors/xbps/tables"
ROWS = json.loads((TABLES / "pkgmatch.json").read_text())


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r['pkgver']} {r['pattern']}")
def test_patterns_match_as_recorded(row: dict[str, str | int]) -> None:
    """107 verdicts."""
    assert matches(str(row["pkgver"]), str(row["pattern"])) is bool(row["result"])


@pytest.mark.parametrize(
    ("text", "glob", "verdict"),
    [
        ("a", "\\a", True),
        ("a\\", "a\\", False),
        ("[", "[", True),
        ("a]", "a]", True),
        ("]", "[]]", True),
        ("-", "[a-]", True),
        ("b", "[c-a]", False),
        ("b", "[!c-a]", True),
        ("^", "[\\^]", True),
        ("x", "[[:nonsense:]]", False),
        ("aXbXc", "a*b*c", True),
        ("ab", "a*b*c", False),
        ("a\nb", "a?b", True),
        ("", "*", True),
    ],
)
def test_globs_match_as_in_the_c_library(text: str, glob: str, *, verdict: bool) -> None:
    """Corners of bracket expressions and escapes."""
    assert glob_matches(text, glob) is verdict


@settings(max_examples=300, deadline=None)
@given(st.text("ab-.", max_size=8), st.text("ab-.*?", max_size=8))
def test_simple_globs_match_as_in_the_standard_library(text: str, glob: str) -> None:
    """Stars and question marks, without the rule for leading dots."""
    assert glob_matches(text, glob, period=False) is fnmatch.fnmatchcase(text, glob)


def test_a_hostile_glob_takes_no_time() -> None:
    """Many stars cost linear, not exponential, time."""
    assert not glob_matches("a" * 60, "*a" * 30 + "b*")


@pytest.mark.parametrize("text", ["foo>=1", "foo-*", "foo?", "foo[", "foo]", "foo<1"])
def test_a_special_character_makes_a_pattern(text: str) -> None:
    """Any of the six."""
    assert is_pattern(text)
    assert not is_pattern("foo-1.0_1")
