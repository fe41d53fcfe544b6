"""What a check is, what it finds, and what is said of an artifact in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

from voidimg.lint.subject import Subject

Severity = Literal["error", "warning"]


class Problem(NamedTuple):
    """What a check yields: the object that is not right, what is wrong with it, what to do."""

    object: str
    what: str
    hint: str


@dataclass(frozen=True, slots=True)
class LintCheck:
    """One check: a stable `id`, what is true of a sound artifact, and what finds the contrary.

    `applies` says of which artifacts it can be asked. An ``error`` keeps the artifact from working,
    or gives away or shares what must not be; a ``warning`` is for a person to judge. What is `deep`
    reads every byte, and is left out when the answer has to be quick.
    """

    id: str
    severity: Severity
    says: str
    applies: Callable[[Subject], bool]
    find: Callable[[Subject], Iterable[Problem]]
    deep: bool = False

    @classmethod
    def of(
        cls,
        find: Callable[[Subject], Iterable[Problem]],
        severity: Severity,
        applies: Callable[[Subject], bool],
        *,
        deep: bool = False,
    ) -> LintCheck:
        """The check that `find` makes: its name is the id, its docstring says what is true."""
        return cls(id_of(find), severity, says_of(find), applies, find, deep)


def id_of(find: Callable[..., object]) -> str:
    """The id of the check that `find` makes."""
    return find.__name__.replace("_", "-")


def says_of(find: Callable[..., object]) -> str:
    """What is true of a sound artifact, in the words of the docstring of `find`."""
    return " ".join((find.__doc__ or "").split())


@dataclass(frozen=True, slots=True)
class Defect:
    """What a check found."""

    check: str
    severity: Severity
    object: str
    what: str
    hint: str


@dataclass(frozen=True, slots=True)
class LintReport:
    """What was found in one artifact, or in a set as a whole; `checks` are those that were made.

    `skipped` are those that would have read every byte, and were left out to be quick.
    """

    path: str
    kind: str
    checks: tuple[str, ...]
    defects: tuple[Defect, ...]
    skipped: tuple[str, ...] = ()

    def count(self, severity: Severity) -> int:
        """How many defects are of this severity."""
        return sum(defect.severity == severity for defect in self.defects)

    def as_json(self) -> dict[str, object]:
        """A JSON-ready mapping."""
        return asdict(self)
