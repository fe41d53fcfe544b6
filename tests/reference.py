"""Makes the page of `docs/` with every key of platform and profile files, from their models."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic_core import PydanticUndefined

from voidimg.spec import words
from voidimg.spec.base import Model
from voidimg.spec.document import Platform, Profile
from voidimg.spec.schema import attribute_docstrings
from voidimg.units import format_mode, format_size

_WORDS = {
    name: word
    for name, word in vars(words).items()
    if get_origin(word) is Annotated and name[0].isupper()
}
_HEAD = {
    "schema": "The version of this format: `1`.",
    "kind": "`platform` or `profile`.",
    "extends": "The one parent, by name or path; everything of it is inherited.",
    "include": "Abstract files of the same kind, laid over the parent in this order: mix-ins.",
    "abstract": "`true`: only a part of others, cannot be built itself.",
    "glibc": "A table of the same keys, for what is different with glibc.",
    "musl": "The same for musl.",
}


def reference_page() -> str:
    """Every key of platform and profile files: type, default, meaning."""
    lines = [
        "# Platform and profile files: every key",
        "",
        "`docs/guide.md` shows how they are used. This page is made from `voidimg/spec`; the JSON",
        "Schemas in `voidimg/schemas` say the same to editors. A list that the parent has is",
        "replaced, or changed with `{ add = [...], remove = [...] }`.",
        "",
        "## The head of each file",
        "",
        *_table(("key", "meaning"), ((f"`{key}`", text) for key, text in _HEAD.items())),
    ]
    seen: dict[type[Model], None] = {}
    for kind in (Platform, Profile):
        _collect(kind, seen)
    texts = attribute_docstrings()
    for model in seen:
        lines += ["", f"## {model.__name__}", "", _prose(model.__doc__ or ""), ""]
        lines += _table(("key", "type", "default", "meaning"), _rows(model, texts))
    lines += ["", "## Words", "", "The strings that have a grammar of their own.", ""]
    lines += _table(("word", "grammar"), ((f"`{n}`", _grammar(n)) for n in sorted(_WORDS)))
    return "\n".join(lines) + "\n"


def _rows(model: type[Model], texts: dict[str, dict[str, str]]) -> Iterator[tuple[str, ...]]:
    hints = get_type_hints(model, include_extras=True)
    for name, field in model.model_fields.items():
        described = texts.get(model.__name__, {}).get(name, "")
        yield f"`{name}`", _type(hints[name]), _default(field, hints[name]), _prose(described)


def _collect(model: type[Model], seen: dict[type[Model], None]) -> None:
    if model in seen:
        return
    seen[model] = None
    for hint in get_type_hints(model, include_extras=True).values():
        for inner in _models(hint):
            _collect(inner, seen)


def _models(hint: Any) -> Iterator[type[Model]]:
    if isinstance(hint, type) and issubclass(hint, Model):
        yield hint
    for inner in get_args(hint):
        yield from _models(inner)


def _type(hint: Any) -> str:
    for name, word in _WORDS.items():
        if hint == word:
            return name
    origin, inner = get_origin(hint), [one for one in get_args(hint) if one is not type(None)]
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin is tuple:
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"table: {_type(inner[0])} to {_type(inner[1])}"
    if origin in (Union, types.UnionType):
        return " or ".join(_type(one) for one in inner)
    if isinstance(hint, type) and issubclass(hint, Model):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return {str: "string", int: "whole number", bool: "true or false"}[hint]


def _default(field: Any, hint: Any) -> str:
    value = field.default
    if field.is_required() or value is PydanticUndefined:
        return "needed"
    if value is None or value == () or value == {} or isinstance(value, Model):
        return ""
    if hint == words.Bytes:
        return f'`"{format_size(value).replace(" ", "")}"`'
    if hint == words.Mode:
        return f'`"{format_mode(value)}"`'
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return " ".join(f"`{one}`" for one in value)
    return f"`{value}`" if value != "" else ""


def _grammar(name: str) -> str:
    for meta in _WORDS[name].__metadata__:
        schema = getattr(meta, "json_schema", None)
        if schema is not None:
            return f"`{schema['pattern']}`" if "pattern" in schema else "one line, or `false`"
    return "a regular expression of Python"


def _prose(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
