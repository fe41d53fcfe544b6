"""The JSON Schemas of platform, profile and set files, for editors, generated from the models.

``python -m voidimg.spec.schema`` writes them to ``voidimg/schemas``; a test sees to it that the
written ones are those of the models. In an editor with TOML support (Taplo, VS Code's Even Better
TOML) a first line ``#:schema path/to/platform.schema.json`` gives completion and checks.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from voidimg.spec import (
    disk_model,
    document,
    live_model,
    model,
    set_model,
    smoke_model,
    stage_model,
)
from voidimg.spec.document import DOCUMENTS, Kind
from voidimg.spec.search import SHIPPED

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DIRECTORY = SHIPPED / "schemas"


def json_schema(kind: Kind) -> dict[str, object]:
    """The JSON Schema (draft 2020-12) of a file of `kind`."""
    whole = DOCUMENTS[kind].model_json_schema(by_alias=True, mode="validation")
    texts = attribute_docstrings()
    _describe(whole, texts[kind.capitalize()])
    for name, part in whole["$defs"].items():
        _describe(part, texts.get(name.removesuffix("Part"), {}))
    schema = _for_toml(whole)
    if not isinstance(schema, dict):
        raise TypeError("a schema is an object")
    return {"$schema": DIALECT, **schema}


def _describe(schema: dict[str, Any], texts: Mapping[str, str]) -> None:
    """Give the properties of an object's schema their texts, where they have none."""
    for name, described in schema.get("properties", {}).items():
        if name in texts:
            described.setdefault("description", texts[name])


def attribute_docstrings() -> dict[str, dict[str, str]]:
    """Class of a model -> attribute -> the string that follows it in the source, inherited too."""
    found: dict[str, dict[str, str]] = {}
    modules = (smoke_model, stage_model, disk_model, live_model, model, set_model, document)
    for module in modules:
        source = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        for node in source.body:
            if not isinstance(node, ast.ClassDef):
                continue
            texts = found.setdefault(node.name, {})
            for base in node.bases:
                texts.update(found.get(base.id, {}) if isinstance(base, ast.Name) else {})
            for before, after in pairwise(node.body):
                match before, after:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name)),
                        ast.Expr(value=ast.Constant(value=str(text))),
                    ):
                        texts[name] = inspect.cleandoc(text)
    return found


def schema_text(kind: Kind) -> str:
    """The schema as it is written to a file: sorted keys, two spaces, a newline at the end."""
    return json.dumps(json_schema(kind), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def schema_path(kind: Kind) -> Path:
    """Where the schema of `kind` is kept."""
    return DIRECTORY / f"{kind}.schema.json"


def write_schemas() -> None:
    """Write the schemas of the models over the kept ones."""
    DIRECTORY.mkdir(exist_ok=True)
    for kind in DOCUMENTS:
        schema_path(kind).write_text(schema_text(kind), encoding="utf-8")


def _for_toml(value: object) -> object:
    """`value` of a schema as a file in TOML needs it.

    TOML has no null: None only marks a key that may be absent. And a default that is a number of
    bytes or bits does not help where a string with a unit is to be written; a table's defaults are
    those of its keys.
    """
    if isinstance(value, list):
        return [_for_toml(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"anyOf": [dict(only), {"type": "null"}], **rest}:
            value = {**only, **rest}
    default = value.get("default")
    useless = default is None or isinstance(default, dict)
    useless = useless or (value.get("type") == "string" and not isinstance(default, str))
    return {
        name: _for_toml(inner)
        for name, inner in value.items()
        if not (name == "default" and useless)
    }


if __name__ == "__main__":
    write_schemas()
