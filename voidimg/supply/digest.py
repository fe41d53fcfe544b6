"""Digests of plain values, of recipes and of this program."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from voidimg.spec.compose import ResolvedRecipe


def digest(value: object) -> str:
    """SHA-256 of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def resolution_digest(resolved: ResolvedRecipe) -> str:
    """Digest of a recipe and of this program, for what is resolved from them.

    The program's files are known by size and time, as Python itself knows whether to compile them
    anew: reading all of them would take as long as resolving.
    """
    package = Path(__file__).parent.parent
    stamps = [
        [str(path.relative_to(package)), (status := path.stat()).st_size, status.st_mtime_ns]
        for path in _below(package)
    ]
    return digest([stamps, resolved.recipe.model_dump(mode="json")])


def _below(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))
