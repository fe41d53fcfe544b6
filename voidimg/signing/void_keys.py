"""The keys that Void published with its image sets: one a set, in the news of the release.

Of some only the id is known here. An id is no proof: whoever makes a key can give it any. So a key
whose id is another one is not Void's, and one with the same id may still be anybody's.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VoidKey:
    """The key of one set: its id as the minisign program prints it, and its line if it is known."""

    date: str
    key_id: str
    line: str | None = None


VOID_KEYS = (
    VoidKey("20230628", "5D7153E025EC26B6"),
    VoidKey(
        "20240314", "A3FCFCCA9D356F86", "RWSGbzWdyvz8o4nrhY1nbmHLF6QiFH/AQXs1mS/0X+t1x3WwUA16hdc/"
    ),
    VoidKey("20250202", "4D56E70F102AF9F9"),
)
"""Sets before these were signed with signify."""


def void_key_of_date(date: str) -> VoidKey | None:
    """The key that Void published for the set of `date`, as far as it is known here."""
    return next((one for one in VOID_KEYS if one.date == date), None)


def void_key_of_line(line: str) -> VoidKey | None:
    """Void's key whose line is `line`."""
    return next((one for one in VOID_KEYS if one.line == line), None)
