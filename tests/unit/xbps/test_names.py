"""Splitting pkgvers and file names agrees with libxbps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from voidimg.xbps import names, pattern

TABLES = Path(__file__).parents[2] / "vectors/xbps/tables"
ROWS = json.loads((TABLES / "names.json").read_text())


@pytest.mark.parametrize(
    "row", [row for row in ROWS if "getpkgname" in row], ids=lambda r: r["input"]
)
def test_pkgvers_and_patterns_split_as_recorded(row: dict[str, str | None]) -> None:
    """Name, version and revision of a pkgver, name and condition of a pattern: 39 rows."""
    text = row["input"]
    assert text is not None
    pkgver = names.split_pkgver(text)
    assert (pkgver and pkgver.name) == row["getpkgname"]
    assert (pkgver and pkgver.version) == row["getpkgversion"]
    assert (pkgver and pkgver.revision) == row["getpkgrevision"]
    assert pattern.name_of(text) == row["getpkgdepname"]
    assert pattern.condition_of(text) == row["getpkgdepversion"]
    assert (pkgver.name if pkgver else pattern.name_of(text)) == row["getname"]


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r["input"])
def test_file_names_split_as_recorded(row: dict[str, str | None]) -> None:
    """A file name is taken apart whole or not at all (the C functions answer part by part)."""
    text = row["input"]
    assert text is not None
    parts = names.file_name_parts(text)
    assert (parts and str(parts.pkgver)) == row["binpkgver"]
    assert (parts and parts.arch) == (row["binpkgarch"] if row["binpkgver"] else None)


@pytest.mark.parametrize(
    ("name", "valid"),
    [("a" * 63, True), ("a" * 64, False), ("é" * 31, True), ("é" * 32, False), ("", False)],
)
def test_names_are_one_to_63_bytes_long(name: str, *, valid: bool) -> None:
    """Length counts in bytes of UTF-8."""
    assert (names.split_pkgver(f"{name}-1_1") is not None) is valid
    assert (pattern.name_of(f"{name}>=1") is not None) is valid


def test_a_name_of_undecodable_bytes_is_still_a_name() -> None:
    """Plists carry any bytes; they come as lone surrogates."""
    text = b"foo\xe7-1_1".decode("utf-8", "surrogateescape")
    assert str(names.split_pkgver(text)) == text


def test_file_name_is_put_together_as_it_is_taken_apart() -> None:
    """The file name of a pkgver and an architecture."""
    text = names.file_name("foo-1.0_1", "x86_64-musl")
    assert text == "foo-1.0_1.x86_64-musl.xbps"
    assert str(names.file_name_parts(text)) == text
