"""What the resolver says when it finds no plan: the chain of needs, and who was considered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from voidimg.errors import CollectedError, ResolveError, VoidimgError, every_error, raise_all
from voidimg.suggest import VERY_CLOSE, did_you_mean

_SHOWN_CANDIDATES = 8


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a chain: `pkgver` is there because `needed_by` has the dependency `needs`.

    `needed_by` is None for a package that was asked for; `needs` is then the request.
    """

    needed_by: str | None
    needs: str
    pkgver: str

    def __str__(self) -> str:
        """The link in words."""
        if self.needed_by is None:
            return self.needs
        return f"{self.needed_by} needs {self.needs}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A package that was looked at and the reason why it was not taken."""

    pkgver: str
    repository: str | None
    refused: str

    def __str__(self) -> str:
        """The candidate in words."""
        return f"{self.pkgver} ({self.repository or 'installed'}) {self.refused}"


class UnresolvedError(ResolveError):
    """A package cannot be had, or packages exclude one another.

    Attributes:
        problem: what is wrong, without chain and candidates.
        chain: who asked, from the request to the package that has the need; may be empty.
        candidates: packages that were considered.
        omitted: how many more there were.
    """

    def __init__(
        self,
        what: str,
        *,
        code: str,
        chain: Iterable[Link] = (),
        candidates: Iterable[Candidate] = (),
        omitted: int = 0,
        hint: str | None = None,
    ):
        self.problem = what
        self.chain = tuple(chain)
        self.candidates = tuple(candidates)
        self.omitted = omitted
        text = _with_reasons(what, self.chain, self.candidates, omitted)
        super().__init__(text, code=code, hint=hint)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The chain and the candidates, one a line, for showing them below the problem."""
        asked = [
            f"{link.needs} is asked for" if link.needed_by is None else str(link)
            for link in self.chain
        ]
        refused = [f"refused: {one}" for one in self.candidates[:_SHOWN_CANDIDATES]]
        more = len(self.candidates) + self.omitted - _SHOWN_CANDIDATES
        return (*asked, *refused, *([f"and {more} more"] if more > 0 else []))

    def as_json(self) -> dict[str, object]:
        """The error with its chain and candidates."""
        return {
            **super().as_json(),
            "chain": [asdict(link) for link in self.chain],
            "candidates": [asdict(candidate) for candidate in self.candidates],
            "omitted": self.omitted,
        }


class Problems:
    """What several resolutions lack, each problem once, so that all can be mended together."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], VoidimgError] = {}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._found)

    @contextmanager
    def noted(self, codes: Collection[str] = ()) -> Iterator[None]:
        """Note the problems with packages that end the block, instead of raising them.

        Args:
            codes: only those of these codes are worth noting; empty means all.
        """
        try:
            yield
        except (ResolveError, CollectedError) as error:
            for one in every_error(error):
                if not codes or one.code in codes:
                    self._found.setdefault((one.code, getattr(one, "problem", one.what)), one)

    def raise_all(self) -> None:
        """Raise the one problem, or all of them in a `CollectedError`; nothing if there is none."""
        found = list(self._found.values())
        raise_all(found, f"{len(found)} problems with the packages")


def _with_reasons(
    what: str, chain: tuple[Link, ...], candidates: tuple[Candidate, ...], omitted: int
) -> str:
    text = what
    if chain:
        text += f" (asked for: {spoken(chain)})"
    if candidates:
        shown = "; ".join(map(str, candidates[:_SHOWN_CANDIDATES]))
        more = len(candidates) + omitted - _SHOWN_CANDIDATES
        text += f"; refused: {shown}" + (f" and {more} more" if more > 0 else "")
    return text


def spoken(chain: Iterable[Link]) -> str:
    """The chain in one line: ``app -> app-1_1 needs libfoo>=1``."""
    return " -> ".join(map(str, chain))


def suggestion(name: str, known: Iterable[str]) -> str | None:
    """A hint with names of `known` that look like `name`, or None."""
    return did_you_mean(name, known, most=3, ratio=VERY_CLOSE)
