"""Verifies image sets and single downloads, and says which of the usual mistakes was made."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import minisign

from voidimg.artifact_names import date_of_name
from voidimg.errors import StoreError, VerifyError, VoidimgError, raise_all
from voidimg.events import Listener, Message, ignore, step
from voidimg.foreign import kind_in_words, read_regular
from voidimg.signing.keys import TrustedKey, date_in_comment, key_id_of
from voidimg.signing.recognise import Kind, kind_of, why_damaged
from voidimg.signing.sums import (
    SIGNATURE_NAME,
    SUMS_NAME,
    decode_sums,
    digest_files,
)
from voidimg.suggest import VERY_CLOSE, nearest

SIGNATURE_NAMES = (SIGNATURE_NAME, f"{SUMS_NAME}.minisig")
"""Void's name, and the one that the minisign program chooses by itself."""

_MAX_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """A file whose SHA-256 is the signed one."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What is proven: these files are as the holder of `key_id` signed them.

    `date` is that of the signature's trusted comment, None when it says something else. `key` says
    which key that is and why it is trusted.
    """

    key_id: str
    trusted_comment: str
    date: str | None
    files: tuple[VerifiedFile, ...]
    key: TrustedKey


def verify_set(
    directory: Path, key: TrustedKey, *, jobs: int = 1, listener: Listener = ignore
) -> Verified:
    """Verify the whole set in `directory`: signature, every checksum, nothing missing or extra.

    Raises:
        VerifyError: something does not fit; several problems are collected.
    """
    sums = _SignedSums.read(directory, key, listener)
    present = {path.name for path in directory.iterdir()} - {SUMS_NAME, *SIGNATURE_NAMES}
    problems: list[VoidimgError] = [
        VerifyError(
            f"{name} is in the directory but was not signed",
            code="EXTRA",
            where=str(directory / name),
            hint="it proves nothing that it lies here; remove it or do not use it",
        )
        for name in sorted(present - set(sums.digests))
    ]
    problems += [
        VerifyError(
            f"{name} is missing",
            code="MISSING",
            where=str(directory / name),
            hint="to verify some files of a set only, name them",
        )
        for name in sums.digests
        if name not in present
    ]
    paths = [directory / name for name in sums.digests if name in present]
    files = sums.compare(paths, problems, jobs, listener)
    raise_all(problems, f"{directory} is not the set that was signed")
    return sums.verified(files)


def verify_files(
    paths: Sequence[Path], key: TrustedKey, *, jobs: int = 1, listener: Listener = ignore
) -> tuple[Verified, ...]:
    """Verify downloaded files by the checksum file and signature beside them.

    One `Verified` for each directory, in the order of `paths`.

    Raises:
        VerifyError: something does not fit; several problems are collected.
    """
    verified = []
    problems: list[VoidimgError] = []
    for directory in dict.fromkeys(path.parent for path in paths):
        sums = _SignedSums.read(directory, key, listener)
        listed = []
        for path in paths:
            if path.parent != directory or path.name in (SUMS_NAME, *SIGNATURE_NAMES):
                continue
            problem = sums.why_unlisted(path)
            if problem is None:
                listed.append(path)
            else:
                problems.append(problem)
        files = sums.compare(listed, problems, jobs, listener)
        verified.append(sums.verified(files))
    raise_all(problems, "not all files are as they were signed")
    return tuple(verified)


@dataclass(frozen=True, slots=True)
class _SignedSums:
    """A checksum file whose signature was found good."""

    directory: Path
    digests: dict[str, str]
    key: TrustedKey
    comment: str

    @classmethod
    def read(cls, directory: Path, key: TrustedKey, listener: Listener) -> _SignedSums:
        sums_path, signature_path = _find(directory)
        content = _read(sums_path)
        signature = read_signature(_read(signature_path), str(signature_path))
        verify_signature(content, signature, key, sums_path)
        digests = decode_sums(content, str(sums_path))
        comment = signature.trusted_comment
        date = date_in_comment(comment)
        if date is None:
            listener(Message("warning", f"the signature names no date; it says: {comment!r}"))
        if key.others:
            told = ", ".join(key.others)
            listener(Message("warning", f"other keys of the same name are left aside: {told}"))
        _require_date_of_key(key, date, sums_path)
        valid = date or key.date
        problems = [
            VerifyError(
                f"the key is only valid for images of {valid}, but {name} is listed",
                code="SIGNED-DATE",
                where=str(sums_path),
                hint="each set has its own key: do not use these images",
            )
            for name in digests
            if valid is not None and date_of_name(name) not in (None, valid)
        ]
        raise_all(problems, "images of another date are listed")
        return cls(directory, digests, key, comment)

    def compare(
        self,
        paths: Sequence[Path],
        problems: list[VoidimgError],
        jobs: int,
        listener: Listener,
    ) -> list[VerifiedFile]:
        """The files among `paths` that have the signed checksum; `problems` gets the others."""
        regular = []
        for path in paths:
            problem = _why_not_regular(path)
            if problem is None:
                regular.append(path)
            else:
                problems.append(problem)
        paths = regular
        with step(listener, "verify checksums"):
            digests = digest_files(paths, jobs=jobs, step="verify checksums", listener=listener)
        good = []
        for path, digest in zip(paths, digests, strict=True):
            if digest.sha256 == self.digests[path.name]:
                good.append(VerifiedFile(path, digest.sha256))
            else:
                problems.append(_mismatch(path))
        return good

    def why_unlisted(self, path: Path) -> VerifyError | None:
        """The error of a file that cannot be verified by these checksums, or None."""
        if not os.path.lexists(path):
            return VerifyError(f"there is no file {path}", code="MISSING", where=str(path))
        if (problem := _why_not_regular(path)) is not None:
            return problem
        if path.name in self.digests:
            return None
        packed = [name for name in self.digests if name.rpartition(".")[0] == path.name]
        close = nearest(path.name, self.digests, ratio=VERY_CLOSE)
        hint = "is it from another set?"
        if packed:
            hint = f"{packed[0]} was signed, not what is unpacked from it: verify that, then unpack"
        elif close:
            hint = f"give it back its name if it is {close[0]}"
        return VerifyError(
            f"{path.name} is not among the signed files",
            code="NOT-LISTED",
            where=str(path),
            hint=hint,
        )

    def verified(self, files: Sequence[VerifiedFile]) -> Verified:
        """The result for `files`."""
        date = date_in_comment(self.comment)
        return Verified(self.key.key_id, self.comment, date, tuple(files), self.key)


def _require_date_of_key(key: TrustedKey, date: str | None, sums_path: Path) -> None:
    """Raise when a key is for the set of one date and the signature for that of another."""
    if key.date is None or date is None or key.date == date:
        return
    raise VerifyError(
        f"this key is for the set of {key.date}, but signed that of {date}",
        code="KEY-OTHER-DATE",
        where=str(sums_path),
        hint=f"each set has its own key: get void-release-{date}.pub; do not use these images"
        " unless it fits",
    )


def _why_not_regular(path: Path) -> VerifyError | None:
    """The error of what is listed and is no regular file, or None; links count for nothing."""
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        return VerifyError(
            f"cannot look at {path}: {error.strerror}", code="MISSING", where=str(path)
        )
    if stat.S_ISREG(mode):
        return None
    return VerifyError(
        f"{path.name} is {kind_in_words(mode)} and no regular file",
        code="NOT-REGULAR",
        where=str(path),
        hint="put the file itself in its place: what stands behind it can change at any time",
    )


def _find(directory: Path) -> tuple[Path, Path]:
    """The checksum file of `directory` and its signature."""
    sums_path = directory / SUMS_NAME
    signatures = [directory / name for name in SIGNATURE_NAMES]
    signature_path = next((path for path in signatures if os.path.lexists(path)), None)
    if not os.path.lexists(sums_path):
        raise VerifyError(
            f"{SUMS_NAME} is missing" + ("" if signature_path else f", and {SIGNATURE_NAME} too"),
            code="SUMS-MISSING",
            where=str(directory),
            hint="download both from the directory that holds the images",
        )
    if signature_path is None:
        raise VerifyError(
            f"{SUMS_NAME} is here, but its signature {SIGNATURE_NAME} is missing",
            code="SIGNATURE-MISSING",
            where=str(directory),
            hint="without it the checksums only show that the download is complete",
        )
    return sums_path, signature_path


_SIGNATURE_MISTAKES = {
    Kind.HTML: ("SIGNATURE-HTML", "download the file itself, not the page that shows it"),
    Kind.EMPTY: ("SIGNATURE-CUT", "download it again"),
    Kind.CUT_SIGNATURE: ("SIGNATURE-CUT", "download it again: it has four lines"),
    Kind.SIGNIFY_SIGNATURE: (
        "SIGNATURE-SIGNIFY",
        "sets before 2023-06 were signed with signify: use that program",
    ),
    Kind.PUBLIC_KEY: ("SIGNATURE-IS-KEY", f"key and {SIGNATURE_NAME} were mixed up"),
    Kind.SUMS: ("SIGNATURE-IS-SUMS", f"{SUMS_NAME} and {SIGNATURE_NAME} were mixed up"),
    Kind.PGP: ("SIGNATURE-PGP", "image sets are signed with minisign"),
}


def read_signature(content: bytes, where: str) -> minisign.Signature:
    """The minisign signature `content`.

    Raises:
        VerifyError: it is something else, or damaged.
    """
    kind = kind_of(content)
    code, hint = _SIGNATURE_MISTAKES.get(kind, ("SIGNATURE-NOT-SIGNATURE", "download it again"))
    found = f"it is {kind.description}"
    if kind is Kind.SIGNATURE:
        try:
            return minisign.Signature.from_bytes(content.rstrip() + b"\n")
        except minisign.ParseError as error:
            found = str(error)
            code, hint = "SIGNATURE-CUT", "download it again: it is damaged"
    raise VerifyError(
        f"this is not a minisign signature: {found}", code=code, where=where, hint=hint
    )


def verify_signature(
    content: bytes, signature: minisign.Signature, key: TrustedKey, path: Path
) -> None:
    """Check that `signature` is by `key`, over `content`, the checksum file at `path`.

    Raises:
        VerifyError: it is by another key, or over something else.
    """
    signed_by = key_id_of(signature)
    if signed_by != key.key_id:
        raise _other_key(signature, signed_by, key)
    if _is_good(content, signature, key):
        return
    kind = kind_of(content)
    what, hint = "was changed after it was signed, or is from another set", "download it again"
    code = "SUMS-CHANGED"
    if _is_good(content.replace(b"\r\n", b"\n"), signature, key):
        what, code = "has its line ends changed to those of Windows", "SUMS-LINE-ENDS"
        hint = "download it again, as it is (binary)"
    elif kind is Kind.HTML:
        what, code = f"is {kind.description}", "SUMS-NOT-SUMS"
        hint = "download the file itself, not the page that shows it"
    raise VerifyError(
        f"the signature does not fit: {path.name} {what}", code=code, where=str(path), hint=hint
    )


def _is_good(content: bytes, signature: minisign.Signature, key: TrustedKey) -> bool:
    try:
        key.key.verify(content, signature)
    except minisign.VerifyError:
        return False
    return True


def _other_key(signature: minisign.Signature, signed_by: str, key: TrustedKey) -> VerifyError:
    # Not proven at this point: good enough for a hint, and for nothing else.
    says = date_in_comment(signature.trusted_comment)
    if key.signify:
        return VerifyError(
            "this is a signify key, and the set is signed with minisign",
            code="KEY-SIGNIFY",
            where=key.source,
            hint=f"get the key of this set{f', void-release-{says}.pub' if says else ''}",
        )
    if says is not None and key.date is not None and says != key.date:
        return VerifyError(
            f"this key is for the set of {key.date}, but the signature says {says}",
            code="KEY-OTHER-DATE",
            where=key.source,
            hint=f"each set has its own key: get void-release-{says}.pub",
        )
    return VerifyError(
        f"the signature is by the key {signed_by}, not by {key.key_id}",
        code="KEY-OTHER",
        where=key.source,
        hint="compare the key id with the one in the announcement of the set",
    )


def _mismatch(path: Path) -> VerifyError:
    reason = why_damaged(path)
    if reason is not None:
        return VerifyError(
            f"{path.name} is damaged: {reason}",
            code="HTML" if "HTML" in reason else "CUT",
            where=str(path),
            hint="the download did not finish: get it again",
        )
    return VerifyError(
        f"{path.name} is not the file that was signed: its SHA-256 differs",
        code="CHECKSUM",
        where=str(path),
        hint="do not use it; download it again, from another mirror",
    )


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, _MAX_BYTES, follow=False)
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror or error}",
            code="IO",
            where=str(path),
            hint=getattr(error, "hint", None),
        ) from error
