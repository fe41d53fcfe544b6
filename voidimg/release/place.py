"""The directory of an image set: what may be put in the place of what is there."""

from __future__ import annotations

import os
from pathlib import Path

from voidimg.artifact_names import MANIFEST_NAME
from voidimg.errors import UsageError
from voidimg.signing.signed_sums import SIGNATURE_NAMES
from voidimg.signing.sums import digest_files

PART_NAME = "part.json"
"""The manifest of a share of a set. It has another name, so that nobody takes it for a set."""


def require_place(target: Path) -> None:
    """Refuse before work starts what may not be replaced whatever is made.

    Raises:
        UsageError: something is at `target` that is no image set of a release.
    """
    if not os.path.lexists(target):
        return
    if target.is_symlink() or not target.is_dir():
        raise _foreign(target)
    names = set(os.listdir(target))
    if names and not names & {MANIFEST_NAME, PART_NAME}:
        raise _foreign(target)


def _foreign(target: Path) -> UsageError:
    return UsageError(
        f"{target} is there, and is no image set that was released",
        code="SET-FOREIGN",
        where=str(target),
        hint="move it away, or choose another --out or --date",
    )


def require_replaceable(place: Path, target: Path, *, replace: bool) -> None:
    """Ensure that the image set `target`, which lies in `place`, may be replaced by another one.

    Raises:
        UsageError: it is signed, or something else, or nobody said so with `replace`.
    """
    if place.is_symlink() or not place.is_dir():
        raise _foreign(target)
    names = set(os.listdir(place))
    if not names:
        return
    if not names & {MANIFEST_NAME, PART_NAME}:
        raise _foreign(target)
    if names & set(SIGNATURE_NAMES):
        raise UsageError(
            f"the image set {target} is signed, and what was made now is different",
            code="SET-SIGNED",
            where=str(target),
            hint="published files must not change: choose another --date, such as one with r1",
        )
    if not replace:
        raise UsageError(
            f"{target} is there already, and what was made now is different",
            code="SET-DIFFERENT",
            where=str(target),
            hint="--replace puts the new one in its place; --out or --date writes it elsewhere",
        )


def is_there(new: Path, target: Path) -> bool:
    """Whether `target` is there with the very files of `new`; it may have a signature beside."""
    if not target.is_dir():
        return False
    names = set(os.listdir(new))
    if set(os.listdir(target)) - set(SIGNATURE_NAMES) != names:
        return False
    return all(_is_same(new / name, target / name) for name in sorted(names))


def _is_same(one: Path, other: Path) -> bool:
    """Whether both are the same regular file, or have the same content."""
    if other.is_symlink() or not other.is_file():
        return False
    if one.samefile(other):
        return True
    if one.stat().st_size != other.stat().st_size:
        return False
    first, second = digest_files([one, other])
    return first.sha256 == second.sha256
