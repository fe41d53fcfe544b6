"""Digests that say whether two builds would give the same bytes, so that one is enough."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from voidimg.artifacts.kind import KindName
from voidimg.artifacts.registry import KINDS
from voidimg.disk.compress import library_versions
from voidimg.foreign import MAX_DOCUMENT_BYTES, read_regular
from voidimg.identity import ReleaseDate
from voidimg.programs import program_path, programs_that_change_bytes
from voidimg.spec.compose import ResolvedRecipe
from voidimg.spec.model import Recipe
from voidimg.spec.sources import source_digests
from voidimg.supply.digest import _below, digest


def artifact_key(
    kind: KindName,
    resolved: ResolvedRecipe,
    date: ReleaseDate,
    *,
    compression: str,
    packages: Mapping[str, Sequence[Sequence[str]]],
    keys: Iterable[str],
) -> str:
    """The digest of everything that an artifact is made from.

    A ROOTFS does not depend on what only the platform says, so platforms share it.

    Args:
        kind: which artifact.
        resolved: the recipe.
        date: of the image set.
        compression: kind and level.
        packages: stage -> what the lock says of each package, in the order of installation.
        keys: words that say which keys are put into the tree.
    """
    known = KINDS[kind]
    return digest(
        {
            "kind": kind,
            "compression": compression,
            **_made_from(
                known.fields, known.own_stages or known.stages, resolved, date, packages, keys
            ),
        }
    )


def rootfs_tree_key(
    resolved: ResolvedRecipe,
    date: ReleaseDate,
    *,
    packages: Mapping[str, Sequence[Sequence[str]]],
    keys: Iterable[str],
) -> str:
    """The digest of everything that the tree of a ROOTFS is made from; see `artifact_key`."""
    rootfs = KINDS["rootfs"]
    return digest(_made_from(rootfs.fields, rootfs.own_stages, resolved, date, packages, keys))


def _made_from(
    fields: Collection[str] | None,
    stages: Sequence[str],
    resolved: ResolvedRecipe,
    date: ReleaseDate,
    packages: Mapping[str, Sequence[Sequence[str]]],
    keys: Iterable[str],
) -> dict[str, object]:
    included = None if fields is None else set(fields)
    return {
        "recipe": resolved.recipe.model_dump(mode="json", include=included),
        "date": str(date),
        "packages": [[stage, [list(one) for one in packages[stage]]] for stage in stages],
        "keys": sorted(keys),
        "surroundings": _surroundings(resolved, included),
    }


def _surroundings(resolved: ResolvedRecipe, fields: set[str] | None) -> str:
    templates = [_file_digests(one) for one in resolved.templates]
    stages = set(Recipe.model_fields) if fields is None else fields
    sources = source_digests(resolved.recipe, resolved.sources, stages)
    stamps = _tool_stamps(resolved.recipe.arch)
    return digest([_program_digest(), stamps, _library_versions(), templates, sources])


@cache
def _program_digest() -> str:
    """Digest of voidimg's own code: another version may give other bytes."""
    package = Path(__file__).parent.parent
    return digest([[str(path.relative_to(package)), _sha256(path)] for path in _below(package)])


@cache
def _tool_stamps(arch: str) -> list[list[object]]:
    """Name, size and time of each program for `arch`: an upgraded program is another one."""
    found: list[list[object]] = []
    for name in programs_that_change_bytes(arch):
        path = program_path(name)
        status = None if path is None else os.stat(path)
        found.append([name, status and status.st_size, status and status.st_mtime_ns])
    return found


@cache
def _library_versions() -> list[str]:
    """The compressors that come with Python packages or with Python itself."""
    return list(library_versions())


def _file_digests(directory: Path) -> list[list[str]]:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return [[str(path.relative_to(directory)), _sha256(path)] for path in files]


def _sha256(path: Path) -> str:
    return hashlib.sha256(read_regular(path, MAX_DOCUMENT_BYTES)).hexdigest()
