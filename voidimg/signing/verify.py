"""Verifies image sets and single downloads, and says which of the usual mistakes was made."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from voidimg.artifact_names import MANIFEST_NAME
from voidimg.errors import StoreError, VerifyError, VoidimgError, raise_all, storing
from voidimg.events import Listener, ignore, step
from voidimg.foreign import kind_in_words, read_regular
from voidimg.signing.keys import TrustedKey
from voidimg.signing.recognise import why_damaged
from voidimg.signing.signed_sums import (
    SIGNATURE_NAMES,
    SignedSums,
    other_bytes,
    why_other_size,
)
from voidimg.signing.sizes import signed_sizes
from voidimg.signing.sums import SIGNATURE_NAME, SUMS_NAME, digest_files

_MAX_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """A file whose SHA-256 is the signed one; `path` is its path, or its URL."""

    path: Path | str
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
    sums = read_signed_sums(directory, key, listener)
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
    files = compare(sums, paths, problems, jobs, listener)
    raise_all(problems, f"{directory} is not the set that was signed")
    return verified_by(sums, files)


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
        sums = read_signed_sums(directory, key, listener)
        listed = []
        for path in paths:
            if path.parent != directory or path.name in (SUMS_NAME, *SIGNATURE_NAMES):
                continue
            problem = why_not_verifiable(sums, path)
            if problem is None:
                listed.append(path)
            else:
                problems.append(problem)
        files = compare(sums, listed, problems, jobs, listener)
        verified.append(verified_by(sums, files))
    raise_all(problems, "not all files are as they were signed")
    return tuple(verified)


def read_signed_sums(directory: Path, key: TrustedKey, listener: Listener = ignore) -> SignedSums:
    """The checksums of the image set in `directory`, whose signature is by `key`.

    Raises:
        VerifyError: they or the signature are missing, or do not fit.
        StoreError: one cannot be read.
    """
    sums_path, signature_path = _find(directory)
    sums = SignedSums.judge(
        _read(sums_path),
        _read(signature_path),
        key,
        listener,
        sums_place=str(sums_path),
        signature_place=str(signature_path),
    )
    manifest = directory / MANIFEST_NAME
    if MANIFEST_NAME not in sums.digests or _why_not_regular(manifest) is not None:
        return sums
    return replace(sums, sizes=signed_sizes(_read(manifest), sums.digests[MANIFEST_NAME]))


def compare(
    sums: SignedSums,
    paths: Sequence[Path],
    problems: list[VoidimgError],
    jobs: int,
    listener: Listener,
    *,
    size_elsewhere: Callable[[str], int | None] = lambda _name: None,
) -> list[VerifiedFile]:
    """The files among `paths`, all listed, that are as signed; `problems` gets the others.

    What has another size than the signed one is not read: a gigabyte too few is known at once.
    `size_elsewhere` says how many bytes a file has where nobody signed that; it is asked for words
    only, when the content was found to be another one.
    """
    regular = []
    for path in paths:
        problem = _why_not_regular(path) or _why_other_size(path, sums)
        if problem is None:
            regular.append(path)
        else:
            problems.append(problem)
    with step(listener, "verify checksums"):
        digests = digest_files(regular, jobs=jobs, step="verify checksums", listener=listener)
    good = []
    for path, digest in zip(regular, digests, strict=True):
        if digest.sha256 == sums.digests[path.name]:
            good.append(VerifiedFile(path, digest.sha256))
        else:
            problems.append(_why_other_bytes(path, sums, size_elsewhere))
    return good


def why_not_verifiable(sums: SignedSums, path: Path) -> VerifyError | None:
    """The error of a file that cannot be verified by these checksums, or None."""
    if not os.path.lexists(path):
        return VerifyError(f"there is no file {path}", code="MISSING", where=str(path))
    return _why_not_regular(path) or sums.why_unlisted(path.name, str(path))


def verified_by(sums: SignedSums, files: Sequence[VerifiedFile]) -> Verified:
    """The result for `files`, which are as `sums` says."""
    return Verified(sums.key.key_id, sums.comment, sums.date, tuple(files), sums.key)


def _why_other_size(path: Path, sums: SignedSums) -> VerifyError | None:
    signed = sums.sizes.get(path.name)
    if signed is None:
        return None
    try:
        found = path.lstat().st_size
    except OSError as error:
        return VerifyError(
            f"cannot look at {path}: {error.strerror}", code="MISSING", where=str(path)
        )
    other = why_other_size(path.name, found, signed, str(path))
    return other and (_damaged(path, only_pages=True) or other)


def _damaged(path: Path, *, only_pages: bool = False) -> VerifyError | None:
    """The error of a file that cannot be what its name says, by its own form; None if it could."""
    reason = why_damaged(path)
    if reason is None or (only_pages and "HTML" not in reason):
        return None
    return VerifyError(
        f"{path.name} is damaged: {reason}",
        code="HTML" if "HTML" in reason else "CUT",
        where=str(path),
        hint="the download did not finish: get it again",
    )


def _why_other_bytes(
    path: Path, sums: SignedSums, size_elsewhere: Callable[[str], int | None]
) -> VerifyError:
    signed = sums.sizes.get(path.name)  # then it is complete, whatever its form says
    damaged = _damaged(path, only_pages=signed is not None)
    if damaged is not None or signed is not None:
        return damaged or other_bytes(path.name, str(path), signed)
    elsewhere = size_elsewhere(path.name)
    with storing(path, "look at"):
        found = path.lstat().st_size
    other = None if elsewhere is None else why_other_size(path.name, found, elsewhere, str(path))
    return other or other_bytes(path.name, str(path), elsewhere)


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
            hint="download both from the directory that holds the images, or say where they are:"
            " --from URL",
        )
    if signature_path is None:
        raise VerifyError(
            f"{SUMS_NAME} is here, but its signature {SIGNATURE_NAME} is missing",
            code="SIGNATURE-MISSING",
            where=str(directory),
            hint="without it the checksums only show that the download is complete",
        )
    return sums_path, signature_path


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
