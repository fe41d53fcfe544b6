"""Text of strangers steers no terminal, as text and as JSON."""

from __future__ import annotations

import json

import pytest

from voidimg.terminal_text import printable, printable_json

HOSTILE = [chr(code) for code in (*range(32), *range(127, 160), 0x202E, 0x2066, 0x2028, 0xFEFF)]


@pytest.mark.parametrize("character", HOSTILE, ids=[f"{ord(one):04x}" for one in HOSTILE])
def test_no_control_is_left(character: str) -> None:
    value = {f"a{character}": [f"{character}b", "grüße 日本"]}
    text = printable_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert character not in text
    assert "grüße 日本" in text
    if character != "\t":
        assert character not in printable(f"x{character}y")


def test_half_a_pair_is_told_in_json() -> None:
    assert json.loads(printable_json(json.dumps("\udc9b", ensure_ascii=False))) == "\udc9b"
