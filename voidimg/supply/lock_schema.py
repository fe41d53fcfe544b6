"""The JSON Schema of lock files, for editors and other programs.

``python -m voidimg.supply.lock_schema`` writes it to ``voidimg/schemas``; a test sees to it that
the written one is this. What reads locks here is `lock_file`, which says more of what is wrong.
"""

from __future__ import annotations

import json
from pathlib import Path

from voidimg.supply.lock_file import LockFile

PATH = Path(__file__).parent.parent / "schemas" / "lock.schema.json"


def lock_schema() -> dict[str, object]:
    """The JSON Schema (draft 2020-12) of a lock file."""
    whole = LockFile.model_json_schema(by_alias=True, mode="validation")
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **whole, "title": "voidimg lock"}


def lock_schema_text() -> str:
    """The schema as it is written to a file: sorted keys, two spaces, a newline at the end."""
    return json.dumps(lock_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(lock_schema_text(), encoding="utf-8")
