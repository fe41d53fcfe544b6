"""Reads the written part of a package: `packages/<name>/package.toml`, `files/`, scripts.

Keys of package.toml, all optional: `version` (with revision), `short_desc`, `build_date` (of the
index entry alone, as old tools left it there), `architecture` (`@ARCH@` for that of the
repository), `depends`, `without` (dependencies to forget), `sonames` (of shared libraries that are
links here), `provides`, `conflicts`, `replaces`, `conf_files`, `keep` and `prune` (shell patterns),
`preserve` (old files stay when it goes), and the tables `move` (path to path), `links` (path to
link text), `modes` (path or shell pattern to octal mode), `alternatives` (group to `link:target`
list) and `triggers` (variables of the trigger scripts).

Where several directories have a part of the same package, later ones are laid over earlier ones:
lists and tables are added to, all else is replaced.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from .model import Member
from .target import COMMON

PACKAGES = COMMON


@dataclass(frozen=True, slots=True)
class Source:
    """The written part of one package; see the module for the keys."""

    name: str
    version: str = ""
    short_desc: str = ""
    architecture: str = ""
    depends: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    sonames: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    conf_files: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    prune: tuple[str, ...] = ()
    move: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, str] = field(default_factory=dict)
    alternatives: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    triggers: Mapping[str, str] = field(default_factory=dict)
    preserve: bool = False
    build_date: str = ""
    install: str = ""
    remove: str = ""
    files: tuple[Member, ...] = ()

    def wants(self, path: str) -> bool:
        """Whether a Debian file at `path` (after the move to /usr) stays in the package."""
        if any(fnmatchcase(path, pattern) for pattern in self.prune):
            return False
        return not self.keep or any(fnmatchcase(path, pattern) for pattern in self.keep)


def source_names(roots: Sequence[Path] = (PACKAGES,)) -> list[str]:
    """The names of all packages that have a written part."""
    return sorted({path.parent.name for root in roots for path in root.glob("*/package.toml")})


def read_source(name: str, *roots: Path) -> Source:
    """The written part of package `name` in `roots`; an empty one if there is none."""
    found = Source(name)
    for root in roots or (PACKAGES,):
        if (root / name / "package.toml").is_file():
            found = _laid_over(found, _read_part(name, root / name))
    return found


def _laid_over(under: Source, over: Source) -> Source:
    values: dict[str, Any] = {"name": over.name}
    for item in fields(Source)[1:]:
        old, new = getattr(under, item.name), getattr(over, item.name)
        if isinstance(new, tuple):
            values[item.name] = (*old, *new)
        elif isinstance(new, Mapping):
            values[item.name] = {**old, **new}
        else:
            values[item.name] = new or old
    return Source(**values)


def _read_part(name: str, directory: Path) -> Source:
    file = directory / "package.toml"
    table = tomllib.loads(file.read_text("utf-8"))
    unknown = sorted(set(table) - {item.name for item in fields(Source)})
    if unknown:
        raise ValueError(f"{file}: unknown keys {', '.join(unknown)}")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
    }
    values["alternatives"] = {
        group: tuple(links) for group, links in table.get("alternatives", {}).items()
    }
    return Source(
        name,
        **values,
        install=_text(directory / "INSTALL"),
        remove=_text(directory / "REMOVE"),
        files=tuple(_files(directory / "files")),
    )


def _files(top: Path) -> list[Member]:
    members = []
    for path in sorted(path for path in top.rglob("*") if path.is_file()):
        place = "/" + path.relative_to(top).as_posix()
        mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
        members.append(Member(place, "file", mode, content=path.read_bytes()))
    return members


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""
