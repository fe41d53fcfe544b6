"""The JSON Schema of lock files, for editors and other programs.

``python -m voidimg.supply.lock_schema`` writes it to ``voidimg/schemas``; a test sees to it that
the written one is this. What reads locks here is `lock_file`, which says more of what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from voidimg.spec.stages import STAGES
from voidimg.supply.lock_file import (
    ARCH_FORM,
    FILES,
    KEY_FORM,
    KEYS,
    OPTIONAL,
    SCHEMA,
    SHA256_FORM,
)

PATH = Path(__file__).parent.parent / "schemas" / "lock.schema.json"

_TEXT = {"type": "string", "minLength": 1}
_NUMBER = {"type": "integer", "minimum": 0}
_ARCHITECTURE = {"type": "string", "pattern": f"^{ARCH_FORM.pattern}$"}
_DIGEST = {"type": "string", "pattern": f"^{SHA256_FORM.pattern}$"}


def _object(
    properties: dict[str, object], description: str, optional: Collection[str] = ()
) -> dict[str, object]:
    """An object that has these properties, all but the `optional` ones for certain."""
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _list(rows: dict[str, object]) -> dict[str, object]:
    return {"type": "array", "items": rows}


def lock_schema() -> dict[str, object]:
    """The JSON Schema (draft 2020-12) of a lock file."""
    stage = _object(
        {"group": _NUMBER, "requests": {"type": "array", "items": {"type": "string"}}},
        "What a stage asked for, and the number of the group of packages that it got.",
    )
    files = {
        "type": "object",
        "description": "Path in the live system -> SHA-256, of files that come from no package.",
        "propertyNames": {"pattern": "^/"},
        "additionalProperties": _DIGEST,
    }
    repository = _object(
        {
            "url": _TEXT,
            "arch": _ARCHITECTURE,
            "repodata_sha256": _DIGEST,
            "key": {"type": ["string", "null"], "pattern": f"^{KEY_FORM.pattern}$"},
        },
        "A repository as it was; key is the fingerprint that it is signed with.",
    )
    fingerprint = {"type": "string", "pattern": f"^{KEY_FORM.pattern}$"}
    key = _object(
        {"fingerprint": fingerprint, "signed_by": {"type": "string"}, "public_key": _TEXT},
        "A public key of a repository in PEM form, and whose it says it is.",
    )
    platform = _object(
        {
            "platform": _TEXT,
            "profile": _TEXT,
            "arch": _ARCHITECTURE,
            **dict.fromkeys(STAGES, stage),
            FILES: files,
            KEYS: {
                "type": "array",
                "items": fingerprint,
                "description": "The repository keys that its trees trust.",
            },
        },
        "A platform with a profile, and the stages of what is made of it; platforms that install "
        "the same share groups.",
        OPTIONAL,
    )
    package = _object(
        {
            "group": _NUMBER,
            "pkgver": {"type": "string", "pattern": "^.+-[^-]+_[0-9]+$"},
            "arch": _ARCHITECTURE,
            "repository": {**_NUMBER, "description": "Index into repositories."},
            "size": {**_NUMBER, "description": "Bytes of the package file."},
            "sha256": _DIGEST,
            "stage": {"enum": list(STAGES)},
            "automatic": {"type": "boolean", "description": "It is there as a dependency only."},
        },
        "A package; those of a group are in the order of their installation.",
    )
    tables = {
        "repositories": _list(repository),
        KEYS: _list(key),
        "platforms": _list(platform),
        "packages": _list(package),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "voidimg lock",
        **_object({"schema": {"const": SCHEMA}, **tables}, "The packages of an image set.", {KEYS}),
    }


def lock_schema_text() -> str:
    """The schema as it is written to a file: sorted keys, two spaces, a newline at the end."""
    return json.dumps(lock_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(lock_schema_text(), encoding="utf-8")
