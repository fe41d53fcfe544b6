"""Identifiers and times that follow from the recipe and the date, never from chance or the clock.

Every UUID, disk signature, FAT serial, hash seed and password salt of an image is derived here
from one seed, so that the same recipe and date give the same bytes.
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime

from voidimg.errors import UsageError

_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})(rc\d+|r\d+)?")
_SALT_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class ReleaseDate:
    """The UTC date of an image set, ``YYYYMMDD`` with an optional ``rc1`` or ``r1`` suffix."""

    text: str
    day: date

    @classmethod
    def parse(cls, text: str, *, where: str = "--date") -> ReleaseDate:
        """`text` as a release date; `where` says what it was given as, for errors.

        Raises:
            UsageError: it is not a calendar date, or before 1980 (FAT) or after 2037 (ext4 times).
        """
        match = _DATE.fullmatch(text)
        try:
            if match is None:
                raise ValueError("not of the form YYYYMMDD")
            day = date(int(match[1]), int(match[2]), int(match[3]))
            if not 1980 <= day.year <= 2037:
                raise ValueError("outside 1980 to 2037, which FAT and ext4 can store")
        except ValueError as error:
            raise UsageError(
                f"{text!r} is not a date of an image set: {error}",
                code="DATE",
                where=where,
                hint="give it as YYYYMMDD, for example 20240314",
            ) from error
        return cls(text, day)

    @classmethod
    def of_epoch(cls, epoch: int) -> ReleaseDate:
        """The UTC day that holds `epoch` (seconds since 1970)."""
        day = datetime.fromtimestamp(epoch, UTC).date()
        return cls(day.strftime("%Y%m%d"), day)

    @classmethod
    def today(cls) -> ReleaseDate:
        """Today in UTC; to be asked once per run, so that a build over midnight has one date."""
        return cls.of_epoch(int(time.time()))

    @property
    def epoch(self) -> int:
        """Midnight UTC of the day, in seconds since 1970: the build's SOURCE_DATE_EPOCH."""
        return int(datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC).timestamp())

    def __str__(self) -> str:
        """The date as in file names."""
        return self.text


@dataclass(frozen=True, slots=True)
class Identity:
    """Derives identifiers from `seed`; the same seed and label always give the same identifier."""

    seed: str

    def _digest(self, label: str) -> bytes:
        return hashlib.sha256(f"voidimg\0{self.seed}\0{label}".encode()).digest()

    def uuid(self, label: str) -> uuid.UUID:
        """A UUID of version 8 (RFC 9562: custom), for filesystems and GPT GUIDs."""
        raw = bytearray(self._digest(label)[:16])
        raw[6] = raw[6] & 0x0F | 0x80
        raw[8] = raw[8] & 0x3F | 0x80
        return uuid.UUID(bytes=bytes(raw))

    def uint32(self, label: str) -> int:
        """A non-zero 32-bit number, for MBR disk signatures and FAT serials."""
        return int.from_bytes(self._digest(label)[:4], "little") or 1

    def salt(self, label: str, length: int = 16) -> str:
        """A crypt(5) salt of `length` characters."""
        return "".join(_SALT_ALPHABET[byte & 63] for byte in self._digest(label)[:length])
