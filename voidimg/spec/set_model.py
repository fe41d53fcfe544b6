"""The models of a set: which artifacts belong together."""

from __future__ import annotations

from pydantic import Field

from voidimg.spec.base import Model
from voidimg.spec.words import Reason, RowName


class Accepted(Model):
    """An error of the lint that artifacts have on purpose; it is told, and is in the manifest."""

    check: str
    """The id of the lint check, as ``voidimg lint --list`` names it."""
    reason: Reason
    """Why it is meant to be so."""


class SetRow(Model):
    """Artifacts of a set: each of `artifacts` of each of `platforms` with each of `profiles`."""

    name: RowName
    """What sets that extend this one know the row by, to change or remove it."""
    platforms: tuple[str, ...] = Field(min_length=1)
    """Names as `voidimg list` shows them, ``-musl`` included, or paths of TOML files."""
    profiles: tuple[str, ...] = ()
    """Names or paths. Absent: each platform's own."""
    artifacts: tuple[str, ...] = Field(min_length=1)
    """Artifact kinds, the words of ``--artifact``."""
    accepted: tuple[Accepted, ...] = ()
    """Errors of the lint that they may have; every other keeps the set from being released."""
    optional: Reason | None = None
    """Why an image set may be without them, when they cannot be made. Absent: it may not."""


class Set(Model):
    """A set: a set file with its parents merged in."""

    summary: str
    """One line for people, as `voidimg list` shows it."""
    rows: tuple[SetRow, ...] = Field(min_length=1)
    unready: Reason | None = None
    """Why no image set of it can be made yet: `voidimg release` says so. Absent: it can."""
