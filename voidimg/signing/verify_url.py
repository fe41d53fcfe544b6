"""Verifies image sets and files on a server, and downloads by the checksums of a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from voidimg.artifact_names import date_of_name
from voidimg.errors import FetchError, UsageError, VerifyError, VoidimgError, raise_all
from voidimg.events import Listener, Message, Progress, ignore, step
from voidimg.fetch.published import Published
from voidimg.signing.keys import TrustedKey, find_public_key
from voidimg.signing.published_set import CURRENT, PublishedSet, is_date, open_set, read_pair
from voidimg.signing.signed_sums import SIGNATURE_NAMES, SignedSums, other_bytes, why_other_size
from voidimg.signing.sums import SUMS_NAME
from voidimg.signing.verify import (
    Verified,
    VerifiedFile,
    compare,
    read_signed_sums,
    verified_by,
    why_not_verifiable,
)
from voidimg.units import format_size

MAX_FILE_BYTES = 2**38
"""No file of an image set is larger (256 GiB); more is not read from a server."""

_TRANSFERS = 4


def verify_url(
    url: str, key: TrustedKey | None = None, *, jobs: int = 1, listener: Listener = ignore
) -> Verified:
    """Verify the image set, or the one file of one, at `url`, reading every byte of it.

    The checksums that count are those of the dated directory. A directory called ``current`` is
    compared with them, and its files are read there. Nothing is stored.

    Args:
        url: of a directory, or of a file whose name has a date.
        key: the public key; None for the one that belongs to the date.
        jobs: how many transfers there are at once, four at most.
        listener: gets the progress.

    Raises:
        UsageError: it is no URL of a server.
        FetchError: the server does not answer properly.
        VerifyError: something does not fit; several problems are collected.
    """
    place = Published.at(url, where="URL")
    date = None if url.endswith("/") else date_of_name(place.name)
    if date is None and place.name not in (SUMS_NAME, *SIGNATURE_NAMES):
        found = open_set(place, key, listener)
        return _verified(found, sorted(found.sums.digests), jobs, listener)
    found = open_set(place.parent, key, listener, date=date)
    if date is None:
        return verified_by(found.sums, [])
    problem = found.sums.why_unlisted(place.name, str(place))
    if problem is not None:
        raise problem
    return _verified(found, [place.name], jobs, listener)


def verify_files_from(
    paths: Sequence[Path],
    source: str,
    key: TrustedKey | None = None,
    *,
    jobs: int = 1,
    listener: Listener = ignore,
) -> tuple[Verified, ...]:
    """Verify downloaded files by the signed checksums that are elsewhere; no image is fetched.

    Args:
        paths: files of image sets; their names have the dates of their sets.
        source: the URL or path of an image set, or of the directory that holds those of all dates.
        key: the public key; None for the one that belongs to each date.
        jobs: how many files are read at once.
        listener: gets the progress.

    Raises:
        UsageError: the source is neither the URL of a server nor a directory.
        FetchError: the server does not answer properly.
        VerifyError: something does not fit; several problems are collected.
    """
    sums_of = _sums_by_url if "://" in source else _sums_by_path
    problems: list[VoidimgError] = []
    verified = []
    for date in dict.fromkeys(date_of_name(path.name) for path in paths):
        own = [path for path in paths if date_of_name(path.name) == date]
        if date is None:
            problems += [_no_date(path) for path in own]
            continue
        sums, size_elsewhere = sums_of(source, date, key, listener)
        listed = []
        for path in own:
            problem = why_not_verifiable(sums, path)
            listed += [path] if problem is None else []
            problems += [problem] if problem is not None else []
        files = compare(sums, listed, problems, jobs, listener, size_elsewhere=size_elsewhere)
        verified.append(verified_by(sums, files))
    raise_all(problems, "not all files are as they were signed")
    return tuple(verified)


_Source = tuple[SignedSums, Callable[[str], int | None]]
"""Signed checksums, and how large the files are that lie beside them."""


def _sums_by_url(source: str, date: str, key: TrustedKey | None, listener: Listener) -> _Source:
    place = Published.at(source, where="--from")
    if place.name == CURRENT or is_date(place.name):
        place = place.parent
    dated = place.beneath(date)
    if read_pair(dated) is None:
        dated = place
    found = open_set(dated, key, listener, date=date)

    def size_there(name: str) -> int | None:
        try:
            return found.dated.size_of(name)
        except FetchError:
            return None

    return found.sums, size_there


def _sums_by_path(source: str, date: str, key: TrustedKey | None, listener: Listener) -> _Source:
    directory = Path(source)
    if not directory.is_dir():
        raise UsageError(
            f"{source} is no directory", code="FROM", where="--from", hint="give one, or a URL"
        )
    directory = directory / date if (directory / date).is_dir() else directory
    trusted = find_public_key(date, directory) if key is None else key

    def size_there(name: str) -> int | None:
        try:
            return (directory / name).lstat().st_size
        except OSError:
            return None

    return read_signed_sums(directory, trusted, listener), size_there


def _no_date(path: Path) -> VerifyError:
    return VerifyError(
        f"{path.name} has no date in its name, so nobody knows of which set it is",
        code="NOT-LISTED",
        where=str(path),
        hint="give it back the name that it had on the server",
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    """Reads the files of a set on a server and compares them with what was signed."""

    found: PublishedSet
    sizes: dict[str, int]
    came: Callable[[int], None]

    def problem(self, name: str) -> VerifyError | None:
        """Why the file `name` is not as signed, or None."""
        place, sums = self.found.place, self.found.sums
        where = str(place.beneath(name))
        size = self.sizes[name]
        digest = place.digest(name, size, self.came)
        if digest is None:
            return _missing(self.found, name)
        other = why_other_size(name, digest.size, size, where)
        if other is None and digest.sha256 != sums.digests[name]:
            other = other_bytes(name, where, sums.sizes.get(name))
        return other


def _verified(found: PublishedSet, names: Sequence[str], jobs: int, listener: Listener) -> Verified:
    problems: list[VoidimgError] = []
    with ThreadPoolExecutor(min(jobs, _TRANSFERS)) as pool:
        told = list(pool.map(lambda name: _size(found, name), names))
    if found.place.name == CURRENT:
        _require_one_set(found, names, told)
    sizes: dict[str, int] = {}
    for name, size in zip(names, told, strict=True):
        if isinstance(size, int):
            sizes[name] = size
        else:
            problems.append(size)
    total = sum(sizes.values())
    listener(Message("note", f"{found.place}: {format_size(total)} to read, files: {len(sizes)}"))
    done = 0
    lock = Lock()

    def came(count: int) -> None:
        nonlocal done
        with lock:
            done += count
            listener(Progress("verify checksums", done, total, "bytes"))

    judge = _Judge(found, sizes, came)
    with step(listener, "verify checksums"), ThreadPoolExecutor(min(jobs, _TRANSFERS)) as pool:
        judged = list(pool.map(judge.problem, sizes))
    problems += [problem for problem in judged if problem is not None]
    raise_all(problems, f"{found.place} is not the set that was signed")
    files = [
        VerifiedFile(str(found.place.beneath(name)), found.sums.digests[name]) for name in names
    ]
    return verified_by(found.sums, files)


def _size(found: PublishedSet, name: str) -> int | VerifyError:
    """How many bytes the file `name` has there, or what is wrong with that."""
    where = str(found.place.beneath(name))
    size = found.place.size_of(name)
    if size is None:
        return _missing(found, name)
    signed = found.sums.sizes.get(name)
    other = None if signed is None else why_other_size(name, size, signed, where)
    if other is not None:
        return other
    if size > MAX_FILE_BYTES:
        return VerifyError(f"{name} is too large: {format_size(size)}", code="LONGER", where=where)
    return size


def _missing(found: PublishedSet, name: str) -> VerifyError:
    return VerifyError(
        f"{name} is missing",
        code="MISSING",
        where=str(found.place.beneath(name)),
        hint="the mirror is incomplete: use another one, or try again later",
    )


def _require_one_set(
    found: PublishedSet, names: Sequence[str], told: Sequence[int | VerifyError]
) -> None:
    """Ensure that ``current`` has files of the set whose checksums it has.

    Raises:
        VerifyError: some are not there yet, or no more.
    """
    missing = [
        name
        for name, one in zip(names, told, strict=True)
        if isinstance(one, VerifyError) and one.code == "E-VERIFY-MISSING"
    ]
    if missing:
        raise VerifyError(
            f"this mirror is between two sets: {SUMS_NAME} is of {found.sums.date or found.dated},"
            f" but {len(missing)} of its files are not there yet, or no more: {missing[0]}",
            code="BETWEEN",
            where=str(found.place),
            hint=f"use the directory {found.dated}, or try again when the mirror has caught up",
        )
