"""What a caller chooses about a build beside platform, profile and date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from voidimg.artifacts.kind import KindName
from voidimg.artifacts.registry import parse_kinds
from voidimg.disk.compress import Compression, parse_compression
from voidimg.fetch import Location, parse_mirrors
from voidimg.supply.sources import Sources, parse_age


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions(Sources):
    """How to build.

    Attributes:
        out: artifacts go to ``<out>/<date>/``.
        artifacts: which to make; empty means all that the platform has.
        compression: of every artifact.
        lock: file with the packages to use, and no others; None resolves them now.
        replace: put new files in the place of different ones of the same name in the image set.
        into_signed: add to an image set that is signed, which has to be signed again then.

    No byte of the result depends on `jobs`.
    """

    out: Path
    artifacts: tuple[KindName, ...] = ()
    compression: Compression = field(default_factory=lambda: parse_compression("xz"))
    lock: Path | None = None
    replace: bool = False
    into_signed: bool = False

    @classmethod
    def parse(  # type: ignore[override]
        cls,
        *,
        cache: Path,
        out: Path,
        artifacts: Sequence[str] = (),
        compression: str = "xz",
        repositories: Sequence[str] = (),
        added: Sequence[str] = (),
        mirrors: Sequence[str] = (),
        repo_keys: Sequence[Path] = (),
        jobs: int = 1,
        lock: Path | None = None,
        offline: bool = False,
        require_consistent: bool = False,
        require_newer: bool = False,
        max_age: str | None = None,
        allow_older: bool = False,
        replace: bool = False,
        into_signed: bool = False,
    ) -> Self:
        """The options from words as a command line has them.

        Raises:
            UsageError: an unknown artifact or compression; what is not a repository, a mirror
                or an age.
        """
        return cls(
            cache=cache.absolute(),
            out=out.absolute(),
            artifacts=parse_kinds(artifacts),
            compression=parse_compression(compression),
            repositories=tuple(Location.parse(text) for text in repositories),
            added=tuple(Location.parse(text, where="--add-repository") for text in added),
            mirrors=parse_mirrors(mirrors),
            repo_keys=tuple(path.absolute() for path in repo_keys),
            jobs=jobs,
            lock=None if lock is None else lock.absolute(),
            offline=offline,
            require_consistent=require_consistent,
            require_newer=require_newer,
            max_age_seconds=None if max_age is None else parse_age(max_age),
            allow_older=allow_older,
            replace=replace,
            into_signed=into_signed,
        )
