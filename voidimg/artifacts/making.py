"""What the steps of a build are given: one recipe, verified packages, and a place to work in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from voidimg.disk.compress import CompressedWriter, Compression, compress_file, compressor
from voidimg.errors import storing
from voidimg.events import Listener, ignore
from voidimg.identity import ReleaseDate
from voidimg.spec.model import Recipe
from voidimg.spec.sources import OwnFiles, Placed, own_files_key
from voidimg.spec.stage_model import File
from voidimg.spec.templates import Templates
from voidimg.tree.remove import empty_directory
from voidimg.xbps.install.install import VerifiedPackage

Keep = Callable[[str, Mapping[str, Path]], None]
"""Takes the finished files (role -> file) of the artifact of a kind."""


@dataclass(slots=True, kw_only=True)
class Making:
    """One platform being made, in the order of its steps; inside the namespace.

    Attributes:
        recipe: what is made.
        date: fixes every time stamp and identifier.
        packages: stage -> its packages, a transaction in its order.
        keys: fingerprint -> key plist, to be trusted by the system made.
        templates: what files and menus are rendered from.
        own: the files that the recipe brings itself.
        read_object: SHA-256 -> the bytes of an own file.
        compression: of every artifact that is compressed as a whole.
        block_cache: where compressed blocks are kept.
        work: an empty directory on the file system of the cache.
        jobs: how many things to do at once.
        keep: is given the finished files.
        listener: is told of steps.
        noted: what an earlier step found out for a later one.
    """

    recipe: Recipe
    date: ReleaseDate
    packages: Mapping[str, Sequence[VerifiedPackage]]
    keys: Mapping[str, bytes]
    templates: Templates
    own: OwnFiles
    read_object: Callable[[str], bytes]
    compression: Compression
    block_cache: Path
    work: Path
    jobs: int
    keep: Keep
    listener: Listener = ignore
    noted: dict[str, object] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """SOURCE_DATE_EPOCH of all that is made."""
        return self.date.epoch

    def clear(self, *, but: Sequence[str] = ()) -> None:
        """Begin anew: nothing of an earlier tree is left, save what is named in `but`."""
        empty_directory(self.work, but=but)
        self.noted.clear()

    def render(self, name: str, context: Mapping[str, object] | None = None) -> str:
        """The text of the template `name`, which knows the recipe, the date and `context`.

        Raises:
            SpecError: there is no such template, or it cannot be rendered.
        """
        known = {"recipe": self.recipe, "date": str(self.date)}
        return self.templates.render(name, {**known, **(context or {})})

    def own_content(self, file: File) -> Iterable[tuple[Placed, bytes]]:
        """What the entry `file` of the recipe places, each with the bytes of a file."""
        for placed in self.own[own_files_key(file)]:
            yield placed, self.read_object(placed.sha256) if placed.kind == "file" else b""

    def pkgnames(self, *stages: str) -> list[str]:
        """The packages of `stages` in the order of their installation.

        Those that a later stage has replaced are among them, and not in the tree.
        """
        return [package.step.pkgname for stage in stages for package in self.packages[stage]]

    def compressed(self, out: IO[bytes]) -> CompressedWriter:
        """A stream that puts what is written to it compressed into `out`."""
        return compressor(out, self.compression, jobs=self.jobs, block_cache=self.block_cache)

    def compress(self, source: Path, kind: str) -> Path:
        """The file `source` compressed, as a new file of the work directory."""
        finished = self.work / f"{kind}.new"
        with storing(finished, "write"), finished.open("wb") as out:
            compress_file(
                source,
                out,
                self.compression,
                jobs=self.jobs,
                block_cache=self.block_cache,
                listener=self.listener,
                step=f"{kind}: compress",
            )
        return finished
