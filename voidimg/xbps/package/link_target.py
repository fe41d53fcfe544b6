"""The form in which xbps-create records where a symlink leads: ``target`` in files.plist.

It is not the text of the link (that stands in the archive), but mostly an absolute path, which
xbps-pkgdb compares with what it makes of the installed link by the same rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

_SLASHES = re.compile("/{2,}")
_MAX_FOLLOWED = 40
"""Links that the kernel follows in one path (path_resolution(7))."""


@dataclass(frozen=True, slots=True)
class Links:
    """What a package consists of, by absolute path; symlinks with their text."""

    directories: AbstractSet[str]
    files: AbstractSet[str]
    symlinks: Mapping[str, str]

    def recorded_target(self, link: str, text: str) -> str:
        """What files.plist says of the symlink `link` whose text is `text`.

        Text with ``./`` (so also ``../``) becomes the path it resolves to if that is in the
        package, else it stays; other relative text is put behind the link's directory; absolute
        text stays. Repeated slashes become one (xbps 0.60.7, bin/xbps-create/main.c).

        >>> Links({"/a"}, {"/a/f"}, {}).recorded_target("/a/l", "../a/f")
        '/a/f'
        """
        directory = link.rpartition("/")[0]
        if "./" in text:
            target = None if text.startswith("/") else self._resolved(f"{directory}/{text}")
            target = target or text
        else:
            target = text if text.startswith("/") else f"{directory}/{text}"
        return _SLASHES.sub("/", target)

    def _resolved(self, path: str) -> str | None:
        """`path` without links, ``.`` and ``..``; None if it leaves the package or dangles."""
        left = path.split("/")[::-1]
        done: list[str] = []
        followed = 0
        while left:
            part = left.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not done:
                    return None
                done.pop()
                continue
            done.append(part)
            here = "/" + "/".join(done)
            if (text := self.symlinks.get(here)) is not None:
                followed += 1
                # An absolute link leads to the building host, outside of the package's tree.
                if text.startswith("/") or followed > _MAX_FOLLOWED:
                    return None
                done.pop()
                left.extend(text.split("/")[::-1])
            elif here not in self.directories and (here not in self.files or any(left)):
                return None
        return "/" + "/".join(done)
