"""Lists of mirrors, as Void publishes them and as people write them."""

from __future__ import annotations

import json
from pathlib import Path

from voidimg.errors import UsageError, storing
from voidimg.foreign import read_regular

LIVE = "live"
"""Where Void's mirrors have their image sets, below their base URL."""

_MAX_LIST_BYTES = 4 * 2**20


def read_mirror_list(path: Path) -> tuple[str, ...]:
    """The URLs of the image sets of the mirrors in the file `path`, without those not in use.

    It has one of the forms of Void's list of mirrors (xmirror): ``mirrors.json``, a list of objects
    with ``base_url`` and ``enabled``, or ``mirrors.lst``, whose second column is the base URL; the
    sets are in ``live`` below it. Or it has the URL of a directory of image sets on each line.

    Raises:
        UsageError: it has none of them, or lists no mirror.
        StoreError: it cannot be read.
    """
    with storing(path, "read"):
        content = read_regular(path, _MAX_LIST_BYTES)
    try:
        text = content.decode("utf-8")
        urls = _of_json(text) if text.lstrip().startswith("[") else _of_lines(text)
    except (ValueError, RecursionError):
        urls = []
    if not urls:
        raise UsageError(
            f"{path} lists no mirrors",
            code="MIRROR-LIST",
            where="--list",
            hint="give mirrors.json or mirrors.lst of Void's list, or a URL on each line",
        )
    return tuple(urls)


def _of_json(text: str) -> list[str]:
    said = json.loads(text)
    listed = [one for one in said if isinstance(one, dict) and one.get("enabled", True) is True]
    return [_live_of(str(one["base_url"])) for one in listed if "base_url" in one]


def _of_lines(text: str) -> list[str]:
    found = []
    for line in text.splitlines():
        columns = line.strip().split("\t")
        if len(columns) > 1:
            found.append(_live_of(columns[1]))
        elif columns[0] and not columns[0].startswith("#"):
            found.append(columns[0])
    return found


def _live_of(base_url: str) -> str:
    return f"{base_url.rstrip('/')}/{LIVE}"
