"""The interface of an artifact kind, and the steps and parts that kinds are made by.

A *part* is what several kinds are made of and nobody gets: a tree, a raw disk. A *kind* is what a
user asks for: it says what it needs, what it is called, and how it is made of its part. Both give
their *steps*: a step says what it does, which `voidimg show --plan` prints before anything runs,
and it does it. What is shown is what runs, because there is no other list.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from voidimg.artifact_names import NameForm
from voidimg.artifacts.making import Making
from voidimg.disk.compress import Compression
from voidimg.events import step as reported
from voidimg.identity import ReleaseDate
from voidimg.spec.model import Recipe
from voidimg.spec.stages import PackageStage

KindName = str
"""The word of ``--artifact``, such as ``image``; the registry knows which there are."""

MAIN = ""
"""The role of the file that an artifact is called by; side files have roles of their own."""

ALL_FIELDS = None
"""Every value of the recipe can change a byte of the artifact."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One line of a plan: `what` is done, to which `details` (packages, paths, words).

    `size` is in bytes where the recipe fixes it, None where it follows from the content.
    """

    stage: str
    what: str
    details: tuple[str, ...] = ()
    size: int | None = None

    def as_json(self) -> dict[str, object]:
        """The line as a JSON-ready mapping."""
        return {
            "stage": self.stage,
            "what": self.what,
            "details": list(self.details),
            "size": self.size,
        }


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is done: `lines` say what, `run` does it.

    `name` is that of its events; without one nothing is reported.
    """

    name: str
    lines: tuple[PlannedStep, ...]
    run: Callable[[Making], None]

    def take(self, making: Making) -> None:
        """Do it, and report that it is done."""
        if not self.name:
            self.run(making)
            return
        with reported(making.listener, self.name):
            self.run(making)


class Part(ABC):
    """What kinds are made of, itself made of an earlier part or of nothing."""

    name: ClassVar[str]
    made_of: ClassVar[Part | None] = None
    """The part that it changes into itself; None: it begins with an empty directory."""
    tree: ClassVar[str] = ""
    """The directory of its tree below the work directory."""
    changed_by_kinds: ClassVar[bool] = False
    """Whether the kinds that are made of it change its tree."""

    @abstractmethod
    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """What makes it, in order."""


class ArtifactKind(ABC):
    """A kind of artifact: all that the rest of the program knows about it.

    Attributes:
        name: the word of ``--artifact``.
        title: what it is, in words that follow "a" or "an".
        part: what it is made of.
        stages: the stages whose packages must be known before it can be made.
        own_stages: those of them whose packages can change a byte of it; by default all.
        named_only: it is made only when it is asked for by name.
        fields: the values of a recipe that can change a byte of it; None: all.
        form: its file name, and how that is read back.
        side_forms: role -> the names of its other files.
        on_a_medium: whether firmware starts it from a medium that holds it; the network is none.
        role: ``disk``: firmware starts it from a disk; ``live``: a live system; ``tree``: neither.
    """

    name: ClassVar[KindName]
    title: ClassVar[str]
    part: ClassVar[Part]
    stages: ClassVar[tuple[PackageStage, ...]]
    own_stages: ClassVar[tuple[PackageStage, ...]] = ()
    named_only: ClassVar[bool] = False
    fields: ClassVar[Collection[str] | None] = ALL_FIELDS
    form: ClassVar[NameForm]
    side_forms: ClassVar[Mapping[str, NameForm]] = {}
    role: ClassVar[Literal["tree", "disk", "live"]] = "tree"
    on_a_medium: ClassVar[bool] = True

    @abstractmethod
    def why_not(self, recipe: Recipe) -> str | None:
        """Why `recipe` has no such artifact; None when it has."""

    def by_default(self, recipe: Recipe) -> bool:
        """Whether a build of `recipe` makes it when nothing is asked for by name."""
        return not self.named_only and self.why_not(recipe) is None

    def check(self, recipe: Recipe, date: ReleaseDate, compression: Compression) -> None:  # noqa: B027
        """Raise for what would keep it from being made, before work starts.

        Raises:
            UsageError, LayoutError, ToolError: what, and what to do.
        """

    def file_names(self, recipe: Recipe, date: str, suffix: str) -> Mapping[str, str]:
        """Role -> file name; the main file first. `suffix` is that of the compression."""
        return {
            role: form.name(self.subject(recipe), date, profile_of(recipe), suffix)
            for role, form in self.forms.items()
        }

    @property
    def forms(self) -> Mapping[str, NameForm]:
        """Role -> the form of the name of its file; the main one first."""
        return {MAIN: self.form, **self.side_forms}

    def begins_with(self, part: str) -> bool:
        """Whether it is made of the part with that name, or of what comes of it."""
        own: Part | None = self.part
        while own is not None and own.name != part:
            own = own.made_of
        return own is not None

    def subject(self, recipe: Recipe) -> str:
        """What its file name says it is for: the platform, or the architecture."""
        return recipe.platform

    def room(self, compression: Compression) -> float:
        """The room for it, as a share of the room of its tree."""
        return 1.0 if compression.kind == "none" else 0.4

    @abstractmethod
    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """What makes it of its part, in order; the last one gives its files to the store."""


def profile_of(recipe: Recipe) -> str | None:
    """The profile as file names say it: not at all when it is the platform's own."""
    return None if recipe.profile == recipe.own_profile else recipe.profile
