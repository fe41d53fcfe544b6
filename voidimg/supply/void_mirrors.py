"""Names that Void's own mirrors had once, and the one to use instead.

Old configuration files and posts still have them. Void's handbook names ``repo-default``, which
leads to any of its tier 1 mirrors, under the same paths.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from voidimg.fetch import Location

NEW_HOST = "repo-default.voidlinux.org"
_OLD_HOST = re.compile(
    r"(?:[a-z]+\.)*[a-z]{2}\.repo\.voidlinux\.org"  # alpha.de, beta.de, alpha.us
    r"|(?:auto|repo|www\.repo)\.voidlinux\.(?:org|eu|com)"
    r"|(?:.+\.)?voidlinux\.eu"
)


def new_url(url: str) -> str | None:
    """What to write instead of `url`; None if it has no old name of Void's.

    >>> new_url("https://alpha.de.repo.voidlinux.org/current/musl")
    'https://repo-default.voidlinux.org/current/musl'
    """
    parts = urlsplit(url)
    if _OLD_HOST.fullmatch((parts.hostname or "").rstrip(".")) is None:
        return None
    return urlunsplit(("https", NEW_HOST, parts.path, "", ""))


def old_name_warnings(location: Location) -> list[str]:
    """What to tell of the mirrors of `location` that have an old name."""
    if not location.remote:
        return []
    told = []
    for url in location.urls:
        new = new_url(url)
        if new is not None:
            host = urlsplit(url).hostname
            told.append(f"{host} is an old name of a mirror of Void's: write {new}")
    return told
