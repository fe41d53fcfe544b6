"""Checks of an image set as a whole: one date, checksums of exactly its files, the signature."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from voidimg.artifact_names import MANIFEST_NAME, date_of_name
from voidimg.artifacts.registry import read_name
from voidimg.errors import (
    CollectedError,
    PackageError,
    ReleaseError,
    VerifyError,
    VoidimgError,
    every_error,
    storing,
)
from voidimg.foreign import kind_in_words, open_regular, read_regular
from voidimg.formats.compression import Stream
from voidimg.lint.model import Defect, LintReport, Problem, Severity, id_of, says_of
from voidimg.signing.keys import (
    TrustedKey,
    date_in_comment,
    key_id_of,
    public_keys,
    read_public_key,
)
from voidimg.signing.signed_sums import read_signature, verify_signature
from voidimg.signing.signing import date_of_set
from voidimg.signing.sums import SIGNATURE_NAME, SUMS_NAME, decode_sums, digest_files

_ARTIFACTS = (".iso", ".img", ".qcow2", ".vhd", ".tar", ".wsl")
_COMPRESSED = (".xz", ".zst", ".gz")
_OWN = (SUMS_NAME, SIGNATURE_NAME)
_MAX_BYTES = 2**22
_DESCRIPTOR_AT = 2**15
"""Where the primary volume descriptor of an ISO is (ECMA-119, 6.2.1)."""
_HEAD_BYTES = _DESCRIPTOR_AT + 2048


@dataclass(frozen=True, slots=True)
class ImageSet:
    """A directory that holds an image set; `names` are those of its files.

    `key` is the public key or its file, None for the one that belongs to the date.
    """

    directory: Path
    names: tuple[str, ...]
    key: str | None = None
    jobs: int = 1

    @property
    def artifacts(self) -> tuple[Path, ...]:
        """The files that can be checked one by one."""
        return tuple(self.directory / name for name in self.names if is_artifact(name))


def is_artifact(name: str) -> bool:
    """Whether a file of this name is an image, a tar or an ISO."""
    plain = name
    for suffix in _COMPRESSED:
        plain = plain.removesuffix(suffix)
    return plain.endswith(_ARTIFACTS) and not name.startswith(".")


@dataclass(frozen=True, slots=True)
class SetCheck:
    """A check of a set, as `LintCheck` is one of an artifact."""

    id: str
    severity: Severity
    says: str
    find: Callable[[ImageSet], Iterator[Problem]]

    @classmethod
    def of(cls, find: Callable[[ImageSet], Iterator[Problem]], severity: Severity) -> SetCheck:
        """The check that `find` makes: its name is the id, its docstring says what is true."""
        return cls(id_of(find), severity, says_of(find), find)


def artifacts_of_set(directory: Path) -> tuple[Path, ...]:
    """The images, tars and ISOs in `directory`, by name.

    Raises:
        StoreError: it cannot be read.
    """
    return _open(directory, None, 1).artifacts


def _open(directory: Path, key: str | None, jobs: int) -> ImageSet:
    with storing(directory, "read"):
        names = sorted(path.name for path in directory.iterdir())
    return ImageSet(directory, tuple(names), key, jobs)


def lint_set(
    directory: Path, *, key: str | None = None, ignored: Collection[str] = (), jobs: int = 1
) -> LintReport:
    """What the checks of a set find in `directory`; its artifacts are not looked into.

    Args:
        directory: the set.
        key: the public key or its file; by default the one that belongs to the date.
        ignored: ids of checks that are not made.
        jobs: how many checksums to compute at once.

    Raises:
        StoreError: a file cannot be read.
    """
    whole = _open(directory, key, jobs)
    made = [check for check in SET_CHECKS if check.id not in ignored]
    defects = [
        Defect(check.id, check.severity, problem.object, problem.what, problem.hint)
        for check in made
        for problem in check.find(whole)
    ]
    return LintReport(str(directory), "image set", tuple(c.id for c in made), tuple(defects))


def set_artifacts(whole: ImageSet) -> Iterator[Problem]:
    """The set holds artifacts, and each once."""
    if not whole.artifacts:
        yield Problem(whole.directory.name, "there is no image, tar or ISO in it", "build a set")
    seen: dict[str, str] = {}
    for path in whole.artifacts:
        plain = path.name
        for suffix in _COMPRESSED:
            plain = plain.removesuffix(suffix)
        if plain in seen:
            what = f"it is the same as {seen[plain]}, compressed in another way"
            yield Problem(path.name, what, "keep one of them")
        seen.setdefault(plain, path.name)


def set_date(whole: ImageSet) -> Iterator[Problem]:
    """Every file is of the date of the set."""
    try:
        date = str(date_of_set(whole.directory))
    except ReleaseError as error:
        yield Problem(whole.directory.name, error.what, error.hint or "")
        return
    for name in whole.names:
        of = date_of_name(name)
        if of != date and name not in (*_OWN, MANIFEST_NAME):
            what = f"it is of {of}" if of is not None else "its name is not that of a set's file"
            yield Problem(name, f"{what}, but the set is of {date}", "move it out of the directory")


def set_media(whole: ImageSet) -> Iterator[Problem]:
    """Every medium has an identifier of its own: two in one machine would be taken for each other.

    By it kernel and boot loader find the medium that they came from: the volume id of an ISO, the
    identifier of a disk's partition table. Packed images are read as far as that. The files of one
    disk in several forms are one medium.
    """
    seen: dict[str, str] = {}
    for path in whole.artifacts:
        said = _medium_identifier(path)
        if said is None:
            continue
        if said in seen and not _is_same_disk(path, Path(seen[said])):
            what = f"it has the {said} of {seen[said]}"
            hint = "give the profile a volume_id with {platform} and {profile}, or build it again"
            yield Problem(path.name, what, hint)
        seen.setdefault(said, path.name)


def _is_same_disk(one: Path, other: Path) -> bool:
    """Whether the names say that both hold the disk of one platform, date and profile."""
    found, known = read_name(one), read_name(other)
    if found is None or known is None or found[1] != known[1]:
        return False
    return found[0] is not known[0] and found[0].role == known[0].role == "disk"


def _medium_identifier(path: Path) -> str | None:
    """What kind of identifier the medium has, and which; None for what is no medium."""
    with storing(path, "read"), open_regular(path) as file:
        try:
            head = Stream(file, where=path.name, max_bytes=2**62).read(_HEAD_BYTES)
        except PackageError:
            return None  # the check of the artifact itself says so
    descriptor = head[_DESCRIPTOR_AT : _DESCRIPTOR_AT + 72]
    if descriptor[:6] == b"\x01CD001":
        return f"volume id {descriptor[40:72].decode('ascii', 'replace').rstrip()}"
    if head[512:520] == b"EFI PART":
        return f"GPT identifier {UUID(bytes_le=head[568:584])}"
    if head[510:512] == b"\x55\xaa" and any(head[440:444]):
        return f"MBR identifier {int.from_bytes(head[440:444], 'little'):08x}"
    return None


def set_sums(whole: ImageSet) -> Iterator[Problem]:
    """Where there are checksums, they cover exactly the files of the set, and are right."""
    if SUMS_NAME not in whole.names:
        return
    try:
        digests = decode_sums(_read(whole.directory / SUMS_NAME), SUMS_NAME)
    except (VerifyError, CollectedError) as error:
        yield from _told(error, SUMS_NAME)
        return
    present = [name for name in whole.names if name not in _OWN]
    for name in present:
        if name not in digests:
            yield Problem(name, f"{SUMS_NAME} does not list it", "sign the set, or move it away")
    for name in digests:
        if name not in present:
            yield Problem(
                name, f"{SUMS_NAME} lists it, but it is not there", "fetch or build it too"
            )
    known = []
    for name in (name for name in present if name in digests):
        kind = kind_in_words((whole.directory / name).lstat().st_mode)
        if kind is None:
            known.append(name)
        else:
            yield Problem(name, f"it is {kind} and no regular file", "put the file in its place")
    found = digest_files([whole.directory / name for name in known], jobs=whole.jobs)
    for name, digest in zip(known, found, strict=True):
        if digest.sha256 != digests[name]:
            what = f"its SHA-256 is not the one in {SUMS_NAME}"
            yield Problem(name, what, "it was changed or damaged: build or fetch it again")


def set_signature(whole: ImageSet) -> Iterator[Problem]:
    """Where there is a signature, it is good, and its comment says the date of the set."""
    if SIGNATURE_NAME not in whole.names or SUMS_NAME not in whole.names:
        return
    sums, place = whole.directory / SUMS_NAME, whole.directory / SIGNATURE_NAME
    try:
        date = str(date_of_set(whole.directory))
        signature = read_signature(_read(place), str(place))
        key = _key_that_signed(whole, date, key_id_of(signature))
        verify_signature(_read(sums), signature, key, str(sums))
    except (VerifyError, CollectedError, ReleaseError) as error:
        yield from _told(error, SIGNATURE_NAME)
        return
    says = date_in_comment(signature.trusted_comment)
    if says != date:
        what = f"its trusted comment says {says or 'no date'}, but the set is of {date}"
        yield Problem(SIGNATURE_NAME, what, "sign the set with the key of its date")


def _key_that_signed(whole: ImageSet, date: str, key_id: str) -> TrustedKey:
    """The key that was named, or the one of `key_id`: whether to trust it, `verify` judges."""
    if whole.key is not None:
        return read_public_key(whole.key)
    for key in public_keys(date, whole.directory):
        if key.key_id == key_id:
            return key
    raise VerifyError(
        f"there is no key {key_id} of {date}, by which it is signed",
        code="KEY-MISSING",
        where=str(whole.directory),
        hint="name it with --key FILE, or give its line: --key RW...",
    )


def set_signed(whole: ImageSet) -> Iterator[Problem]:
    """The set has checksums and a signature, so that it can be published."""
    for name in _OWN:
        if name not in whole.names:
            yield Problem(name, "there is no such file", "sign the set: voidimg sign DIR")


def _told(error: VoidimgError, name: str) -> Iterator[Problem]:
    """A problem for each error that verifying met."""
    for one in every_error(error):
        yield Problem(name, one.what, one.hint or "")


def _read(path: Path) -> bytes:
    with storing(path, "read"):
        return read_regular(path, _MAX_BYTES, follow=False)


SET_CHECKS: tuple[SetCheck, ...] = (
    SetCheck.of(set_artifacts, "error"),
    SetCheck.of(set_date, "error"),
    SetCheck.of(set_media, "error"),
    SetCheck.of(set_sums, "error"),
    SetCheck.of(set_signature, "error"),
    SetCheck.of(set_signed, "warning"),
)
"""In the order in which they are told."""
