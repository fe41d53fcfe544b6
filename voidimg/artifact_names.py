"""File names of artifacts as Void gives them, and their exact inverse.

Others find Void's files by their names (a download page, quickget, the builds of Incus images), so
the names of Void's own artifacts are exactly Void's. A profile that is not the platform's own is in
the name too, where no pattern by which others look matches: behind the date, but for a ROOTFS,
which Incus' builds find by ``void-<arch>-ROOTFS-.*.tar.xz``: there it stands before that word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

MANIFEST_NAME = "manifest.json"
"""What says which files an image set has. The only one of them without the date in its name: who
looks for it may not know the date yet."""

DATE_FORM = r"\d{8}(?:rc\d+|r\d+)?"
"""The date of an image set, as `voidimg.identity.ReleaseDate` takes it."""

_OF_SET = re.compile(rf"void-(?:.+-)?({DATE_FORM})(?:[-.].+)?")
_WORD = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*?"
_HAS_DATE = re.compile(rf"(?:.*-)?{DATE_FORM}(?:-.*)?")
MAX_NAME = 64
"""Characters of a platform or profile: two of them, a date and an end are a file name of Linux."""


def why_not_named(name: str, *, subject: bool) -> str | None:
    """Why files of a platform or profile called `name` could not be told by their names, or None.

    `subject`: it stands before the date, as a platform does.
    """
    if re.fullmatch(_WORD, name) is None:
        return "it begins with a letter, digit or _, and . + - may follow too, all of ASCII"
    if len(name) > MAX_NAME:
        return f"it has {len(name)} characters, more than {MAX_NAME}"
    if subject and _HAS_DATE.fullmatch(name) is not None:
        return "a part of it would be taken for the date of an image set"
    return None


@dataclass(frozen=True, slots=True)
class ArtifactName:
    """What a file name says: for what (a platform or an architecture), of when, with which profile.

    `profile` is None when the name has none: then it is the platform's own.
    """

    subject: str
    date: str
    profile: str | None


@dataclass(frozen=True, slots=True)
class NameForm:
    """How the files of one kind are called: ``void-<word>-<subject>-<mark>-<date>-<profile><end>``.

    Attributes:
        end: what follows, such as ``.img``; the suffix of a compression may come behind it.
        mark: a word in capitals between subject and date, such as ``ROOTFS``.
        word: a word before the subject, such as ``live``.
        profile: where a profile that is not the platform's own stands: behind the date, or before
            the mark; ``always``: behind the date, the platform's own too.
        compressed: whether the suffix of the compression is part of the name.
    """

    end: str
    mark: str = ""
    word: str = ""
    profile: Literal["behind", "before", "always"] = "behind"
    compressed: bool = True

    def name(self, subject: str, date: str, profile: str | None, suffix: str = "") -> str:
        """The file name; `suffix` is that of the compression (``.xz``, ``""``)."""
        before = profile if self.profile == "before" else None
        behind = profile if self.profile != "before" else None
        parts = ["void", self.word, subject, before, self.mark, date, behind]
        stem = "-".join(part for part in parts if part)
        return f"{stem}{self.end}{suffix if self.compressed else ''}"

    def parse(self, name: str, subjects: frozenset[str] = frozenset()) -> ArtifactName | None:
        """What `name` says, or None when it is not of this form.

        `subjects`, where given, are those that there are: they tell a ROOTFS' architecture from the
        profile behind it.
        """
        match = re.fullmatch(self._pattern(), name)
        if match is None:
            return None
        found = match.groupdict()
        subject, profile = found["subject"], found.get("profile")
        if self.profile == "before" and subjects and subject not in subjects:
            known = [one for one in subjects if subject.startswith(f"{one}-")]
            if not known:
                return None
            longest = max(known, key=len)
            subject, profile = longest, subject[len(longest) + 1 :]
        return ArtifactName(subject, found["date"], profile)

    def _pattern(self) -> str:
        word = f"{self.word}-" if self.word else ""
        mark = f"-{self.mark}" if self.mark else ""
        behind = {
            "behind": rf"(?:-(?P<profile>{_WORD}))?",
            "always": rf"-(?P<profile>{_WORD})",
            "before": "",
        }[self.profile]
        suffix = r"(?:\.xz|\.zst)?" if self.compressed else ""
        date = rf"(?P<date>{DATE_FORM})"
        return rf"void-{word}(?P<subject>{_WORD}){mark}-{date}{behind}{re.escape(self.end)}{suffix}"


def why_not_of_set(name: str, date: str) -> str | None:
    """Why a file called `name` cannot be one of the image set of `date`; None when it can.

    Mirrors leave out names that begin with a dot or end in ``.lock`` (void-infrastructure, the
    public module of rsync), so a set with such a file would be incomplete on each of them.
    """
    if name == MANIFEST_NAME:
        return None
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", name) is None:
        return "is not a plain file name: letters, digits and _ . + - of ASCII, no dot in front"
    if name.endswith(".lock"):
        return "ends in .lock, and mirrors leave out such files"
    found = date_of_name(name)
    if found is None:
        return "is not named like a file of an image set, void-...-DATE..."
    return None if found == date else f"is of {found}, but the set is of {date}"


def date_of_name(name: str) -> str | None:
    """The date of the image set that a file called `name` belongs to; None when it has none."""
    match = _OF_SET.fullmatch(name)
    return match[1] if match else None
