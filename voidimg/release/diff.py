"""Compares two artifacts, or two image sets."""

from __future__ import annotations

from pathlib import Path

from voidimg.errors import ReleaseError, UsageError, storing
from voidimg.foreign import MAX_DOCUMENT_BYTES, read_regular
from voidimg.release.artifact_content import read_content
from voidimg.release.difference import ArtifactDifference, artifact_difference
from voidimg.release.set_content import read_set
from voidimg.release.set_difference import SetDifference, set_difference


def diff(
    old: str | Path, new: str | Path, *, scratch: Path | None = None
) -> ArtifactDifference | SetDifference:
    """What differs from `old` to `new`.

    Args:
        old: an artifact; or an image set, by its directory, its URL or that of its manifest.
        new: the same of the other one.
        scratch: where a compressed image is unpacked for the while, as a sparse file.

    Raises:
        UsageError: one is an artifact and the other an image set.
        VoidimgError: as `read_content` and `read_set` do.
    """
    sets = [_is_set(one) for one in (old, new)]
    if all(sets):
        return set_difference(read_set(str(old)), read_set(str(new)))
    if any(sets):
        a_set, artifact = (old, new) if sets[0] else (new, old)
        raise UsageError(
            f"{a_set} is an image set, and {artifact} is not",
            code="DIFF-KINDS",
            hint="compare two image sets, or two artifacts",
        )
    return artifact_difference(read_content(Path(old), scratch), read_content(Path(new), scratch))


def _is_set(one: str | Path) -> bool:
    return "://" in str(one) or Path(one).is_dir()


def read_small_text(path: Path) -> str:
    """The text of a small file in UTF-8: highlights, or a public key.

    Raises:
        ReleaseError: it is not UTF-8.
        StoreError: it cannot be read, or is not a small regular file.
    """
    with storing(path, "read"):
        content = read_regular(path, MAX_DOCUMENT_BYTES)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ReleaseError("this is not UTF-8", code="NOTES-TEXT", where=str(path)) from error
