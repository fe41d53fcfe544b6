"""Moves Debian paths to Void's merged /usr and rewrites the links that such a move would break."""

from __future__ import annotations

import posixpath

_MOVES = (
    ("/usr/sbin/", "/usr/bin/"),
    ("/sbin/", "/usr/bin/"),
    ("/bin/", "/usr/bin/"),
    ("/usr/lib64/", "/usr/lib/"),
    ("/lib64/", "/usr/lib/"),
    ("/lib/", "/usr/lib/"),
)


def merged(path: str) -> str:
    """`path` (absolute) where a system with a merged /usr has it."""
    for old, new in _MOVES:
        if path.startswith(old):
            return new + path[len(old) :]
    return path


def merged_link(path: str, text: str) -> str | None:
    """The text a symlink at `path` (before the move) needs after it; None if it names itself.

    A relative link is resolved from its old place and rewritten from its new one; an absolute one
    stays absolute.
    """
    place = merged(path)
    target = merged(posixpath.normpath(posixpath.join(posixpath.dirname(path), text)))
    if target == place:
        return None
    if text.startswith("/"):
        return target
    unmoved = posixpath.normpath(posixpath.join(posixpath.dirname(place), text))
    return text if unmoved == target else posixpath.relpath(target, posixpath.dirname(place))
