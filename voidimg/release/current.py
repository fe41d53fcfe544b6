"""``current``: the link to the image set that is published, and what else tells of it.

Mirrors follow by Void's flags of rsync (``-u``, no ``-t``): they skip a file that is older than
their own copy. ``current`` is a copy there, so files that have the same name in every set must be
newer than any copy when a set becomes current, or the mirror keeps the former ones for ever.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from voidimg.artifact_names import date_of_name
from voidimg.atomic import private_directory, replace_by_bytes, sync_directory
from voidimg.errors import ReleaseError, UsageError, storing
from voidimg.file_locks import directory_tried
from voidimg.identity import ReleaseDate
from voidimg.signing.announcement import ListedFile, current_json
from voidimg.signing.published_set import CURRENT
from voidimg.signing.signed_sums import SIGNATURE_NAMES

CURRENT_JSON = "current.json"


@contextmanager
def promoting(top: Path) -> Iterator[None]:
    """Nobody else promotes or removes image sets in `top` during the block.

    Raises:
        ReleaseError: there is no such directory, or somebody else does.
        StoreError: it cannot be locked.
    """
    if not top.is_dir():
        raise ReleaseError(
            "there is no such directory of image sets",
            code="NO-SETS",
            where=str(top),
            hint="release a set into it first, or name another one with --out",
        )
    with ExitStack() as stack:
        with storing(top, "lock"):
            is_free = stack.enter_context(directory_tried(top))
        if not is_free:
            raise ReleaseError(
                "somebody else promotes or removes image sets here",
                code="BUSY",
                where=str(top),
                hint="wait until it has ended; nothing was changed",
            )
        yield


def current_date(top: Path) -> ReleaseDate | None:
    """The date of the image set that is current in `top`; None when none is.

    Raises:
        ReleaseError: ``current`` is something else than a link to a dated directory beside it.
        StoreError: it cannot be looked at.
    """
    link = top / CURRENT
    if not os.path.lexists(link):
        return None
    if not link.is_symlink():
        raise ReleaseError(
            f"{CURRENT} is no link, as it is on mirrors",
            code="CURRENT",
            where=str(link),
            hint="promote at the origin, and let the mirrors copy",
        )
    with storing(link, "read"):
        target = link.readlink()
    place = (top / target).parent
    try:
        date = ReleaseDate.parse(target.name)
    except UsageError:
        date = None
    if date is None or os.path.realpath(place) != os.path.realpath(top):
        raise ReleaseError(
            f"{CURRENT} leads to {target}, which is no dated directory beside it",
            code="CURRENT",
            where=str(link),
            hint="look at who made this link; it is not replaced",
        )
    return date


def switch_current(top: Path, date: str) -> None:
    """Make ``current`` lead to the directory `date`, at once: there is no moment without it.

    Raises:
        StoreError: it cannot be written.
    """
    link = top / CURRENT
    with storing(link, "write"), private_directory(top) as private:
        new = private / "new"
        new.symlink_to(date)
        new.replace(link)
        sync_directory(top)


def touch_undated(directory: Path) -> tuple[str, ...]:
    """Give the files of the set that every set has the present time; their names.

    Raises:
        StoreError: one cannot be touched.
    """
    with storing(directory, "read"):
        names = sorted(one.name for one in directory.iterdir() if date_of_name(one.name) is None)
    for name in names:
        with storing(directory / name, "touch"):
            os.utime(directory / name, follow_symlinks=False)
    return tuple(names)


def write_current_json(top: Path, date: str, digests: Mapping[str, str]) -> None:
    """Write ``current.json`` into `top`: which set is current, and what is in it, for scripts.

    Raises:
        StoreError: a file cannot be looked at, or this one not be written.
    """
    directory = top / date
    with storing(directory, "read"):
        files = [
            ListedFile(name, (directory / name).lstat().st_size, digests[name]) for name in digests
        ]
    present = [name for name in SIGNATURE_NAMES if os.path.lexists(directory / name)]
    replace_by_bytes(top / CURRENT_JSON, current_json(date, files, present[0]))
