"""Results of people who tried an image on a real machine: small files that they sign themselves.

A result is a JSON file and its minisign signature beside it, ``NAME.json`` and
``NAME.json.minisig``, so that ``minisign -V -m NAME.json`` verifies it too. It names the very file
by its SHA-256. Results come from strangers: one counts if the key that signed it was named, and
others are only told.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import minisign
from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from voidimg.artifact_names import DATE_FORM, date_of_name
from voidimg.atomic import write_new
from voidimg.errors import ReleaseError, VerifyError, VoidimgError, storing
from voidimg.events import Listener, Message, ignore
from voidimg.foreign import open_regular, read_regular
from voidimg.identity import ReleaseDate
from voidimg.release.history import HardwareCount, one_line
from voidimg.signing.keys import TrustedKey, date_in_comment, key_id_of, read_secret_key
from voidimg.signing.signed_sums import MAX_SIGNATURE_BYTES, read_signature, verify_signature
from voidimg.spec.base import Model
from voidimg.terminal_text import printable

HARDWARE = "hardware"
"""The directory of results beside the image sets; those of a set are below its date."""

SIGNATURE_END = ".minisig"
MAX_RESULT_BYTES = 64 * 1024
MAX_RESULTS = 10_000

Line = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(one_line)]


class HardwareResult(Model):
    """What came of an image on a real machine.

    Attributes:
        artifact: the name of the file that was tried.
        sha256: of that file.
        machine: what it was tried on, such as ``Raspberry Pi 4 Model B``.
        result: whether it works there.
        note: what else the person says.
        day: when it was tried, ``YYYYMMDD`` in UTC.
    """

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    artifact: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,254}$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    machine: Line
    result: Literal["works", "fails"]
    note: Annotated[str, StringConstraints(max_length=2000), AfterValidator(one_line)] = ""
    day: Annotated[str, StringConstraints(pattern=rf"^{DATE_FORM}$")]

    def encode(self) -> bytes:
        """The bytes of the file that is signed."""
        said = self.model_dump(mode="json", by_alias=True)
        return (json.dumps(said, indent=1, sort_keys=True) + "\n").encode("ascii")


@dataclass(frozen=True, slots=True)
class WrittenResult:
    """A result that was written and signed, and by which key."""

    result: HardwareResult
    key_id: str
    path: Path
    signature_path: Path


@dataclass(frozen=True, slots=True)
class ReadResult:
    """A result that somebody sent; `tester` is the key that was named and signed it, or None."""

    result: HardwareResult
    key_id: str
    tester: TrustedKey | None
    path: Path

    @property
    def counts(self) -> bool:
        """Whether it is of somebody whose key was named."""
        return self.tester is not None


def attest(
    artifact: Path,
    machine: str,
    directory: Path,
    secret_key: Path,
    *,
    works: bool,
    note: str = "",
    passphrase: str | None = None,
    day: ReleaseDate | None = None,
) -> WrittenResult:
    """Write and sign what came of the file `artifact` on a real machine.

    Args:
        artifact: the very file that was tried, of an image set.
        machine: what it was tried on.
        directory: where the result is written; nothing is overwritten.
        secret_key: the minisign key of whoever tried it, not that of an image set.
        works: whether it works there.
        note: what else is to be said.
        passphrase: opens the key.
        day: when it was tried; None: today.

    Raises:
        ReleaseError: the file is not named like one of an image set, the texts are no lines, the
            key is one of an image set or cannot be opened, or the result was written before.
        StoreError: something cannot be read or written.
    """
    if date_of_name(artifact.name) is None:
        raise ReleaseError(
            f"{artifact.name} is not named like a file of an image set",
            code="UNEXPECTED",
            where=str(artifact),
            hint="give it back the name that it had when it was downloaded",
        )
    with storing(artifact, "read"), open_regular(artifact) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    result = _result(artifact.name, sha256, machine, works, note, day or ReleaseDate.today())
    content = result.encode()
    with read_secret_key(secret_key, passphrase) as secret:
        of_set = date_in_comment(secret.untrusted_comment)
        if of_set is not None:
            raise ReleaseError(
                f"this is the key of the image set of {of_set}",
                code="KEY-OF-SET",
                where=str(secret_key),
                hint="sign with a key of your own, which minisign -G makes",
            )
        comment = f"{result.artifact} {result.result} on {result.machine}"
        signature = secret.sign(
            content,
            prehash=True,
            untrusted_comment="a result of a real machine",
            trusted_comment=comment.encode("ascii", "backslashreplace").decode("ascii"),
        )
        key_id = key_id_of(signature)
    path = directory / f"{artifact.name}.{_slug(machine)}.{key_id}.json"
    signature_path = path.with_name(path.name + SIGNATURE_END)
    try:
        # The signature first: a result without one would be told as unsigned.
        write_new(signature_path, bytes(signature) + b"\n", 0o644)
        write_new(path, content, 0o644)
    except FileExistsError:
        raise ReleaseError(
            f"{path} exists already and is never overwritten",
            code="EXISTS",
            where=str(path),
            hint="move both files away to write another result",
        ) from None
    return WrittenResult(result, key_id, path, signature_path)


def _result(
    name: str, sha256: str, machine: str, works: bool, note: str, day: ReleaseDate
) -> HardwareResult:
    try:
        return HardwareResult(
            artifact=name,
            sha256=sha256,
            machine=machine.strip(),
            result="works" if works else "fails",
            note=note.strip(),
            day=str(day),
        )
    except ValidationError as error:
        detail = error.errors()[0]
        raise ReleaseError(
            f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}",
            code="RESULT",
            where=name,
            hint="machine and note are one line each, of at most 500 and 2000 characters",
        ) from None


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:60] or "machine"


def read_results(
    directory: Path, testers: Sequence[TrustedKey]
) -> Iterator[ReadResult | VoidimgError]:
    """The results in `directory`, and for each that cannot be read the reason; by name.

    Raises:
        StoreError: the directory cannot be read.
    """
    keys = {key.key_id: key for key in testers}
    for name in _names(directory):
        path = directory / name
        try:
            yield _read(path, keys)
        except VoidimgError as error:
            yield error


def _names(directory: Path) -> list[str]:
    with storing(directory, "read"):
        try:
            names = sorted(os.listdir(directory))
        except FileNotFoundError:
            return []
    return [name for name in names if name.endswith(".json")][:MAX_RESULTS]


def _read(path: Path, keys: Mapping[str, TrustedKey]) -> ReadResult:
    signature_path = path.with_name(path.name + SIGNATURE_END)
    with storing(path, "read"):
        content = read_regular(path, MAX_RESULT_BYTES, follow=False)
    with storing(signature_path, "read"):
        signed = read_regular(signature_path, MAX_SIGNATURE_BYTES, follow=False)
    signature = read_signature(signed, str(signature_path))
    tester = _tester(content, signature, keys, path)
    try:
        result = HardwareResult.model_validate_json(content)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise VerifyError(
            f"this is no result of a real machine: {place or 'JSON'} is wrong",
            code="RESULT",
            where=str(path),
            hint="results are written by: voidimg attest",
        ) from None
    return ReadResult(result, key_id_of(signature), tester, path)


def _tester(
    content: bytes, signature: minisign.Signature, keys: Mapping[str, TrustedKey], path: Path
) -> TrustedKey | None:
    """The key that was named and signed `content`; None for one that was not named.

    Raises:
        VerifyError: it says that it is by a key that was named, and is not.
    """
    key = keys.get(key_id_of(signature))
    if key is not None:
        verify_signature(content, signature, key, str(path))
    return key


def counting_results(
    directory: Path,
    digests: Mapping[str, str],
    testers: Sequence[TrustedKey],
    listener: Listener = ignore,
) -> tuple[ReadResult, ...]:
    """The results in `directory` that are of these very files, by people whose keys were named.

    Of one person, file and machine the result of the last day counts; of one day that which says
    that it fails.

    Args:
        directory: with the results; there may be none.
        digests: file name -> SHA-256 in hex of the set.
        testers: the keys whose results count.
        listener: is told of each that does not count, and why.

    Raises:
        StoreError: the directory cannot be read.
    """
    counted: dict[tuple[str, str, str], ReadResult] = {}
    for read in read_results(directory, testers):
        if isinstance(read, VoidimgError):
            listener(Message("warning", f"a result does not count: {read}"))
            continue
        why = _why_not_counted(read, digests)
        if why is not None:
            listener(Message("warning", printable(f"{read.path} does not count: {why}")))
            continue
        key = (read.key_id, read.result.artifact, read.result.machine.casefold())
        if key not in counted or _later(read.result, counted[key].result):
            counted[key] = read
    return tuple(counted.values())


def count_hardware(results: Sequence[ReadResult]) -> HardwareCount:
    """How many of `results` say what, and on how many different machines the set works."""
    works = [one.result.machine for one in results if one.result.result == "works"]
    # of one machine that is written in two ways one counts, whoever came first
    machines = {one.casefold(): one for one in sorted(works, reverse=True)}
    return HardwareCount(
        works=len(works),
        fails=len(results) - len(works),
        machines=tuple(machines[key] for key in sorted(machines)),
    )


def _why_not_counted(one: ReadResult, digests: Mapping[str, str]) -> str | None:
    if not one.counts:
        return f"the key {one.key_id} is of no tester who was named"
    signed = digests.get(one.result.artifact)
    if signed is None:
        return f"{one.result.artifact} is not of this set"
    return None if signed == one.result.sha256 else "another file of that name was tried"


def _later(one: HardwareResult, other: HardwareResult) -> bool:
    return (one.day, one.result == "fails") > (other.day, other.result == "fails")


def require_hardware(
    counted: HardwareCount, machines: int, accept_failures: str | None, directory: Path
) -> None:
    """Ensure that the set works on so many real machines, and fails on none.

    Raises:
        ReleaseError: it does not.
    """
    if counted.fails and accept_failures is None:
        raise ReleaseError(
            f"the set fails on real machines, say {counted.fails} results",
            code="HARDWARE-FAILS",
            where=str(directory),
            hint="look at them; to publish it all the same: --accept-failures 'WHY'",
        )
    if len(counted.machines) < machines:
        raise ReleaseError(
            f"the set was seen to work on {len(counted.machines)} real machines,"
            f" and {machines} are required",
            code="HARDWARE",
            where=str(directory),
            hint="results are written with: voidimg attest; name whose count with --tester KEY",
        )
