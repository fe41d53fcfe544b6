"""Places of keys and values in TOML texts."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voidimg.spec.positions import Place, TomlPath, find_places
from voidimg.spec.search import SHIPPED


def paths_of(value: object, path: TomlPath = ()) -> Iterator[tuple[TomlPath, object]]:
    """Every value in a parsed document with its path, the document itself left out."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths_of(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths_of(inner, (*path, index))


def at(text: str, place: Place) -> str:
    """The text from `place` on."""
    return "\n".join(text.split("\n")[place.line - 1 :])[place.column - 1 :]


def test_the_kinds_of_values_and_keys() -> None:
    """Every form of key, string and table stands where it is written."""
    text = '''\
a.b = 1
"x y" = [1, 2, {c = "q", d.e = """z"""""}] # [no table]
[t]  # comment
u = 1979-05-27 07:32:00
'li.t' = 'a\\'
[[l.m]]
n = true
[l.m.sub]
o = """
a \\""" b
"""
[[l.m]]
n = [
  # a, comment
  "a]", 'b,',
]
'''
    found = {path: (one.key, one.value) for path, one in find_places(text).items()}
    expected = {
        ("a",): ((1, 1), (1, 1)),
        ("a", "b"): ((1, 3), (1, 7)),
        ("x y",): ((2, 1), (2, 9)),
        ("x y", 0): ((2, 10), (2, 10)),
        ("x y", 2): ((2, 16), (2, 16)),
        ("x y", 2, "c"): ((2, 17), (2, 21)),
        ("x y", 2, "d", "e"): ((2, 28), (2, 32)),
        ("t",): ((3, 2), (3, 2)),
        ("t", "u"): ((4, 1), (4, 5)),
        ("t", "li.t"): ((5, 1), (5, 10)),
        ("l", "m"): ((6, 5), (6, 5)),
        ("l", "m", 0, "n"): ((7, 1), (7, 5)),
        ("l", "m", 0, "sub", "o"): ((9, 1), (9, 5)),
        ("l", "m", 1): ((12, 5), (12, 5)),
        ("l", "m", 1, "n", 0): ((15, 3), (15, 3)),
        ("l", "m", 1, "n", 1): ((15, 9), (15, 9)),
    }
    for path, (key, value) in expected.items():
        assert found[path] == (Place(*key), Place(*value)), path
    assert set(found) == {path for path, _ in paths_of(tomllib.loads(text))}


@pytest.mark.parametrize(
    "path",
    [*sorted((SHIPPED / "platforms").glob("*.toml")), *(SHIPPED / "profiles").glob("*.toml")],
    ids=lambda path: path.stem,
)
def test_values_of_shipped_files_stand_where_it_is_said(path: Path) -> None:
    """What tomllib reads from the place of a string is that string."""
    text = path.read_text()
    places = find_places(text)
    for where, value in paths_of(tomllib.loads(text)):
        if isinstance(value, str):
            line = at(text, places[where].value).split("\n")[0]
            for end in range(len(line), 0, -1):
                try:
                    assert tomllib.loads(f"v = {line[:end]}")["v"] == value
                except tomllib.TOMLDecodeError:
                    continue
                break
            else:
                pytest.fail(f"{where} is not at {places[where].value}")


_WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=6)
_SCALARS = st.one_of(st.integers(-99, 99), st.booleans(), _WORDS)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(_WORDS, inner, max_size=3)
    ),
    max_leaves=8,
)


def quoted(text: str) -> str:
    """`text` as a basic string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(value: object, blank: str) -> str:
    """`value` in TOML; `blank` stands where any blank may stand in a list."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return "[" + ",".join(f"{blank}{written(inner, blank)}" for inner in value) + blank + "]"
    if isinstance(value, dict):
        inner = ", ".join(f"{quoted(key)} = {written(one, ' ')}" for key, one in value.items())
        return "{" + inner + "}"
    return str(value)


@given(
    st.dictionaries(_WORDS, st.dictionaries(_WORDS, _VALUES, max_size=3), max_size=3),
    st.sampled_from(["", " ", "\n  ", " # c, ]\n"]),
)
def test_every_value_of_any_document_has_its_place(
    tables: dict[str, dict[str, object]], blank: str
) -> None:
    """No path is missed, none is invented, and keys and values begin at their places."""
    lines = []
    for name, entries in tables.items():
        lines.append(f"[{quoted(name)}]")
        lines += [f"{quoted(key)} = {written(value, blank)}" for key, value in entries.items()]
    text = "\n".join(lines) + "\n"
    document = tomllib.loads(text)
    places = find_places(text)
    assert set(places) == {path for path, _ in paths_of(document)}
    for path, value in paths_of(document):
        if len(path) > 1:
            flat = written(value, blank)
            inline = written(value, " ")
            assert at(text, places[path].value).startswith((flat, inline))
        if isinstance(path[-1], str):
            assert at(text, places[path].key).startswith(quoted(path[-1]))
