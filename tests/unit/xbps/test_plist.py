"""Property lists are read as proplib reads them and written byte for byte as it writes them."""

from __future__ import annotations

import contextlib
import gc
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voidimg.errors import PackageError
from voidimg.xbps import plist

VECTORS = Path(__file__).parents[2] / "vectors/xbps"
ROWS: list[dict[str, Any]] = json.loads((VECTORS / "tables/plist.json").read_text())


def document(body: str) -> bytes:
    return f"<plist><dict><key>a</key>{body}</dict></plist>".encode()


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_verdict_and_canonical_form_of_the_real_tool(row: dict[str, Any]) -> None:
    """What xbps accepts is accepted and written back as xbps writes it; the rest is refused."""
    data = row["input"].encode()
    if row["accepted"]:
        expected = row["canonical"].encode()
        assert plist.encode(plist.decode(data, where="row")) == expected
    else:
        with pytest.raises(PackageError) as caught:
            plist.decode(data, where="row")
        assert (caught.value.code, caught.value.where) == ("E-PACKAGE-PLIST", "row")


def test_there_are_84_rows() -> None:
    """The table is the whole table."""
    assert len(ROWS) == 84


def test_databases_of_the_real_tool_survive_unchanged() -> None:
    """Every recorded package database is read and written back byte for byte."""
    databases = sorted((VECTORS / "scenarios").rglob("pkgdb-0.38.plist"))
    assert len(databases) > 80
    for path in databases:
        data = path.read_bytes()
        assert plist.encode(plist.decode(data, where=str(path))) == data


def test_bytes_that_are_not_utf8_are_kept() -> None:
    """xbps-create can write garbage into a link target; it must come out as it went in."""
    data = plist.encode({"target": "x\udce7\udcacU"})
    assert b"<string>x\xe7\xacU</string>" in data
    assert plist.encode(plist.decode(data, where="files.plist")) == data


def test_keys_with_odd_bytes_are_sorted_by_byte() -> None:
    """An escaped byte 0xFF sorts after every character, although its surrogate does not."""
    data = plist.encode({"\udcff": 1, "\U0001f600": 2, "é": 3})
    assert data.index("é".encode()) < data.index("\U0001f600".encode()) < data.index(b"\xff")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-0x10", -16),
        ("08", None),
        ("+", None),
        ("- 1", None),
        ("\v12\n", 12),
        ("1_0", None),
        ("١", None),  # noqa: RUF001
        ("-9223372036854775808", -(2**63)),
        ("-9223372036854775809", None),
        ("0" * 5000 + "7", 7),
        ("1" * 5000, None),
    ],
)
def test_integers_are_c_integers(text: str, value: int | None) -> None:
    """Base by prefix, range of 64 bits, nothing that only Python would read."""
    data = document(f"<integer>{text}</integer>")
    if value is None:
        with pytest.raises(PackageError):
            plist.decode(data, where="n")
    else:
        assert plist.decode(data, where="n") == {"a": value}


def test_a_comment_does_not_hide_what_stands_between_two() -> None:
    """The end of a comment is the first -->, so the element between two is seen."""
    with pytest.raises(PackageError):
        plist.decode(document("<!-- x --><real>1</real><!-- y --><true/>"), where="c")


def test_a_declared_size_of_data_bounds_it() -> None:
    """proplib's buffer has the declared size, so longer data is refused."""
    assert plist.decode(document('<data size="9">QQ==</data>'), where="d") == {"a": b"A"}
    with pytest.raises(PackageError):
        plist.decode(document('<data size="1">aGVsbG8=</data>'), where="d")


def test_a_nul_byte_ends_the_document() -> None:
    """proplib works on C strings: before the end it truncates, after it nothing is read."""
    good = document("<true/>")
    assert plist.decode(good + b"\0\xff<", where="z") == {"a": True}
    with pytest.raises(PackageError):
        plist.decode(good.replace(b"<true/>", b"\0<true/>"), where="z")


def test_entity_declarations_expand_to_nothing() -> None:
    """There is no entity machinery at all: a declaration makes the document malformed."""
    bomb = b'<!DOCTYPE plist [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
    with pytest.raises(PackageError):
        plist.decode(bomb + document("<string>&b;</string>"), where="bomb")


@pytest.mark.parametrize("opening", ["<array>", "<dict><key>a</key>", "<array><array>"])
def test_deep_nesting_is_refused(opening: str) -> None:
    """Fifty thousand levels are refused after the first few, without recursion."""
    started = time.monotonic()
    with pytest.raises(PackageError, match="nested deeper"):
        plist.decode(document(opening * 50_000), where="deep")
    assert time.monotonic() - started < 5


def test_size_and_number_of_tags_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both bounds are checked before anything is made of the document."""
    with pytest.raises(PackageError, match="too large") as caught:
        plist.decode(document("<true/>"), where="big", max_bytes=10)
    assert caught.value.code == "E-PACKAGE-PLIST-SIZE"
    monkeypatch.setattr(plist, "MAX_TAGS", 100)
    with pytest.raises(PackageError, match="too large"):
        plist.decode(document("<array>" + "<true/>" * 100 + "</array>"), where="many")


_PEAK = """
import re, sys
from pathlib import Path
from voidimg.errors import PackageError
from voidimg.xbps import plist
document = bytearray(b"<plist><dict>")
for number in range(int(sys.argv[1])):
    document += b"<key>%d</key><dict/>" % number
document += b"</dict></plist>"
try:
    print(len(plist.decode(bytes(document), where="hostile")))
except PackageError as error:
    print(error.code)
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def test_hostile_documents_take_moderate_memory() -> None:
    """The worst that is read, and the worst that is not: both far below a gigabyte."""
    most = plist.MAX_TAGS // 3 - 2
    for entries, verdict in ((most, str(most)), (2_600_000, "E-PACKAGE-PLIST-SIZE")):
        words = [sys.executable, "-c", _PEAK, str(entries)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=100)
        said, peak_kib = done.stdout.split()
        assert said == verdict
        assert int(peak_kib) < 450 * 1024


@pytest.mark.parametrize(
    "hostile",
    [
        b"<plist><dict>" + b"<!--" * 200_000,
        b"<plist><dict>" + b" " * 1_000_000,
        b"<plist><dict>" + b"<!-- -->" * 100_000 + b"x",
        b"<plist><dict><key>" + b"a" * 1_000_000,
        b"<!DOCTYPE plist " * 60_000,
        b"<plist><dict><key>a</key><string>" + b"&" * 500_000 + b"</string></dict></plist>",
        b"<plist><dict/>" + b" " * 1_000_000 + b"x",
    ],
)
def test_hostile_text_costs_linear_time(hostile: bytes) -> None:
    """No document makes the matching go back and forth."""
    started = time.monotonic()
    with pytest.raises(PackageError):
        plist.decode(hostile, where="slow")
    assert time.monotonic() - started < 2


def test_an_index_of_15000_packages_is_read_quickly() -> None:
    """About 15 MiB in well under the two seconds that everything together may take."""
    entry: plist.PlistDict = {
        "architecture": "aarch64",
        "filename-sha256": "0" * 64,
        "filename-size": 1234567,
        "homepage": "https://example.invalid/project",
        "installed_size": 7654321,
        "license": "BSD-2-Clause",
        "maintainer": "Somebody <somebody@example.invalid>",
        "pkgver": "name-1.0_1",
        "run_depends": [f"libname{n}>=1.0_1" for n in range(6)],
        "shlib-requires": ["libc.so.6", "libm.so.6", "libname.so.1"],
        "short_desc": "Something & more",
    }
    index: plist.PlistDict = {f"package-{n}": entry for n in range(15_000)}
    data = plist.encode(index)
    started = time.process_time()
    assert len(plist.decode(data, where="index.plist")) == 15_000
    assert time.process_time() - started < 2
    assert data.count(b"<") * 3 < plist.MAX_TAGS


def test_garbage_collection_is_on_again_after_an_error() -> None:
    """Decoding stops the collector for its own time only."""
    with pytest.raises(PackageError):
        plist.decode(document("<real>1</real>"), where="x")
    assert gc.isenabled()


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "a\0b", "\ud800", 1.5, None])
def test_what_a_plist_cannot_hold_is_refused(value: Any) -> None:
    """Nothing is written that XBPS would read back differently or not at all."""
    with pytest.raises(PackageError) as caught:
        plist.encode({"a": value})
    assert caught.value.code == "E-PACKAGE-PLIST-VALUE"


def test_keys_that_are_too_long_are_not_written() -> None:
    """129 bytes would be refused by every reader."""
    with pytest.raises(PackageError):
        plist.encode({"k" * 129: 1})


_TEXT = st.binary(max_size=20).map(
    lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)
_VALUES = st.recursive(
    _TEXT | st.integers(-(2**63), 2**64 - 1) | st.booleans() | st.binary(min_size=1, max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(_TEXT, _VALUES, max_size=5))
def test_every_value_survives(value: Any) -> None:
    """What is written is read back equal, and writing is canonical."""
    data = plist.encode(value)
    again = plist.decode(data, where="x")
    assert again == value
    assert plist.encode(again) == data


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_documents_never_raise_anything_else(draw: st.DataObject) -> None:
    """Every input gives a dictionary or a PackageError."""
    data = bytearray(ROWS[draw.draw(st.integers(0, len(ROWS) - 1))]["input"].encode())
    for _ in range(draw.draw(st.integers(0, 4))):
        if data:
            data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    with contextlib.suppress(PackageError):
        plist.encode(plist.decode(bytes(data), where="fuzz"))
