"""Where packages come from and how far they are trusted, as a caller chooses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from voidimg.errors import UsageError
from voidimg.fetch import Location, mirrored, parse_mirrors
from voidimg.xbps.keys import PublicKey

_UNITS = {"m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where packages come from and how far they are trusted.

    Attributes:
        cache: directory of downloads, finished parts and work under way.
        repositories: replace the platform's own completely; empty means those.
        added: repositories beside those, before them: of two that have a package the first is
            taken, so that a private repository can hold another build of one of Void's.
        mirrors: tops of mirrors from which the platform's own repositories are read, under the
            same paths; in order of preference. They exclude `repositories`.
        repo_keys: key plists that are trusted beside the platform's keys.
        lock_keys: keys of a lock that is brought up to date, trusted as those are.
        jobs: how many things to do at once.
        offline: ask no server; what is not in the cache or a directory is missing.
        require_consistent: refuse what is otherwise only warned of: staged, old or changing
            repositories, and those of two libcs that are out of step.
        require_newer: refuse a repository whose repodata is older than one that was seen before.
        max_age_seconds: repodata older than that is inconsistent; None: any age is well.
        allow_older: take repodata with older packages than it had when it was used before.
    """

    cache: Path
    repositories: tuple[Location, ...] = ()
    added: tuple[Location, ...] = ()
    mirrors: tuple[Location, ...] = ()
    repo_keys: tuple[Path, ...] = ()
    lock_keys: tuple[PublicKey, ...] = ()
    jobs: int = 1
    offline: bool = False
    require_consistent: bool = False
    require_newer: bool = False
    max_age_seconds: int | None = None
    allow_older: bool = False

    def __post_init__(self) -> None:
        """Refuse choices that exclude each other.

        Raises:
            UsageError: mirrors of repositories that others stand in place of.
        """
        if self.mirrors and self.repositories:
            raise UsageError(
                "--mirror moves the platform's own repositories, and -r replaces them",
                code="MIRROR",
                where="--mirror",
                hint="leave out one of them; --add-repository goes with --mirror",
            )

    def own_locations(self, repositories: Sequence[str]) -> tuple[Location, ...]:
        """A platform's own `repositories`, read from the chosen mirrors.

        Raises:
            UsageError: the mirrors cannot be put under them.
        """
        return mirrored([Location.parse(text) for text in repositories], self.mirrors)

    @classmethod
    def parse(
        cls,
        *,
        cache: Path,
        repositories: Sequence[str] = (),
        added: Sequence[str] = (),
        mirrors: Sequence[str] = (),
        repo_keys: Sequence[Path] = (),
        jobs: int = 1,
        offline: bool = False,
        require_consistent: bool = False,
        require_newer: bool = False,
        max_age: str | None = None,
        allow_older: bool = False,
    ) -> Self:
        """The sources from words as a command line has them.

        Raises:
            UsageError: what is not a repository, a mirror or an age.
        """
        return cls(
            cache=cache.absolute(),
            repositories=tuple(Location.parse(text) for text in repositories),
            added=tuple(Location.parse(text, where="--add-repository") for text in added),
            mirrors=parse_mirrors(mirrors),
            repo_keys=tuple(path.absolute() for path in repo_keys),
            jobs=jobs,
            offline=offline,
            require_consistent=require_consistent,
            require_newer=require_newer,
            max_age_seconds=None if max_age is None else parse_age(max_age),
            allow_older=allow_older,
        )


def parse_age(text: str) -> int:
    """`text` such as ``36h`` or ``7d`` in seconds.

    Raises:
        UsageError: it is something else.
    """
    number, unit = text[:-1], text[-1:]
    if not (number.isdecimal() and number.isascii() and unit in _UNITS):
        raise UsageError(
            f"{text!r} is not an age",
            code="AGE",
            where="--max-age",
            hint="write a whole number and a unit, like 36h or 7d",
        )
    return int(number) * _UNITS[unit]
