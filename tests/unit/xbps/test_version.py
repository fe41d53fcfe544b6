"""The order of versions agrees with libxbps and is a total order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voidimg.xbps.version import compare, sort_key

TABLES = Path(__file__).parents[2] / "vectors/xbps/tables"
ROWS = json.loads((TABLES / "cmpver.json").read_text())

PIECES = ["0", "1", "2", "10", "01", "2147483648", "4294967296", ".", "_", "-", "+", "é"]
PIECES += ["alpha", "beta", "pre", "rc", "pl", "a", "b", "Z", "RC"]

VERSIONS = st.one_of(
    st.lists(
        st.sampled_from(PIECES),
        max_size=6,
    ).map("".join),
    st.text(max_size=8),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r['a']}:{r['b']}")
def test_versions_compare_as_recorded(row: dict[str, str | int]) -> None:
    """192 comparisons, both ways."""
    a, b = str(row["a"]), str(row["b"])
    assert (compare(a, b), compare(b, a)) == (row["result"], row["reverse"])


@settings(max_examples=300, deadline=None)
@given(VERSIONS, VERSIONS, VERSIONS)
def test_the_order_is_total(a: str, b: str, c: str) -> None:
    """Reflexive, antisymmetric and transitive; equality is an equivalence."""
    assert compare(a, a) == 0
    assert compare(a, b) == -compare(b, a)
    assert (sort_key(a) > sort_key(b)) - (sort_key(a) < sort_key(b)) == compare(a, b)
    low, middle, high = sorted((a, b, c), key=sort_key)
    assert compare(low, middle) <= 0
    assert compare(middle, high) <= 0
    assert compare(low, high) <= 0
    if compare(low, middle) == 0 and compare(middle, high) == 0:
        assert compare(low, high) == 0


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_numbers_compare_as_numbers(a: int, b: int) -> None:
    """Runs of digits are decimal values, whatever their length."""
    assert compare(f"1.{a}", f"1.0{b}") == (a > b) - (a < b)


def test_a_very_long_number_is_no_trouble() -> None:
    """A hostile version neither fails nor takes long."""
    assert compare("1" * 100_000, "1" * 100_000 + "_1") == -1
