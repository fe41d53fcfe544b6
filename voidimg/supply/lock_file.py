"""The tables of a lock file: what each row may hold, and what is wrong with a file that is none.

The models say it once, for reading and for the JSON Schema. A lock may be hostile, so rows are
looked at one by one and only until enough is wrong: pydantic would keep every error of a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, FailFast, Field, StringConstraints
from pydantic import ValidationError as Invalid
from pydantic_core import ErrorDetails, PydanticCustomError

from voidimg.errors import SpecError, raise_all
from voidimg.spec.base import Model
from voidimg.spec.stages import STAGES, PackageStage
from voidimg.xbps.names import split_pkgver

SCHEMA = 1
"""The only version of the format so far."""

FILES = "files"
"""The key of a platform's files that come from no package."""

KEYS = "keys"
"""The table of public keys, and the key of a platform's fingerprints of them."""

Row = dict[str, Any]
"""A row of a table, its keys and values checked."""

_MOST_PROBLEMS = 100
"""Errors told of one table: nobody reads more, and a hostile file could hold millions."""
_MOST_KEYS = 64
"""More than any row has."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Means(NamedTuple):
    """What a value must be, for the sentence "it is not ..."."""

    text: str


def _all_of(fits: Callable[[Any], bool]) -> AfterValidator:
    """Refuse a value that does not fit as a whole, which makes one error of it."""

    def check(value: object) -> object:
        if not fits(value):
            raise PydanticCustomError("lock", "it does not fit")
        return value

    return AfterValidator(check)


def _require_digests(value: object) -> object:
    """Refuse at the first that does not fit: a file may be made of millions."""
    if isinstance(value, dict) and not all(
        path.startswith("/") and isinstance(digest, str) and _DIGEST.fullmatch(digest)
        for path, digest in value.items()
    ):
        raise PydanticCustomError("lock", "it does not fit")
    return value


def _is_unicode(value: str) -> bool:
    """Whether it can be written as UTF-8: JSON can hold halves of surrogate pairs."""
    return not any("\ud800" <= one <= "\udfff" for one in value)


def _is_pkgver(value: str) -> bool:
    return "/" not in value and split_pkgver(value) is not None


AnyText = Annotated[str, _all_of(_is_unicode), Means("a text")]
Text = Annotated[AnyText, StringConstraints(min_length=1)]
Architecture = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$"), Means("an architecture")
]
Digest = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{64}$"),
    Means("a SHA-256 of 64 small hexadecimal digits"),
]
Fingerprint = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-f]{2}(:[0-9a-f]{2}){15}$"), Means("a fingerprint")
]
Number = Annotated[int, Field(ge=0), Means("a whole number from 0 up")]
PkgverText = Annotated[
    str,
    StringConstraints(pattern=r"^.+-[^-]+_[0-9]+$"),
    _all_of(_is_pkgver),
    Means("a pkgver"),
]


def _absent(key: str) -> Any:
    """A stage that need not be there; null is none."""
    return Field(default=None, alias=key)


class RepositoryRow(Model):
    """A repository as it was; key is the fingerprint that it is signed with."""

    url: Text
    arch: Architecture
    repodata_sha256: Digest
    key: Annotated[Fingerprint | None, Means("a fingerprint")]


class KeyRow(Model):
    """A public key of a repository in PEM form, and whose it says it is."""

    fingerprint: Fingerprint
    signed_by: AnyText
    public_key: Annotated[
        str,
        StringConstraints(min_length=1),
        _all_of(lambda value: max(value) <= "\xff"),
        Means("a public key in PEM form"),
    ]


class StageRow(Model):
    """What a stage asked for, and the number of the group of packages that it got."""

    group: Number
    requests: Annotated[list[AnyText], FailFast()]


_Stage = Annotated[StageRow, Means("a group with its requests")]


class PlatformRow(Model):
    """A platform with a profile, and the stages of what is made of it.

    Platforms that install the same share groups.
    """

    platform: Text
    profile: Text
    arch: Architecture
    rootfs: _Stage = _absent("rootfs")
    platformfs: _Stage = _absent("platformfs")
    live: _Stage = _absent("live")
    live_build: _Stage = _absent("live-build")
    netboot_build: _Stage = _absent("netboot-build")
    wsl: _Stage = _absent("wsl")
    files: Annotated[
        dict[Annotated[str, StringConstraints(pattern="^/")], Digest],
        BeforeValidator(_require_digests),
        Means("a SHA-256 for each absolute path"),
        Field(
            description="Path in the live system -> SHA-256, of files that come from no package."
        ),
    ] = Field(default_factory=dict)
    keys: Annotated[
        list[Fingerprint],
        FailFast(),
        Means("a list of fingerprints"),
        Field(description="The repository keys that its trees trust."),
    ] = Field(default_factory=list)


class PackageRow(Model):
    """A package; those of a group are in the order of their installation."""

    group: Number
    pkgver: PkgverText
    arch: Architecture
    repository: Annotated[Number, Field(description="Index into repositories.")]
    size: Annotated[Number, Field(description="Bytes of the package file.")]
    sha256: Digest
    stage: Annotated[PackageStage, Means(f"one of {', '.join(STAGES)}")]
    automatic: Annotated[
        bool, Means("true or false"), Field(description="It is there as a dependency only.")
    ]


class LockFile(Model):
    """The packages of an image set."""

    format: Literal[1] = Field(alias="schema")
    repositories: list[RepositoryRow]
    keys: list[KeyRow] = Field(default_factory=list)
    platforms: list[PlatformRow]
    packages: list[PackageRow]


_TABLES: Mapping[str, type[Model]] = {
    "repositories": RepositoryRow,
    KEYS: KeyRow,
    "platforms": PlatformRow,
    "packages": PackageRow,
}


def read_tables(data: bytes, where: str) -> dict[str, list[Row]]:
    """The rows of every table of the lock file with the bytes `data`, each value checked.

    Raises:
        SpecError: no JSON, an unknown schema, missing or unknown keys, wrong types or values;
            several in a CollectedError.
    """
    document = _document(data, where)
    return {name: _rows(document, name, row, where) for name, row in _TABLES.items()}


def complaints(row: type[Model], values: object) -> list[str]:
    """What is wrong with `values` as a `row`, such as "size is missing", each key once."""
    if not isinstance(values, dict):
        return ["is not an object"]
    if len(values) > _MOST_KEYS:
        return [f"has {len(values)} keys"]
    try:
        row.model_validate(values)
    except Invalid as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return sorted({_complaint(row, str(one["loc"][0]), one) for one in found})
    return []


def _complaint(row: type[Model], key: str, error: ErrorDetails) -> str:
    if len(error["loc"]) == 1 and error["type"] == "missing":
        return f"{key} is missing"
    if len(error["loc"]) == 1 and error["type"] == "extra_forbidden":
        return f"{key} is not known"
    return f"{key} is not {_meanings(row)[key]}"


@lru_cache
def _meanings(row: type[Model]) -> Mapping[str, str]:
    return {
        field.alias or name: one.text
        for name, field in row.model_fields.items()
        for one in field.metadata
        if isinstance(one, Means)
    }


def _document(data: bytes, where: str) -> dict[str, object]:
    try:
        document = json.loads(data)
    except json.JSONDecodeError as error:
        at = f"{where}:{error.lineno}:{error.colno}"
        raise wrong("LOCK-SYNTAX", f"this is no JSON: {error.msg}", at) from error
    except UnicodeDecodeError as error:
        raise wrong("LOCK-SYNTAX", "this is not UTF-8", where) from error
    except ValueError as error:  # a number of thousands of digits
        raise wrong("LOCK-SYNTAX", str(error), where) from error
    except RecursionError as error:
        raise wrong("LOCK-SYNTAX", "this is nested too deeply for a lock", where) from error
    if not isinstance(document, dict):
        raise wrong("LOCK-SYNTAX", "a lock is a JSON object", where)
    schema = document.get("schema")
    if schema != SCHEMA or isinstance(schema, bool):
        raise wrong(
            "LOCK-SCHEMA",
            f"schema {schema!r} of the lock is not known; this voidimg reads {SCHEMA}",
            where,
        )
    document.setdefault(KEYS, [])  # the first locks had no keys
    odd = sorted({"schema", *_TABLES} ^ document.keys())
    if odd:
        raise wrong("LOCK-KEY", f"missing or unknown keys: {', '.join(odd)}", where)
    return document


def _rows(document: Mapping[str, object], table: str, row: type[Model], where: str) -> list[Row]:
    rows = document[table]
    if not isinstance(rows, list):
        raise wrong("LOCK-TYPE", f"{table} is not a list", where)
    raise_all(
        list(islice(_problems(rows, table, row, where), _MOST_PROBLEMS)), f"{where}: several errors"
    )
    return rows


def _problems(rows: list[object], table: str, row: type[Model], where: str) -> Iterator[SpecError]:
    for index, values in enumerate(rows):
        for complaint in complaints(row, values):
            yield wrong("LOCK-TYPE", complaint, f"{where}: {table}[{index}]")


def wrong(code: str, what: str, where: str) -> SpecError:
    """An error of a lock file."""
    return SpecError(what, code=code, where=where, hint="write it anew with 'voidimg lock'")
