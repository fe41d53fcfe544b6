"""Release notes of an image set in Markdown, from what differs from the one before. Pure.

The form is that of Void's news: front matter with title and layout, highlights, and at the end the
public key of the set as its two lines in a fence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from voidimg.errors import ReleaseError
from voidimg.release.difference import PackageChange
from voidimg.release.set_difference import SetDifference, SetFileChange
from voidimg.units import format_size

_KEY = re.compile(r"untrusted comment: [^\n]{1,1024}\nRW[A-Za-z0-9+/]{54}\n?")
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#|~])")


def release_notes(
    found: SetDifference, *, title: str | None = None, highlights: str = "", key: str | None = None
) -> str:
    """The notes of the new set of `found`.

    Args:
        found: what differs from the set before.
        title: of the page; None: one with the date.
        highlights: Markdown of a person, taken as it is.
        key: the file of the public key, two lines of text.

    Raises:
        ReleaseError: the new set has no date, or the key is not a public key of minisign.
    """
    date = found.new.date
    if date is None:
        raise ReleaseError(
            "the set has no date that all its files agree on", code="NO-DATE", where=found.new.name
        )
    if key is not None and _KEY.fullmatch(key) is None:
        raise ReleaseError(
            "this is not a public key of minisign: two lines, the second begins with RW",
            code="NOTES-KEY",
            where="--key",
        )
    shown = json.dumps(title or f"Image set {date}", ensure_ascii=False)
    blocks = [
        "\n".join(("---", f"title: {shown}", "layout: post", "---")),
        f"The image set {date} follows {found.old.date or _text(found.old.name)}.",
        *_highlights(highlights),
        *_artifacts(found),
        *_packages(found),
        *_key_block(date, key),
    ]
    return "\n\n".join(blocks) + "\n"


def _highlights(text: str) -> Iterator[str]:
    if text.strip():
        yield "## Highlights"
        yield text.strip("\n")


def _artifacts(found: SetDifference) -> Iterator[str]:
    yield "## Artifacts"
    rows = [one for one in found.files if one.new is not None]
    if rows:
        lines = ["| file | size | before |", "|---|---|---|", *map(_artifact_row, rows)]
        yield "\n".join(lines)
    else:
        yield "They are those of the set before."
    gone = [one.old for one in found.files if one.new is None and one.old is not None]
    if gone:
        yield "\n".join(["No longer made:", "", *(f"* {_text(name)}" for name in gone)])


def _artifact_row(one: SetFileChange) -> str:
    before = "new" if one.old is None else _size(one.old_bytes)
    return f"| {_text(one.new or '')} | {_size(one.new_bytes)} | {before} |"


def _packages(found: SetDifference) -> Iterator[str]:
    if found.packages is None or found.new.lock is None:
        return
    yield "## Packages"
    changes = found.by_package()
    counts = {kind: sum(one.change == kind for one in changes) for kind in _KINDS}
    said = [f"{counts[kind]} {kind}" for kind in _KINDS if counts[kind]]
    yield f"{', '.join(said)}." if said else "They are those of the set before."
    asked = {one.name for lock in (found.old.lock, found.new.lock) if lock is not None
             for one in lock.packages if not one.automatic}  # fmt: skip
    named = [one for one in changes if one.name in asked]
    if named:
        lines = ["| package | before | now |", "|---|---|---|", *map(_package_row, named)]
        yield "Of those that platforms and profiles ask for by name:"
        yield "\n".join(lines)


_KINDS = ("upgraded", "downgraded", "added", "removed")


def _package_row(one: PackageChange) -> str:
    return f"| {_text(one.name)} | {_version(one.old)} | {_version(one.new)} |"


def _version(pkgver: str | None) -> str:
    return "-" if pkgver is None else _text(pkgver.rpartition("-")[2])


def _key_block(date: str, key: str | None) -> Sequence[str]:
    if key is None:
        return ()
    return (
        "## Verification",
        f"Its checksums are signed with the key `void-release-{date}.pub`:",
        f"```\n{key.rstrip()}\n```",
    )


def _size(count: int | None) -> str:
    return "unknown" if count is None else format_size(count)


def _text(text: str) -> str:
    """Names as they are read, without a meaning in Markdown."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
