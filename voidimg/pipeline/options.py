"""What a caller chooses about a build beside platform, profile and date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from voidimg.disk.compress import Compression, parse_compression
from voidimg.errors import UsageError
from voidimg.fetch import Location
from voidimg.pipeline.artifacts import KINDS, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """How to build.

    Attributes:
        cache: directory of downloads, finished parts and work under way.
        out: artifacts go to ``<out>/<date>/``.
        artifacts: which to make; empty means all that the platform has.
        compression: of every artifact.
        repositories: replace the platform's own completely; empty means those.
        repo_keys: key plists that are trusted instead of the platform's fingerprints.
        jobs: how many things to do at once; no byte of the result depends on it.
    """

    cache: Path
    out: Path
    artifacts: tuple[Kind, ...] = ()
    compression: Compression = field(default_factory=lambda: parse_compression("xz"))
    repositories: tuple[Location, ...] = ()
    repo_keys: tuple[Path, ...] = ()
    jobs: int = 1

    @classmethod
    def parse(
        cls,
        *,
        cache: Path,
        out: Path,
        artifacts: Sequence[str] = (),
        compression: str = "xz",
        repositories: Sequence[str] = (),
        repo_keys: Sequence[Path] = (),
        jobs: int = 1,
    ) -> Self:
        """The options from words as a command line has them.

        Raises:
            UsageError: an unknown artifact or compression, or what is not a repository.
        """
        unknown = sorted(set(artifacts) - set(KINDS))
        if unknown:
            raise UsageError(
                f"there is no artifact {unknown[0]!r}",
                code="ARTIFACT",
                where="--artifact",
                hint=f"choose from {', '.join(KINDS)}",
            )
        return cls(
            cache=cache.absolute(),
            out=out.absolute(),
            artifacts=tuple(kind for kind in KINDS if kind in artifacts),
            compression=parse_compression(compression),
            repositories=tuple(Location.parse(text) for text in repositories),
            repo_keys=tuple(path.absolute() for path in repo_keys),
            jobs=jobs,
        )
