"""Own files and directories that go into images as they are: found, checked, pinned and listed.

They lie in ``files/`` of a directory on the search path. Nothing of the host but their content
decides what they are in the image: owner and times are the recipe's, and of the mode only whether
the owner may execute a file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voidimg.errors import SpecError, storing
from voidimg.foreign import read_regular
from voidimg.spec.model import Recipe
from voidimg.spec.own_directory import leads_out, walk_below
from voidimg.spec.problems import problem
from voidimg.spec.stage_model import File
from voidimg.spec.stages import CONTENT_STAGES
from voidimg.spec.tree import Node
from voidimg.suggest import did_you_mean

MAX_SOURCE_BYTES = 512 * 2**20
"""Most of a file of one's own that goes into a tree: it is held in memory."""


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """One thing to place: `path` in the image, `source` on the host, `mode` as in the image."""

    path: str
    kind: Literal["file", "directory", "link"]
    source: Path
    mode: int

    @property
    def link(self) -> str:
        """What a link says."""
        return os.readlink(self.source)

    def content(self, sha256: str | None = None) -> bytes:
        """The bytes of a file.

        Raises:
            SpecError: they are not those of `sha256`.
            StoreError: the file cannot be read.
        """
        with storing(self.source, "read"):
            content = read_regular(self.source, MAX_SOURCE_BYTES)
        found = hashlib.sha256(content).hexdigest()
        if sha256 is not None and found != sha256:
            raise SpecError(
                f"{self.source.name} has the SHA-256 {found}, pinned is {sha256}",
                code="SOURCE-PIN",
                where=str(self.source),
                hint="get the pinned file again, or look at what changed and pin the new one",
            )
        return content


@dataclass(frozen=True, slots=True)
class Placed:
    """One own file as plain data: what is placed at `path`, wherever its bytes are kept.

    `sha256` is that of a file, `link` what a link says.
    """

    path: str
    kind: Literal["file", "directory", "link"]
    mode: int
    sha256: str = ""
    link: str = ""


OwnFiles = Mapping[str, tuple[Placed, ...]]
"""`own_files_key` of a `File` -> what it places."""


def own_files_key(file: File) -> str:
    """What tells the own files of `file` from those of other entries of a recipe."""
    return f"{file.path}\n{file.source or ''}\n{file.directory or ''}"


def own_files(
    recipe: Recipe, directories: Sequence[Path], keep: Callable[[bytes], str]
) -> OwnFiles:
    """The own files of all stages of `recipe`; `keep` takes their bytes and gives the SHA-256.

    Raises:
        SpecError: as `source_entries`, or a pinned file is another.
        StoreError: something cannot be read.
    """
    return {
        own_files_key(file): tuple(
            _placed(entry, file.sha256, keep) for entry in source_entries(directories, file)
        )
        for file in _own(recipe)
    }


def _placed(entry: SourceEntry, pin: str | None, keep: Callable[[bytes], str]) -> Placed:
    if entry.kind == "file":
        return Placed(entry.path, "file", entry.mode, sha256=keep(entry.content(pin)))
    link = entry.link if entry.kind == "link" else ""
    return Placed(entry.path, entry.kind, entry.mode, link=link)


def _own(recipe: Recipe, stages: Collection[str] = CONTENT_STAGES) -> list[File]:
    """The entries of `stages` that place own files."""
    found = [getattr(recipe, name) for name in CONTENT_STAGES if name in stages]
    files = [file for stage in found if stage is not None for file in stage.files]
    return [file for file in files if file.source is not None or file.directory is not None]


def source_entries(directories: Sequence[Path], file: File) -> tuple[SourceEntry, ...]:
    """What `file`, which has a `source` or `directory`, places; parents first, by name.

    Raises:
        SpecError: there is no such file, or something below it is neither file, directory nor link.
        StoreError: a directory cannot be read.
    """
    name = file.source or file.directory or ""
    found = _find(directories, name)
    if found is None:
        raise _missing(directories, name, "source" if file.source else "directory")
    if file.source is not None:
        if not found.is_file():
            raise _wrong(found, name, "no regular file")
        return (SourceEntry(file.path, "file", found, file.mode),)
    if not found.is_dir():
        raise _wrong(found, name, "no directory")
    root = file.path.rstrip("/")
    with storing(found, "read"):
        return tuple(_below(found, root))


def check_sources(node: Node, directories: Sequence[Path]) -> Iterator[SpecError]:
    """What is wrong with the sources that `node` (a recipe or profile) names, pins included."""
    for stage in CONTENT_STAGES:
        files = node.table[stage].table.get("files") if stage in node.table else None
        for element in files.items if files is not None else ():
            for key in ("source", "directory"):
                if key in element.table:
                    yield from _check(element, key, directories)


def source_digests(
    recipe: Recipe, directories: Sequence[Path], stages: Collection[str] = CONTENT_STAGES
) -> list[list[str]]:
    """What each source of `stages` places: path, kind, mode, and SHA-256 or the text of a link.

    Raises:
        SpecError: as `source_entries`, or a pinned file is another.
        StoreError: something cannot be read.
    """
    return [
        [entry.path, entry.kind, str(entry.mode), _identity(entry, file.sha256)]
        for file in _own(recipe, stages)
        for entry in source_entries(directories, file)
    ]


def _identity(entry: SourceEntry, sha256: str | None) -> str:
    if entry.kind == "file":
        return hashlib.sha256(entry.content(sha256)).hexdigest()
    return entry.link if entry.kind == "link" else ""


def _check(element: Node, key: str, directories: Sequence[Path]) -> Iterator[SpecError]:
    place = element.table[key].origin
    pin = element.table.get("sha256")
    file = File.model_validate({"path": str(element.table["path"].content),
                                key: str(element.table[key].content)})  # fmt: skip
    try:
        for entry in source_entries(directories, file):
            if pin is not None:
                entry.content(str(pin.content))
    except SpecError as error:
        found = pin.origin if pin is not None and error.code.endswith("PIN") else place
        # The class puts its family in front of a code.
        code = error.code.removeprefix(f"{SpecError.family}-")
        yield problem(found, error.what, code=code, hint=error.hint)


def _find(directories: Sequence[Path], name: str) -> Path | None:
    """The first that is there.

    Raises:
        SpecError: a link on the way to it leads out of the directory of own files.
    """
    for directory in directories:
        path = directory / name
        if path.is_symlink() or path.exists():
            if leads_out(path, directory):
                raise _wrong(path, name, "reached by a link that leaves the directory of own files")
            return path
    return None


def _below(directory: Path, root: str) -> Iterator[SourceEntry]:
    for path in walk_below(directory):
        place = f"{root}/{path.relative_to(directory).as_posix()}"
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            yield SourceEntry(place, "link", path, 0o777)
        elif stat.S_ISDIR(mode):
            yield SourceEntry(place, "directory", path, 0o755)
        elif stat.S_ISREG(mode):
            yield SourceEntry(place, "file", path, 0o755 if mode & stat.S_IXUSR else 0o644)
        else:
            raise _wrong(path, path.name, "neither a file nor a directory nor a link")


def _missing(directories: Sequence[Path], name: str, key: str) -> SpecError:
    known = [path.name for one in directories if one.is_dir() for path in sorted(one.iterdir())]
    hint = did_you_mean(name, known) or "it is looked for in files/ beside platforms/ and profiles/"
    return SpecError(f"there is no {key} {name!r}", code="SOURCE", where=name, hint=hint)


def _wrong(path: Path, name: str, what: str) -> SpecError:
    return SpecError(f"{name!r} is {what}", code="SOURCE-KIND", where=str(path))
