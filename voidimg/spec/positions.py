"""Where each key and value of a TOML text stands, which `tomllib` does not tell.

The text must have been accepted by `tomllib` (TOML 1.0): this scanner finds places, it does not
validate. A path is a tuple of keys and list indices, such as ``("disk", "partitions", 0, "size")``.
"""

from __future__ import annotations

import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

TomlPath = tuple[str | int, ...]

_BARE_KEY = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column, both from 1; columns count characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Places:
    """Where a key stands, and where its value begins. The elements of a list have no key."""

    key: Place
    value: Place


def find_places(text: str) -> Mapping[TomlPath, Places]:
    """The places of every key, table, list element and value in `text`.

    A table that was never written as such (``a`` in ``a.b = 1``) stands where its name does.

    Examples:
        >>> find_places('size = "1MiB"')[("size",)].value
        Place(line=1, column=8)
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str):
        self._text = text
        self._at = 0
        self._lines = [0] + [i + 1 for i, char in enumerate(text) if char == "\n"]
        self._found: dict[TomlPath, Places] = {}
        self._counts: dict[TomlPath, int] = {}  # elements seen of each [[array of tables]]

    def scan(self) -> dict[TomlPath, Places]:
        table: TomlPath = ()
        while self._skip_blank():
            if self._text.startswith("[[", self._at):
                table = self._table_header(2)
            elif self._text[self._at] == "[":
                table = self._table_header(1)
            else:
                self._key_and_value(table)
        return self._found

    def _place(self, offset: int) -> Place:
        line = bisect_right(self._lines, offset)
        return Place(line, offset - self._lines[line - 1] + 1)

    def _record(self, path: TomlPath, key: int, value: int) -> None:
        self._found.setdefault(path, Places(self._place(key), self._place(value)))

    def _skip_blank(self) -> bool:
        """Move over blanks, newlines and comments; False at the end of the text."""
        text = self._text
        while self._at < len(text):
            if text[self._at] == "#":
                end = text.find("\n", self._at)
                self._at = len(text) if end < 0 else end
            elif text[self._at] in " \t\r\n":
                self._at += 1
            else:
                return True
        return False

    def _skip_spaces(self) -> None:
        while self._text[self._at] in " \t":
            self._at += 1

    def _table_header(self, brackets: int) -> TomlPath:
        self._at += brackets
        *parents, (name, offset) = self._dotted_key()
        self._at += brackets
        path = (*self._descend((), parents), name)
        self._record(path, offset, offset)
        if brackets == 2:
            index = self._counts.get(path, 0)
            self._counts[path] = index + 1
            path = (*path, index)
            self._record(path, offset, offset)
        return path

    def _descend(self, path: TomlPath, keys: list[tuple[str, int]]) -> TomlPath:
        """`path` extended by `keys`; of an array of tables the newest element is meant."""
        for key, offset in keys:
            path = (*path, key)
            self._record(path, offset, offset)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        return path

    def _key_and_value(self, table: TomlPath) -> None:
        *parents, (name, offset) = self._dotted_key()
        path = (*self._descend(table, parents), name)
        self._at = self._text.index("=", self._at) + 1
        self._skip_spaces()
        self._value(path, offset)

    def _dotted_key(self) -> list[tuple[str, int]]:
        keys = []
        while True:
            self._skip_spaces()
            start = self._at
            if self._text[start] in "\"'":
                self._string()
                raw = self._text[start : self._at]
                keys.append((str(tomllib.loads(f"k={raw}")["k"]), start))
            else:
                while self._text[self._at] in _BARE_KEY:
                    self._at += 1
                keys.append((self._text[start : self._at], start))
            self._skip_spaces()
            if self._text[self._at] != ".":
                return keys
            self._at += 1

    def _value(self, path: TomlPath, key: int) -> None:
        self._record(path, key, self._at)
        first = self._text[self._at]
        if first in "\"'":
            self._string()
        elif first == "[":
            self._list(path)
        elif first == "{":
            self._inline_table(path)
        else:
            while self._at < len(self._text) and self._text[self._at] not in ",]}#\n":
                self._at += 1

    def _list(self, path: TomlPath) -> None:
        self._at += 1
        index = 0
        while self._skip_blank() and self._text[self._at] != "]":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._value((*path, index), self._at)
            index += 1
        self._at += 1

    def _inline_table(self, path: TomlPath) -> None:
        self._at += 1
        while self._skip_blank() and self._text[self._at] != "}":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._key_and_value(path)
        self._at += 1

    def _string(self) -> None:
        """Move behind the string that begins here: one of TOML's four forms."""
        text, quote = self._text, self._text[self._at]
        closing = quote * 3 if text.startswith(quote * 3, self._at) else quote
        self._at += len(closing)
        while not text.startswith(closing, self._at):
            self._at += 2 if quote == '"' and text[self._at] == "\\" else 1
        self._at += len(closing)
        if len(closing) == 3:  # up to two quotes may stand before the closing three
            while text.startswith(quote, self._at):
                self._at += 1
