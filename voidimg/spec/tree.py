"""TOML documents as trees of values that know where they were written.

Inheritance and merging work on these trees, so that every value of a recipe keeps its file, line
and column, and every error can point at the text that causes it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import SpecError
from voidimg.foreign import MAX_DOCUMENT_BYTES, read_regular
from voidimg.spec.positions import Places, TomlPath, find_places


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: `line` and `column` from 1.

    `line` 0 means that no line says it: the value is a default (`file` is ``"default"``), or
    follows from the file as a whole.
    """

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """``file:line:column``, or the file alone."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def as_json(self) -> dict[str, object]:
        """The origin as a JSON-ready mapping."""
        return {"file": self.file, "line": self.line, "column": self.column}


DEFAULT = Origin("default")

_DEEP_KEY = re.compile(
    r"""(?<![\w-])(?:(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){200}"""
)

Content = object
"""A TOML scalar, or `dict[str, Node]`, or `tuple[Node, ...]`; always narrowed before use."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place. `key` is where the key stands, for the elements of a list `origin`.

    `content` is a scalar, a table as `dict[str, Node]` or a list as `tuple[Node, ...]`.
    """

    content: Content
    origin: Origin
    key: Origin

    @property
    def table(self) -> dict[str, Node]:
        """The entries of a table; empty for anything else."""
        return self.content if isinstance(self.content, dict) else {}

    @property
    def items(self) -> tuple[Node, ...]:
        """The elements of a list; empty for anything else."""
        return self.content if isinstance(self.content, tuple) else ()

    def plain(self) -> object:
        """The value without places; lists as tuples, as the strict models want them."""
        if isinstance(self.content, dict):
            return {name: node.plain() for name, node in self.content.items()}
        if isinstance(self.content, tuple):
            return tuple(node.plain() for node in self.content)
        return self.content

    def child(self, step: str | int) -> Node | None:
        """The entry or element `step`, or None."""
        if isinstance(step, str):
            return self.table.get(step)
        return self.items[step] if 0 <= step < len(self.items) else None

    def at(self, *path: str | int) -> Node:
        """The node at `path`, or the deepest one on the way there."""
        node = self
        for step in path:
            child = node.child(step)
            if child is None:
                break
            node = child
        return node

    def leaves(self, path: TomlPath = ()) -> Iterator[tuple[TomlPath, Node]]:
        """Every scalar, empty table and empty list with its path."""
        if isinstance(self.content, dict) and self.content:
            for name, node in self.content.items():
                yield from node.leaves((*path, name))
        elif isinstance(self.content, tuple) and self.content:
            for index, node in enumerate(self.content):
                yield from node.leaves((*path, index))
        else:
            yield path, self


def implied(content: Content, origin: Origin = DEFAULT) -> Node:
    """A node that no text holds: it follows from `origin`."""
    return Node(content, origin, origin)


def path_text(path: TomlPath) -> str:
    """`path` as people write it: ``disk.partitions[0].size``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def read_document(path: Path) -> Node:
    """The TOML file at `path` as a tree.

    Raises:
        SpecError: the file cannot be read, is not UTF-8 or not TOML 1.0; `where` is the place.
    """
    try:
        text = read_regular(path, MAX_DOCUMENT_BYTES).decode("utf-8")
        # Editors of Windows begin files with U+FEFF; it says nothing about the content.
        text = text.removeprefix("\ufeff")
    except OSError as error:
        raise SpecError(
            f"cannot read the file: {error.strerror or error}",
            code="READ",
            where=str(path),
            hint=getattr(error, "hint", None) or "give the path of a platform, profile or set file",
        ) from error
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8")
        raise SpecError(
            f"byte {error.object[error.start]:#04x} is not UTF-8, which TOML files are in",
            code="ENCODING",
            where=f"{path}:{before.count(chr(10)) + 1}:{len(before.rpartition(chr(10))[2]) + 1}",
            hint="save the file as UTF-8",
        ) from error
    return parse_document(text, str(path))


def parse_document(text: str, file: str) -> Node:
    """The TOML `text` as a tree; `file` names it in origins.

    Raises:
        SpecError: it is not TOML 1.0; `where` is the place.
    """
    if deep := _DEEP_KEY.search(text):
        # tomllib and everything after it would take time and memory by the square of the depth.
        line = text.count("\n", 0, deep.start()) + 1
        what = "a key of hundreds of parts is nested too deep"
        raise SpecError(f"not to be read: {what}", code="LIMIT", where=f"{file}:{line}")
    try:
        content = tomllib.loads(text)
        places = find_places(text)
        start = Origin(file, 1, 1)
        return _build(content, (), start, start, places, file)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(str(error), text, file) from error
    except (ValueError, RecursionError) as error:
        # Python's own limits: integers of thousands of digits, lists in lists in lists.
        what = "a number is too long" if isinstance(error, ValueError) else "it is nested too deep"
        raise SpecError(f"not to be read: {what}", code="LIMIT", where=file) from error


def _syntax_error(message: str, text: str, file: str) -> SpecError:
    """`message` of tomllib ends in ``(at line 3, column 10)`` or ``(at end of document)``."""
    match = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if match is not None:
        line, column = int(match[1]), int(match[2])
        message = message[: match.start()]
    else:
        line = text.count("\n") + 1
        column = len(text.rpartition("\n")[2]) + 1
        message = message.removesuffix(" (at end of document)") + ", the file ends too early"
    what = message[:1].lower() + message[1:]
    return SpecError(f"not TOML: {what}", code="SYNTAX", where=f"{file}:{line}:{column}")


def _build(
    value: object,
    path: TomlPath,
    key: Origin,
    origin: Origin,
    places: Mapping[TomlPath, Places],
    file: str,
) -> Node:
    def child(step: str | int, inner: object) -> Node:
        found = places.get((*path, step))
        inner_key = key if found is None else Origin(file, found.key.line, found.key.column)
        start = origin if found is None else Origin(file, found.value.line, found.value.column)
        return _build(inner, (*path, step), inner_key, start, places, file)

    content: Content = value
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("TOML's integers have 64 bits")
    if isinstance(value, str) and "\0" in value:
        raise SpecError(
            "a text holds the character NUL, which no file, name or path can hold",
            code="NUL",
            where=str(origin),
        )
    if isinstance(value, dict):
        content = {name: child(name, inner) for name, inner in value.items()}
    elif isinstance(value, list):
        content = tuple(child(index, inner) for index, inner in enumerate(value))
    return Node(content, origin, key)
