"""Signs an image set: checksums of all its files, and a minisign signature over them."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from voidimg.artifact_names import MANIFEST_NAME, date_of_name, why_not_of_set
from voidimg.atomic import remove_abandoned, replace_by_bytes
from voidimg.errors import ReleaseError, StoreError, VoidimgError, raise_all, storing
from voidimg.events import Listener, ignore, step
from voidimg.foreign import read_regular
from voidimg.identity import ReleaseDate
from voidimg.signing.announcement import (
    Announcement,
    ListedFile,
    announce,
    public_key_of,
    require_announceable,
)
from voidimg.signing.keys import date_in_comment, key_id_of, read_secret_key, release_comment
from voidimg.signing.recognise import Kind, kind_of
from voidimg.signing.sums import (
    MAX_SUMS_BYTES,
    SIGNATURE_NAME,
    SUMS_NAME,
    digest_files,
    encode_sums,
    require_unchanged,
)

_KEY_FILE = re.compile(r".*\.(?:sec|key|pub|minisign)")
_OWN = {SUMS_NAME, SIGNATURE_NAME}


@dataclass(frozen=True, slots=True)
class SignedSet:
    """A set that was signed: its files in the order of the checksum file, and by which key.

    `announcement` says what was written for people and scripts, if anything was.
    """

    directory: Path
    date: str
    key_id: str
    files: tuple[str, ...]
    sums_path: Path
    signature_path: Path
    announcement: Announcement | None = None


def date_of_set(directory: Path) -> ReleaseDate:
    """The date of the set in `directory`: that of its name, or else of the first of its files.

    Raises:
        ReleaseError: neither has one, or there is no such directory.
    """
    dates = [directory.absolute().name, *map(date_of_name, _names(directory))]
    for text in dates:
        try:
            return ReleaseDate.parse(text or "")
        except VoidimgError:
            continue
    raise ReleaseError(
        "nothing here says the date of the image set",
        code="SET-EMPTY",
        where=str(directory),
        hint="name the directory with the images of one date, such as out/20240314",
    )


def sign_set(
    directory: Path,
    secret_key: Path,
    *,
    passphrase: str | None = None,
    date: ReleaseDate | None = None,
    announce_in: Path | None = None,
    jobs: int = 1,
    listener: Listener = ignore,
) -> SignedSet:
    """Write ``sha256sum.txt`` over all files of `directory`, and its signature.

    The signature is over the BLAKE2b hash of the checksum file (``ED``), as the minisign program
    makes it; both comments say the date. Signing again without a change gives the same bytes.

    Args:
        directory: the set; every file in it must be of the set.
        secret_key: a minisign key; when its comment names a date, that must be the set's.
        passphrase: opens the key; see `needs_passphrase`.
        date: the set's date; by default `date_of_set`.
        announce_in: where what goes out beside the set is written (see `Announcement`); None:
            nowhere. Not the directory of the set.
        jobs: how many files to read at once.
        listener: gets the progress of reading.

    Raises:
        ReleaseError: unexpected files, another date, a key that does not fit or that others can
            read, a set that was signed already and has changed since, or another public key where
            that of the set is to be written.
        StoreError: a file cannot be read, or changes while it is read.
    """
    date = date or date_of_set(directory)
    with suppress(OSError):  # told of below
        remove_abandoned(directory)
    names = _checked_names(directory, date)
    paths = [directory / name for name in names]
    with read_secret_key(secret_key, passphrase) as secret:
        key_date = date_in_comment(secret.untrusted_comment)
        if key_date not in (None, str(date)):
            raise ReleaseError(
                f"this key is for the set of {key_date}, not of {date}",
                code="KEY-DATE",
                where=str(secret_key),
                hint=f"make its own key with: voidimg keygen {date}",
            )
        public = public_key_of(secret)
        if announce_in is not None:
            _require_elsewhere(announce_in, directory)
            require_announceable(announce_in, date, public)
        with step(listener, "checksums"):
            digests = digest_files(paths, jobs=jobs, listener=listener)
        sums = dict(zip(names, (one.sha256 for one in digests), strict=True))
        content = encode_sums(sums)
        sums_path, signature_path = directory / SUMS_NAME, directory / SIGNATURE_NAME
        _refuse_changed(sums_path, signature_path, content)
        comment = release_comment(date)
        signature = secret.sign(
            content, prehash=True, untrusted_comment=comment, trusted_comment=comment
        )
        key_id = key_id_of(signature)
    if _checked_names(directory, date) != names:
        raise ReleaseError(
            "files were added or removed while the set was read",
            code="SET-CHANGED",
            where=str(directory),
            hint="wait until nothing writes to the image set any more, and sign again",
        )
    require_unchanged(paths, digests)
    replace_by_bytes(sums_path, content)
    replace_by_bytes(signature_path, bytes(signature) + b"\n")
    announcement = None
    if announce_in is not None:
        files = [ListedFile(path.name, path.stat().st_size, sums[path.name]) for path in paths]
        announcement = announce(announce_in, date, public, files)
    return SignedSet(
        directory, str(date), key_id, tuple(names), sums_path, signature_path, announcement
    )


def _require_elsewhere(place: Path, directory: Path) -> None:
    if place.resolve() == directory.resolve():
        raise ReleaseError(
            "what is announced does not belong into the image set: its files are all signed",
            code="KEY-IN-SET",
            where=str(place),
            hint="name another directory with --announce",
        )


def _names(directory: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in directory.iterdir())
    except NotADirectoryError as error:
        raise ReleaseError(
            f"{directory} is not a directory",
            code="NOT-A-SET",
            where=str(directory),
            hint="name the directory that holds all files of the set",
        ) from error
    except FileNotFoundError as error:
        raise ReleaseError(
            f"there is no directory {directory}", code="NOT-A-SET", where=str(directory)
        ) from error
    except OSError as error:
        raise StoreError(
            f"cannot read {directory}: {error.strerror or error}", code="IO", where=str(directory)
        ) from error


def _checked_names(directory: Path, date: ReleaseDate) -> list[str]:
    """The names of the set's files; everything that has no business there is an error."""
    names = [name for name in _names(directory) if name not in _OWN]
    problems = [
        problem for name in names if (problem := _problem(directory / name, date)) is not None
    ]
    raise_all(problems, f"{directory} holds what is not of the set")
    if not names:
        raise ReleaseError("there is nothing to sign", code="SET-EMPTY", where=str(directory))
    return names


def _problem(path: Path, date: ReleaseDate) -> ReleaseError | None:
    """Why the file at `path` cannot be part of the set of `date`, or None."""
    where = str(path)
    if _KEY_FILE.fullmatch(path.name):
        return ReleaseError(
            f"{path.name} is a key, and the set is going to be published",
            code="KEY-IN-SET",
            where=where,
            hint="keep keys elsewhere; the public one reaches people on another way",
        )
    if path.is_symlink() or not path.is_file():
        return ReleaseError(
            f"{path.name} is not a regular file", code="UNEXPECTED", where=where, hint="remove it"
        )
    of_date = str(date) if path.name == MANIFEST_NAME else date_of_name(path.name)
    if of_date is None:
        return ReleaseError(
            f"{path.name} is not named like a file of an image set",
            code="UNEXPECTED",
            where=where,
            hint=f"move it away; a set holds only void-...-DATE... files and {MANIFEST_NAME}",
        )
    if of_date != str(date):
        return ReleaseError(
            f"{path.name} is of {of_date}, but the set is of {date}",
            code="OTHER-DATE",
            where=where,
            hint="one set has one date",
        )
    why = why_not_of_set(path.name, str(date))
    if why is not None:
        return ReleaseError(
            f"{path.name!r} {why}", code="UNEXPECTED", where=where, hint="rename or remove it"
        )
    if path.stat().st_size == 0:
        return ReleaseError(
            f"{path.name} is empty", code="EMPTY-FILE", where=where, hint="build it again"
        )
    return None


def _refuse_changed(sums_path: Path, signature_path: Path, content: bytes) -> None:
    """Raise for what lies where sums and signature go, and is not to be replaced."""
    before = _existing(sums_path, {Kind.SUMS})
    signature = _existing(signature_path, {Kind.SIGNATURE, Kind.CUT_SIGNATURE})
    if before and signature and before != content:
        raise ReleaseError(
            "the set is signed already and has changed since",
            code="SIGNED-CHANGED",
            where=str(sums_path),
            hint=f"published files must not change; if it never was, remove {SIGNATURE_NAME} first",
        )


def _existing(path: Path, kinds: set[Kind]) -> bytes:
    """The file at `path`, which is of one of `kinds`, or nothing."""
    with storing(path, "read"):
        try:
            content = read_regular(path, MAX_SUMS_BYTES, follow=False)
        except FileNotFoundError:
            return b""
    if content and kind_of(content) not in kinds:
        raise ReleaseError(
            f"{path.name} is {kind_of(content).description} and is not replaced",
            code="NOT-OURS",
            where=str(path),
            hint="move it away: this is the name of what signing writes",
        )
    return content
