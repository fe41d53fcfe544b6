"""``manifest.json``: what an image set is, in the words of whoever made it.

The file lies in the directory of the image set and is listed in its ``sha256sum.txt``, so the
signature of the set covers it. It says which artifacts there are, what each was made of, what the
lint found and what was booted, by the SHA-256 of the very file. No clock is read for it: the same
lock, date and results give the same bytes.

Whoever reads one did not write it. `Manifest.decode` takes it for hostile: sizes, counts and texts
are bounded, and a name in it cannot lead out of the directory.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from voidimg.arch import ARCHES, Libc
from voidimg.artifact_names import DATE_FORM, MANIFEST_NAME, why_not_of_set
from voidimg.errors import ReleaseError, storing
from voidimg.foreign import read_regular
from voidimg.spec.base import Model

MAX_MANIFEST_BYTES = 4 * 2**20
"""Most of a manifest that is read; one of Void's whole matrix has some 100 KiB."""
MAX_ARTIFACTS = 1000
_MAX_ROWS = 200
"""Most boots, side files and waivers of an artifact, and statements of a boot."""
_MAX_BYTES = 2**53
"""Most bytes of a file: what every reader of JSON can count."""
_MAX_PROBLEMS = 20

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _one_line(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("it has a control character in it")
    return text


def _architecture(name: str) -> str:
    if name not in ARCHES:
        raise ValueError("there is no such architecture")
    return name


Line = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_one_line)]
"""A text of one line, for people."""
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}$")]
"""A name of a set, platform, profile, kind, role, machine or medium."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Bytes = Annotated[int, Field(ge=0, le=_MAX_BYTES)]
Count = Annotated[int, Field(ge=0, le=10**6)]
DateWord = Annotated[str, StringConstraints(pattern=rf"^{DATE_FORM}$")]
FileName = Annotated[str, StringConstraints(min_length=1, max_length=255)]
"""A file of the directory, by its name alone; `Manifest` compares it with the date."""


class SetFile(Model):
    """A file of the image set; `size` is in bytes."""

    name: FileName
    size: Bytes
    sha256: Sha256


class SideFile(SetFile):
    """A file that comes with an artifact; `role` says what it is to it, such as ``bmap``."""

    role: Word


class LintResult(Model):
    """What the lint found in the file whose SHA-256 is `sha256`; defects by their severity."""

    sha256: Sha256
    errors: Count
    warnings: Count


class BootWay(Model):
    """A way to boot an artifact: which firmware starts it, of which machine, from which medium.

    `firmware` is ``bios``, ``uefi``, or whose place the test takes, such as ``raspberry-pi``.
    """

    firmware: Word
    machine: Word
    medium: Word

    def __str__(self) -> str:
        """The boot in words: ``nvme on virt (uefi)``."""
        return f"{self.medium} on {self.machine} ({self.firmware})"


class StatementResult(Model):
    """What came of one statement about the booted guest."""

    name: Line
    status: Literal["passed", "failed", "skipped"]


class SmokeResult(BootWay):
    """One boot of the file whose SHA-256 is `sha256`, and what was true of the guest."""

    sha256: Sha256
    verdict: Literal["passed", "failed"]
    statements: Annotated[tuple[StatementResult, ...], Field(max_length=_MAX_ROWS)] = ()


class Waiver(Model):
    """That an artifact failed `check`, or was not put to it, and `who` says why it is good enough.

    It is given on the command line, and stays in the manifest.
    """

    check: Literal["lint", "smoke"]
    who: Line
    reason: Line


class SetArtifact(SetFile):
    """An artifact of the image set, what it is made of, and how it was judged."""

    kind: Word
    platform: Word
    """With ``-musl`` where it applies: ``rpi-aarch64-musl``."""
    architecture: Annotated[str, AfterValidator(_architecture)]
    """Of XBPS, with libc: ``aarch64-musl``."""
    libc: Libc
    profile: Word
    optional: Line | None = None
    """Why the set may be without it; None: it may not."""
    side_files: Annotated[tuple[SideFile, ...], Field(max_length=_MAX_ROWS)] = ()
    lint: LintResult | None = None
    """None: it was not linted."""
    boots: Annotated[tuple[BootWay, ...], Field(max_length=_MAX_ROWS)] = ()
    """All ways in which its platform says that it boots; none: nobody said how."""
    smoke: Annotated[tuple[SmokeResult, ...], Field(max_length=_MAX_ROWS)] = ()
    """The boots that were made."""
    waivers: Annotated[tuple[Waiver, ...], Field(max_length=_MAX_ROWS)] = ()

    @property
    def why_not_linted(self) -> str | None:
        """Why it does not count as linted and found without errors, waivers aside; else None."""
        if self.lint is None:
            return "it was not linted"
        if self.lint.sha256 != self.sha256:
            return "what was linted is another file"
        return f"the lint found errors ({self.lint.errors})" if self.lint.errors else None

    @property
    def why_not_booted(self) -> str | None:
        """Why it does not count as booted, waivers aside; None when it does, or nobody says how.

        It counts when it passed in one of its ways to boot at least, and failed in none.
        """
        if any(one.sha256 != self.sha256 for one in self.smoke):
            return "what was booted is another file"
        failed = [str(one) for one in self.smoke if one.verdict == "failed"]
        if failed:
            return f"it failed its boot test: {', '.join(failed)}"
        return "it was not booted" if self.boots and not self.smoke else None

    def waiver(self, check: Literal["lint", "smoke"]) -> Waiver | None:
        """The waiver of `check`, if there is one."""
        return next((one for one in self.waivers if one.check == check), None)

    def why_not_publishable(self) -> Iterator[str]:
        """What keeps it from being published: not linted, not booted, and nobody waived it.

        That results are of another file cannot be waived: then nobody knows what they are worth.
        """
        judged = {one.sha256 for one in self.smoke}
        judged |= {self.lint.sha256} if self.lint is not None else set()
        if judged - {self.sha256}:
            yield "what was judged is another file than the one listed"
            return
        if self.why_not_linted is not None and self.waiver("lint") is None:
            yield self.why_not_linted
        if self.why_not_booted is not None and self.waiver("smoke") is None:
            yield self.why_not_booted


class LeftOut(Model):
    """What the set would have had and is without: an optional artifact, and why it is not there."""

    kind: Word
    platform: Word
    profile: Word
    reason: Line


class Manifest(Model):
    """An image set as a whole: its artifacts by name, and the one lock that all are made from."""

    # `schema` would hide a method of pydantic, hence the alias.
    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    set: Word
    """The name of the set, as in ``voidimg release NAME``."""
    date: DateWord
    voidimg: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$")]
    """The version that made it."""
    lock: SetFile
    artifacts: Annotated[tuple[SetArtifact, ...], Field(min_length=1, max_length=MAX_ARTIFACTS)]
    left_out: Annotated[tuple[LeftOut, ...], Field(max_length=MAX_ARTIFACTS)] = ()

    @model_validator(mode="after")
    def _names_are_sound(self) -> Self:
        names = [one.name for one in self.files()]
        wrong = [
            f"{name!r} {why}"
            for name in names
            if (why := why_not_of_set(name, self.date)) is not None
        ]
        wrong += [f"{name!r} is the name of two" for name, n in Counter(names).items() if n > 1]
        wrong += [f"{MANIFEST_NAME} cannot list itself"] if MANIFEST_NAME in names else []
        if wrong:
            raise ValueError("; ".join(wrong[:_MAX_PROBLEMS]))
        return self

    def files(self) -> Iterator[SetFile]:
        """Every file of the directory but the manifest itself, the checksums and the signature."""
        yield self.lock
        for artifact in self.artifacts:
            yield artifact
            yield from artifact.side_files

    def encode(self) -> bytes:
        """The bytes of the file: JSON in ASCII, keys sorted, artifacts by name."""
        said = self.model_dump(mode="json", by_alias=True)
        said["artifacts"].sort(key=lambda one: one["name"])
        said["left_out"].sort(key=lambda one: (one["platform"], one["profile"], one["kind"]))
        return (json.dumps(said, indent=1, sort_keys=True) + "\n").encode("ascii")

    @classmethod
    def decode(cls, content: bytes, where: str) -> Manifest:
        """The manifest whose file has the bytes `content`; `where` names it in errors.

        Raises:
            ReleaseError: it is no manifest that can be relied on.
        """
        if len(content) > MAX_MANIFEST_BYTES:
            raise _no_manifest(f"it holds more than {MAX_MANIFEST_BYTES} bytes", where)
        try:
            said = json.loads(content, object_pairs_hook=_once)
            version = said.get("schema") if isinstance(said, dict) else None
            if isinstance(version, int) and version > 1:
                raise _no_manifest(f"its schema is {version}, a later one than 1", where)
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise _no_manifest(_told(error), where) from None
        except (ValueError, RecursionError) as error:
            what = str(error) if isinstance(error, ValueError) else "it is nested too deep"
            raise _no_manifest(f"it is not sound JSON: {what}", where) from None


def read_manifest(directory: Path) -> Manifest:
    """The manifest of the image set in `directory`.

    Nothing says yet that it is the one that was signed: its SHA-256 has to be that of the line in
    the verified ``sha256sum.txt``.

    Raises:
        ReleaseError: there is none, or none that can be relied on.
        StoreError: it cannot be read.
    """
    path = directory / MANIFEST_NAME
    with storing(path, "read"):
        try:
            content = read_regular(path, MAX_MANIFEST_BYTES, follow=False)
        except (FileNotFoundError, NotADirectoryError):
            raise ReleaseError(
                f"there is no {MANIFEST_NAME}, so nobody can say what belongs to the image set",
                code="NO-MANIFEST",
                where=str(directory),
                hint="image sets that `voidimg release` makes have one",
            ) from None
    return Manifest.decode(content, str(path))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, none of whose keys stands twice: readers differ in which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _told(error: ValidationError) -> str:
    """What is wrong, by the places; values of the file are not repeated, they may be anything."""
    shown = []
    details = error.errors(include_url=False, include_input=False, include_context=False)
    for detail in details[:_MAX_PROBLEMS]:
        place = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in detail["loc"])
        text = detail["msg"].removeprefix("Value error, ")
        shown.append(f"{place.lstrip('.')[:200]}: {text[:500]}" if place else text[:2000])
    more = len(details) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")


def _no_manifest(why: str, where: str) -> ReleaseError:
    return ReleaseError(
        f"this is no manifest of an image set: {_CONTROL.sub('?', why)}",
        code="MANIFEST",
        where=where,
        hint="take the file from the set itself; nobody should edit it",
    )
