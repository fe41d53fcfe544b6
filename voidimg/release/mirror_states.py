"""What a mirror has of an image set, compared with what it should have: the states by their names.

Pure: what was seen there goes in. The cases are those that Void's flags of rsync, its caches and a
copy under way make (void-infrastructure, services/nomad/mirror).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

MirrorState = Literal[
    "good", "old", "between", "partial", "absent", "different bytes", "unreachable"
]
"""``good``: all that the origin has. ``old``: all of another set than the one that is current.
``between``: ``current`` is of two sets, which passes by itself. ``partial``: files are missing.
``absent``: there is no set. ``different bytes``: a file is not the origin's. ``unreachable``: the
server did not answer properly."""

MIRROR_STATES: tuple[MirrorState, ...] = (
    "good", "old", "between", "partial", "absent", "different bytes", "unreachable"
)  # fmt: skip

DirectoryState = Literal["right", "absent", "partial", "between", "other", "different"]


@dataclass(frozen=True, slots=True)
class SeenDirectory:
    """A directory of a mirror: its state, the date that it says, and the files at fault."""

    state: DirectoryState
    date: str | None = None
    missing: tuple[str, ...] = ()
    different: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """How one mirror is doing.

    Attributes:
        url: of the directory that holds its image sets.
        state: in one word or two.
        what: the same in a sentence.
        current: the date of its ``current``, if that says one.
        lag_seconds: age of the state of the repositories that it copied; None: it does not say.
        missing: files that are not there, as ``20240314/NAME``.
        different: files that are others than the origin's.
    """

    url: str
    state: MirrorState
    what: str
    current: str | None = None
    lag_seconds: int | None = None
    missing: tuple[str, ...] = ()
    different: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The status as a JSON-ready mapping."""
        return asdict(self)


def judge_directory(
    expected: Mapping[str, int | None],
    found: Mapping[str, int | None],
    *,
    other_bytes: tuple[str, ...] = (),
    date: str,
) -> SeenDirectory:
    """A dated directory with the files `found`, where `expected` should be.

    Args:
        expected: name -> bytes; None: nobody knows how many.
        found: name -> bytes; None: there is no such file.
        other_bytes: names whose content is known to be another one.
        date: of the set.
    """
    missing = tuple(name for name in expected if found.get(name) is None)
    different = tuple(
        name
        for name, size in expected.items()
        if name in other_bytes
        or (size is not None and found.get(name) is not None and found[name] != size)
    )
    if len(missing) == len(expected):
        return SeenDirectory("absent")
    state: DirectoryState = "different" if different else "partial" if missing else "right"
    return SeenDirectory(state, date, missing, different)


def judge_mirror(
    url: str,
    date: str,
    dated: SeenDirectory,
    current: SeenDirectory | None,
    lag_seconds: int | None,
) -> MirrorStatus:
    """The status of the mirror at `url` from what was seen there.

    Args:
        url: of the mirror.
        date: of the set that it should have.
        dated: its directory of that date.
        current: its ``current``; None where the origin's is of another date.
        lag_seconds: see `MirrorStatus`.
    """
    state, what = _state(date, dated, current)
    places = [(date, dated), *([("current", current)] if current is not None else [])]
    absent = {"absent"} if state in ("absent", "old") else set()
    return MirrorStatus(
        url=url,
        state=state,
        what=what,
        current=None if current is None else current.date,
        lag_seconds=lag_seconds,
        missing=tuple(
            f"{place}/{name}"
            for place, seen in places
            if seen.state not in absent
            for name in seen.missing
        ),
        different=tuple(f"{place}/{name}" for place, seen in places for name in seen.different),
    )


def _state(
    date: str, dated: SeenDirectory, current: SeenDirectory | None
) -> tuple[MirrorState, str]:
    seen = [dated] if current is None else [dated, current]
    states = {one.state for one in seen}
    if "different" in states:
        return "different bytes", "it has files that are not the origin's"
    if states == {"absent"}:
        return "absent", f"it has no image set of {date}, and none that is current"
    if current is not None and current.state == "between":
        is_of = f"; they say {current.date}" if current.date else ""
        return "between", f"this mirror is between two sets: current has files of both{is_of}"
    if dated.state == "partial":
        return "partial", f"the directory {date} is not complete"
    if current is not None and current.state == "other":
        if dated.state == "absent":
            return "old", f"it has the set of {current.date}, and not yet that of {date}"
        return "old", f"its current is the set of {current.date}, not {date}"
    if dated.state == "absent":
        return "partial", f"current is the set of {date}, but there is no directory of that date"
    if current is not None and current.state != "right":
        return "partial", f"it has the set of {date}, but no current"
    return "good", f"it has the set of {date}" + ("" if current is None else ", which is current")
