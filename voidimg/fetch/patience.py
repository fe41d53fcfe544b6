"""How long downloads may take: one attempt at one mirror, and all that belong to one call."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from voidimg.fetch.location import time_is_up

JUDGE_SECONDS = 10.0
"""While another mirror can be asked, an answer must begin within this time, and the speed of each
stretch of this length is compared with that of the others."""

IDLE_SECONDS = 600.0
"""A call ends when nothing it can use has come for so long, however many mirrors there are."""

_LEAST_SECONDS = 900.0
_LEAST_BYTES_PER_SECOND = 32 * 1024
"""A call may take so long, and longer by its size at this speed."""


@dataclass(slots=True)
class Patience:
    """What one attempt at one mirror may take.

    Attributes:
        deadline: when it must be there, as `time.monotonic` counts.
        answer_seconds: a pause of the server may be so long, at the beginning and later.
        judge_seconds: length of the stretches whose speed is compared with `floor`.
        floor: bytes a second; below it another mirror promises more. 0: none does.
        received: bytes that have come, counted by the client.
    """

    deadline: float = math.inf
    answer_seconds: float = math.inf
    judge_seconds: float = JUDGE_SECONDS
    floor: float = 0.0
    received: int = 0


class Bound:
    """When the downloads of one call must have ended.

    Args:
        total_seconds: they may take so long altogether.
        idle_seconds: and so long with nothing that can be used.
    """

    def __init__(self, total_seconds: float, idle_seconds: float):
        self.total_seconds = total_seconds
        self.idle_seconds = idle_seconds
        self.ends = time.monotonic() + total_seconds
        self._idle_since = time.monotonic()

    def progressed(self) -> None:
        """Something came that can be used."""
        self._idle_since = time.monotonic()

    @property
    def left_seconds(self) -> float:
        """So long until the end, if nothing comes; 0 at the end."""
        return max(0.0, min(self.ends, self._idle_since + self.idle_seconds) - time.monotonic())

    def require(self, where: str) -> None:
        """Raise `FetchError` (``E-FETCH-TIME-LIMIT``) when the time is over; `where` is a URL."""
        if self.left_seconds:
            return
        if time.monotonic() >= self.ends:
            raise time_is_up(where)
        raise time_is_up(where, f"no mirror sent anything for {spoken(self.idle_seconds)}")

    def __str__(self) -> str:
        """The bound in words."""
        return (
            f"given up after {spoken(self.total_seconds)}, "
            f"or {spoken(self.idle_seconds)} without progress"
        )


def seconds_for(size: int, most: float) -> float:
    """How long downloads of `size` bytes may take altogether; never more than `most` seconds."""
    return min(most, _LEAST_SECONDS + size / _LEAST_BYTES_PER_SECOND)


def spoken(seconds: float) -> str:
    """`seconds` for people: hours and minutes from two minutes on."""
    if seconds < 120:
        return f"{seconds:g} seconds"
    hours, minutes = divmod(round(seconds / 60), 60)
    if not hours:
        return f"{minutes} minutes"
    spoken_hours = "1 hour" if hours == 1 else f"{hours} hours"
    return f"{spoken_hours} {minutes} minutes" if minutes else spoken_hours
