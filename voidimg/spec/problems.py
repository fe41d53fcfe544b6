"""What pydantic finds wrong with a document, as errors with a place, a code and a suggestion."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from voidimg.errors import SpecError, VoidimgError
from voidimg.spec.base import Model
from voidimg.spec.positions import TomlPath
from voidimg.spec.tree import Node, Origin, path_text
from voidimg.suggest import did_you_mean

_TYPES = {
    "string_type": "a string",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
    "union_tag_not_found": "a list, or a table with add and remove",
}


def problem(origin: Origin, what: str, *, code: str, hint: str | None = None) -> SpecError:
    """A `SpecError` at `origin`."""
    return SpecError(what, code=code, where=str(origin), hint=hint)


E = TypeVar("E", bound=VoidimgError)


def in_order(errors: Iterable[E]) -> list[E]:
    """`errors` by file, line and column, each once."""
    unique = {(error.code, error.where, error.what): error for error in errors}
    return sorted(unique.values(), key=_place_key)


def _place_key(error: VoidimgError) -> tuple[str, int, int]:
    match = re.fullmatch(r"(.*?):(\d+):(\d+)", error.where or "")
    return (match[1], int(match[2]), int(match[3])) if match else (error.where or "", 0, 0)


def validate(model: type[Model], node: Node, *, document: bool) -> list[SpecError]:
    """Everything that is wrong with `node` as a `model`; nothing means it is valid.

    `document`: it is a file as written, where sizes and modes must have their units.
    """
    try:
        model.model_validate(node.plain(), context={"document": document})
    except ValidationError as error:
        return [_explain(model, node, detail) for detail in error.errors(include_url=False)]
    return []


def _explain(model: type[Model], root: Node, detail: ErrorDetails) -> SpecError:
    path = tuple(
        step for step in detail["loc"] if not (isinstance(step, str) and step.startswith("<"))
    )
    node = root.at(*path)
    name = path_text(path)
    kind = detail["type"]
    match kind:
        case "extra_forbidden":
            key = str(path[-1])
            inside = f" in [{path_text(path[:-1])}]" if len(path) > 1 else ""
            hint = did_you_mean(key, _known_keys(model, path[:-1]))
            return problem(node.key, f"unknown key {key!r}{inside}", code="UNKNOWN-KEY", hint=hint)
        case "missing":
            table = path_text(path[:-1]) or "the file"
            return problem(node.key, f"{table} needs {path[-1]!r}", code="MISSING")
        case "literal_error":
            words = re.findall(r"'([^']*)'", str(detail["ctx"]["expected"]))
            hint = did_you_mean(str(node.content), words)
            what = f"{name} is {_shown(node)}, not one of {detail['ctx']['expected']}"
            return problem(node.origin, what, code="VALUE", hint=hint)
        case _ if kind in _TYPES:
            what = f"{name} is {_shown(node)}, but should be {_TYPES[kind]}"
            return problem(node.origin, what, code="TYPE")
        case "string_pattern_mismatch" | "too_short" | "greater_than_equal" | "less_than_equal":
            return problem(node.origin, f"{name}: {_lower(detail['msg'])}", code="VALUE")
        case _:
            code = "VALUE" if kind in _PYDANTIC_KINDS else kind.upper().replace("_", "-")
            return problem(node.origin, f"{name}: {_lower(detail['msg'])}", code=code)


_PYDANTIC_KINDS = frozenset({"less_than", "greater_than", "too_long", "string_too_short"})


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _shown(node: Node) -> str:
    """The value as an error names it."""
    match node.content:
        case dict():
            return "a table"
        case tuple():
            return "a list"
        case bool():
            return "true" if node.content else "false"
        case str():
            return repr(node.content)
        case _:
            return str(node.content)


def _known_keys(model: type[Model], path: TomlPath) -> set[str]:
    """The keys that the table at `path` of a `model` may have."""
    models = [model]
    for step in path:
        if isinstance(step, str):
            models = [
                inner
                for outer in models
                for name, field in outer.model_fields.items()
                if step == (field.alias or name)
                for inner in _models_in(field.annotation)
            ]
    return {field.alias or name for known in models for name, field in known.model_fields.items()}


def _models_in(annotation: Any) -> list[type[Model]]:
    """Every model that `annotation` mentions."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
