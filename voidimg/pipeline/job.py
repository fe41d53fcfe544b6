"""The order that is handed to the work inside the namespace: all that it needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from voidimg.disk.compress import Compression
from voidimg.identity import ReleaseDate
from voidimg.pipeline.artifacts import Kind
from voidimg.spec.model import Recipe
from voidimg.spec.templates import render_template
from voidimg.xbps.install.install import VerifiedPackage


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrder:
    """All that the work needs to know.

    Attributes:
        recipe: what to make.
        date: fixes every time stamp and identifier.
        templates: directories of templates, first match wins.
        sources: directories of own files, first match wins.
        keys: fingerprint -> key plist, to be trusted by the system made.
        packages: stage -> its packages, a transaction in its order.
        targets: artifact -> key in the store under which it is kept.
        compression: of every artifact.
        cache: the cache directory.
        work: an empty directory on the file system of the cache; emptied again at the end.
        jobs: how many things to do at once.
    """

    recipe: Recipe
    date: ReleaseDate
    templates: tuple[Path, ...]
    sources: tuple[Path, ...]
    keys: Mapping[str, bytes]
    packages: Mapping[str, tuple[VerifiedPackage, ...]]
    targets: Mapping[Kind, str]
    compression: Compression
    cache: Path
    work: Path
    jobs: int

    @property
    def names(self) -> Mapping[str, object]:
        """What the templates of every stage know."""
        return {"recipe": self.recipe, "date": str(self.date)}

    def render(self, name: str, context: Mapping[str, object] | None = None) -> str:
        """The text of the template `name`, which knows `context` too.

        Raises:
            SpecError: there is no such template, or it cannot be rendered.
        """
        return render_template(self.templates, name, {**self.names, **(context or {})})
