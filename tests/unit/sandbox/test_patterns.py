"""Expressions of strangers are searched as Python does, and their time ends."""

from __future__ import annotations

import re
import time

import pytest

from voidimg.errors import SpecError
from voidimg.rootfs.files import edited
from voidimg.sandbox import patterns
from voidimg.sandbox.patterns import first_match
from voidimg.spec.stage_model import Edit

ENDLESS = {
    "nested repeats": (r"(a+)+$", "a" * 60 + "b"),
    "alternatives": (r"(a|a)*$", "a" * 60 + "b"),
    "optional parts": ("a?" * 40 + "a" * 40 + "b", "a" * 60),
    "a long text": (r"a*b", "a" * 10**6),
    "several repeats": (r"a*a*a*a*a*a*a*b", "a" * 5000),
    "looking back": (r"(a*)*\1b", "a" * 60),
}


@pytest.mark.parametrize("which", ENDLESS)
def test_its_time_ends(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_SECONDS", 1.0)
    pattern, text = ENDLESS[which]
    begun = time.monotonic()
    with pytest.raises(SpecError, match="to search") as caught:
        first_match(pattern, [text], where="the statement 'x'")
    assert time.monotonic() - begun < 15
    assert caught.value.code == "E-SPEC-REGEX-TIME"


@pytest.mark.parametrize("pattern", [r"^b$", r"(?m:^b)", r"^(\w|b)+$", "x", r"\d\b", "\udcff", "ä"])
@pytest.mark.parametrize("multiline", [False, True])
def test_it_finds_what_python_finds(pattern: str, multiline: bool) -> None:
    """Elsewhere as here; with letters that are none, too."""
    texts = ["a 1", "a\nb", "b", "\udcff", "ä", ""]
    flags = re.MULTILINE if multiline else re.NOFLAG
    expected = [number for number, text in enumerate(texts) if re.search(pattern, text, flags)]
    found = first_match(pattern, texts, multiline=multiline, where="x")
    assert found == (expected[0] if expected else None)
    slow = f"(?:{pattern})(?:)*"
    assert first_match(slow, texts, multiline=multiline, where="x") == found


@pytest.mark.parametrize(
    ("text", "after"),
    [("a\nx=1\nb\n", "a\ny\nb\n"), ("x=1", "y"), ("", "y\n"), ("a", "a\ny\n"), ("\n", "\ny\n")],
)
def test_edits_change_the_first_line_that_matches(text: str, after: str) -> None:
    """Or add one."""
    for match in ("^x=", "^(x+)="):
        assert edited(text, Edit(path="/etc/x", match=match, line="y")) == after
