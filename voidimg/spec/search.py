"""The search path: where platforms, profiles, sets, templates and own files are found by name.

A directory on it may hold ``platforms/*.toml``, ``profiles/*.toml``, ``profiles/sets/*.toml``,
``templates/`` and ``files/``.
What voidimg ships is one more such directory, the last: own files and shipped ones follow the same
rule, and an own file hides a shipped one of the same name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import voidimg.spec
from voidimg.spec.document import Kind

SHIPPED = Path(voidimg.spec.__file__).parent.parent
"""The directory of the package itself, which holds what is shipped."""

_FOLDER: dict[Kind, str] = {
    "platform": "platforms",
    "profile": "profiles",
    "set": "profiles/sets",
}


@dataclass(frozen=True, slots=True)
class SearchPath:
    """Directories that are searched in turn; the first match wins."""

    directories: tuple[Path, ...]

    @classmethod
    def of(cls, own: Sequence[Path]) -> SearchPath:
        """`own` directories, then what is shipped; all absolute, for a build works elsewhere."""
        return cls((*(directory.absolute() for directory in own), SHIPPED))

    def beside(self, file: Path) -> SearchPath:
        """This search path with the directory that `file` belongs to in front."""
        home = _home(file.absolute().parent)
        others = tuple(one for one in self.directories if not _same(one, home))
        return SearchPath((home, *others)) if len(others) == len(self.directories) else self

    def files(self, kind: Kind) -> dict[str, tuple[Path, ...]]:
        """Name -> the files of that name, the one that wins first; sorted by name."""
        found: dict[str, list[Path]] = {}
        for directory in self.directories:
            for path in sorted((directory / _FOLDER[kind]).glob("*.toml")):
                found.setdefault(path.stem, []).append(path)
        return {name: tuple(found[name]) for name in sorted(found)}

    @property
    def sources(self) -> tuple[Path, ...]:
        """The directories of own files, best first; some may not exist."""
        return tuple(directory / "files" for directory in self.directories)

    @property
    def templates(self) -> tuple[Path, ...]:
        """The directories of templates, best first; some may not exist."""
        return tuple(directory / "templates" for directory in self.directories)


def _home(folder: Path) -> Path:
    """The directory of the search path that a file in `folder` would be found through."""
    for name in sorted(_FOLDER.values(), key=len, reverse=True):
        parts = Path(name).parts
        if folder.parts[-len(parts) :] == parts:
            return folder.parents[len(parts) - 1]
    return folder


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def is_path(word: str) -> bool:
    """Whether `word` is the path of a TOML file rather than a name."""
    return word.endswith(".toml")
