"""Which image set was current when, in ``promotions.json`` beside the sets: what rollback follows.

The file is written after ``current`` has changed, so what it says did happen. What it does not say,
because a run was killed or somebody changed the link by hand, is added when that is found.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from voidimg.artifact_names import DATE_FORM
from voidimg.atomic import replace_by_bytes
from voidimg.errors import ReleaseError, UsageError, storing
from voidimg.foreign import read_regular
from voidimg.spec.base import Model

HISTORY_NAME = "promotions.json"

_MAX_BYTES = 16 * 2**20
_MAX_ENTRIES = 20_000
_MAX_TEXT = 1000
_MAX_REASON = 400
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"

Action = Literal["promote", "rollback", "found"]
"""``found``: the link had changed, and no entry said so."""


def one_line(text: str) -> str:
    """`text` if it is one line for people.

    Raises:
        ValueError: it has a control character in it.
    """
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", text):
        raise ValueError("it has a control character in it")
    return text


Text = Annotated[str, StringConstraints(max_length=_MAX_TEXT), AfterValidator(one_line)]
LongText = Annotated[str, StringConstraints(max_length=4 * _MAX_TEXT), AfterValidator(one_line)]
"""A name and two texts of a manifest."""
Count = Annotated[int, Field(ge=0, le=10**6)]


class HardwareCount(Model):
    """How many results of real machines were counted: of people whose keys were named."""

    works: Count = 0
    fails: Count = 0
    machines: tuple[Text, ...] = ()


class Promotion(Model):
    """An image set became current.

    Attributes:
        date: of the set.
        before: the date of the one that was current before; None: there was none.
        action: how.
        at: when, in UTC.
        reason: in the words of whoever did it.
        key_id: of the key that its signature is by; None: it was not verified.
        waivers: what was waived, and by whom, as its manifest says.
        hardware: results of real machines.
    """

    date: Annotated[str, StringConstraints(pattern=rf"^{DATE_FORM}$")]
    before: Annotated[str, StringConstraints(pattern=rf"^{DATE_FORM}$")] | None = None
    action: Action
    at: Annotated[str, StringConstraints(pattern=rf"^{_TIME}$")]
    reason: Text = ""
    key_id: Annotated[str, StringConstraints(pattern=r"^[0-9A-F]{16}$")] | None = None
    waivers: Annotated[tuple[LongText, ...], Field(max_length=200_000)] = ()
    hardware: HardwareCount = HardwareCount()


class _File(Model):
    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    promotions: Annotated[tuple[Promotion, ...], Field(max_length=_MAX_ENTRIES)]


def require_reason(text: str, where: str) -> None:
    """Ensure that `text`, which the option `where` gave, can stand in the history.

    Raises:
        UsageError: it is more than one line, or too long.
    """
    try:
        one_line(text)
        why = "is too long" if len(text) > _MAX_REASON else None
    except ValueError:
        why = "is more than one line, or has a control character in it"
    if why is not None:
        raise UsageError(
            f"the reason {why}",
            code="REASON",
            where=where,
            hint=f"give one line of at most {_MAX_REASON} characters",
        )


@dataclass(frozen=True, slots=True)
class History:
    """All promotions, the oldest first."""

    promotions: tuple[Promotion, ...] = ()

    @property
    def current(self) -> str | None:
        """The date of the set that became current last."""
        return self.promotions[-1].date if self.promotions else None

    @property
    def previous(self) -> str | None:
        """The date to which a rollback leads: of the set before, which no rollback left since."""
        stack = self._stack()
        return stack[-2] if len(stack) > 1 else None

    @property
    def current_before(self) -> str | None:
        """The date of the set that was current just before, whichever way it was left."""
        dates = [one.date for one in self.promotions]
        return next((date for date in reversed(dates) if date != self.current), None)

    def _stack(self) -> list[str]:
        stack: list[str] = []
        for one in self.promotions:
            if one.action == "rollback" and one.date in stack:
                while stack[-1] != one.date:
                    stack.pop()
            elif not stack or stack[-1] != one.date:
                stack.append(one.date)
        return stack

    def with_entry(self, entry: Promotion) -> History:
        """The history with one entry more."""
        return History((*self.promotions, entry)[-_MAX_ENTRIES:])

    def encode(self) -> bytes:
        """The bytes of the file."""
        said = _File(promotions=self.promotions).model_dump(mode="json", by_alias=True)
        return (json.dumps(said, indent=1, sort_keys=True) + "\n").encode("ascii")


def read_history(top: Path) -> History:
    """The history of the image sets in `top`; an empty one where there is no file.

    Raises:
        ReleaseError: what is there is no history.
        StoreError: it cannot be read.
    """
    path = top / HISTORY_NAME
    with storing(path, "read"):
        try:
            content = read_regular(path, _MAX_BYTES, follow=False)
        except FileNotFoundError:
            return History()
    try:
        return History(_File.model_validate_json(content).promotions)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise ReleaseError(
            f"this is no history of promotions: {place or 'JSON'} is wrong",
            code="HISTORY",
            where=str(path),
            hint="restore it from a copy or a mirror, or move it away: then a new one begins",
        ) from None


def write_history(top: Path, history: History) -> None:
    """Put `history` in the place of the one in `top`, at once.

    Raises:
        StoreError, DiskFullError: it cannot be written.
    """
    replace_by_bytes(top / HISTORY_NAME, history.encode())


def utc_text(epoch: float) -> str:
    """A time as it stands in the history.

    >>> utc_text(1710374400)
    '2024-03-14T00:00:00Z'
    """
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
