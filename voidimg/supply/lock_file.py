"""Reads the tables of a lock file and says what is wrong with every value of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from voidimg.errors import SpecError, raise_all
from voidimg.spec.stages import STAGES
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
SHA256_FORM = re.compile(r"[0-9a-f]{64}")
ARCH_FORM = re.compile(r"[A-Za-z0-9_-]+")
KEY_FORM = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){15}")

Check = Callable[[object], str | None]


def _text(value: object) -> str | None:
    return None if isinstance(value, str) and value else "is not a text"


def _of_form(form: re.Pattern[str], what: str) -> Check:
    def check(value: object) -> str | None:
        fits = isinstance(value, str) and form.fullmatch(value) is not None
        return None if fits else f"is not {what}"

    return check


def _number(value: object) -> str | None:
    # bool is an int to Python, not to JSON.
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return None if fits else "is not a whole number from 0 up"


def _is_pkgver(value: object) -> str | None:
    fits = isinstance(value, str) and "/" not in value and split_pkgver(value)
    return None if fits else "is not a pkgver"


def _boolean(value: object) -> str | None:
    return None if isinstance(value, bool) else "is not true or false"


def _stage(value: object) -> str | None:
    known = STAGES
    return None if value in known else f"is not one of {', '.join(known)}"


def _or_null(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


_ARCHITECTURE = _of_form(ARCH_FORM, "an architecture")
_DIGEST = _of_form(SHA256_FORM, "a SHA-256 of 64 small hexadecimal digits")


def _wrong_stage(value: object) -> str | None:
    fits = (
        isinstance(value, dict)
        and value.keys() == {"group", "requests"}
        and _number(value["group"]) is None
        and isinstance(value["requests"], list)
        and all(isinstance(one, str) for one in value["requests"])
    )
    return None if fits else "is not a group with its requests"


def _wrong_files(value: object) -> str | None:
    fits = isinstance(value, dict) and all(
        path.startswith("/") and _DIGEST(digest) is None for path, digest in value.items()
    )
    return None if fits else "is not a SHA-256 for each absolute path"


_FINGERPRINT = _of_form(KEY_FORM, "a fingerprint")


def _wrong_keys(value: object) -> str | None:
    fits = isinstance(value, list) and all(_FINGERPRINT(one) is None for one in value)
    return None if fits else "is not a list of fingerprints"


def _string(value: object) -> str | None:
    fits = isinstance(value, str) and not any("\ud800" <= one <= "\udfff" for one in value)
    return None if fits else "is not a text"


def _pem(value: object) -> str | None:
    fits = isinstance(value, str) and value != "" and max(value) <= "\xff"
    return None if fits else "is not a public key in PEM form"


REPOSITORY: Mapping[str, Check] = {
    "url": _text,
    "arch": _ARCHITECTURE,
    "repodata_sha256": _DIGEST,
    "key": _or_null(_FINGERPRINT),
}
KEY: Mapping[str, Check] = {
    "fingerprint": _FINGERPRINT,
    "signed_by": _string,
    "public_key": _pem,
}
PLATFORM: Mapping[str, Check] = {
    "platform": _text,
    "profile": _text,
    "arch": _ARCHITECTURE,
    **dict.fromkeys(STAGES, _wrong_stage),
    FILES: _wrong_files,
    KEYS: _wrong_keys,
}
PACKAGE: Mapping[str, Check] = {
    "group": _number,
    "pkgver": _is_pkgver,
    "arch": _ARCHITECTURE,
    "repository": _number,
    "size": _number,
    "sha256": _DIGEST,
    "stage": _stage,
    "automatic": _boolean,
}
OPTIONAL = frozenset({*STAGES, FILES, KEYS})
"""Keys that may be missing: a platform has the stages of what is made of it."""

_TABLES = {
    "repositories": REPOSITORY,
    KEYS: KEY,
    "platforms": PLATFORM,
    "packages": PACKAGE,
}


def read_tables(data: bytes, where: str) -> dict[str, list[Row]]:
    """The rows of every table of the lock file with the bytes `data`, each value checked.

    Raises:
        SpecError: no JSON, an unknown schema, missing or unknown keys, wrong types or values;
            several in a CollectedError.
    """
    document = _document(data, where)
    return {name: _rows(document, name, checks, where) for name, checks in _TABLES.items()}


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


def _rows(
    document: Mapping[str, object], table: str, checks: Mapping[str, Check], where: str
) -> list[Row]:
    rows = document[table]
    if not isinstance(rows, list):
        raise wrong("LOCK-TYPE", f"{table} is not a list", where)
    problems = (
        wrong("LOCK-TYPE", complaint, f"{where}: {table}[{index}]")
        for index, row in enumerate(rows)
        for complaint in _complaints(row, checks)
    )
    raise_all(list(islice(problems, _MOST_PROBLEMS)), f"{where}: several errors")
    return rows


def _complaints(row: object, checks: Mapping[str, Check]) -> Iterable[str]:
    if not isinstance(row, dict):
        yield "is not an object"
        return
    for key in sorted((checks.keys() ^ row.keys()) - OPTIONAL):
        yield f"{key} is {'missing' if key in checks else 'not known'}"
    for key in checks.keys() & row.keys():
        complaint = checks[key](row[key])
        if complaint is not None:
            yield f"{key} {complaint}"


def wrong(code: str, what: str, where: str) -> SpecError:
    """An error of a lock file."""
    return SpecError(what, code=code, where=where, hint="write it anew with 'voidimg lock'")
