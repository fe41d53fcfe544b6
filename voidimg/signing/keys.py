"""The minisign keys of image sets: made, read and named as Void and the minisign program do.

One key pair a set: ``void-release-<date>.pub`` and ``void-release-<date>.sec``. A key id is 8
bytes, printed as a little-endian number in 16 hex digits.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import minisign

from voidimg.atomic import write_new
from voidimg.errors import ReleaseError, StoreError, VerifyError
from voidimg.foreign import HINT_FOR_SECRETS, open_regular, why_not_secret
from voidimg.identity import ReleaseDate
from voidimg.signing.recognise import Kind, kind_of, looks_like_signify
from voidimg.signing.void_keys import void_key_of_date, void_key_of_line

MINISIGN_MEMORY_BYTES = 2**30
"""What the minisign program makes scrypt use: guessing a passphrase costs as much each time."""

MAX_PASSPHRASE_BYTES = 1023
"""What the minisign program takes, in UTF-8; so does OpenSSL for the keys of repositories."""

Trust = Literal["named", "installed", "here", "published", "beside"]
"""Why a public key is believed: the caller named it, a package installed it, Void published it and
it came with this program, or it lay there."""

INSTALLED_KEYS = Path("/usr/share/void-release-keys")
"""Where the package void-release-keys puts the public keys of all sets."""

_OPERATIONS_PER_BYTE = 32
_MAX_KEY_BYTES = 64 * 1024
_COMMENT = re.compile(r"This key is only valid for images with date (\d{8}(?:rc\d+|r\d+)?)\.")
_KEY_NAME = re.compile(r"void-release-(\d{8}(?:rc\d+|r\d+)?)\.(?:pub|sec)")
_BASE64_KEY = re.compile(r"RW[A-Za-z0-9+/]{54}")


@dataclass(frozen=True, slots=True)
class ReleaseKey:
    """A key pair that was made; `public_line` is what announcements print."""

    date: str
    key_id: str
    public_line: str
    public_path: Path
    secret_path: Path


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key to verify with, where it came from, and the set it is for (by its name).

    `trust` is the reason to believe that it is Void's, `others` are keys of the same name that were
    found in other places and say something else.
    """

    key: minisign.PublicKey
    source: str
    key_id: str
    date: str | None
    signify: bool
    trust: Trust = "named"
    others: tuple[str, ...] = ()

    @property
    def why_trusted(self) -> str:
        """The reason in words that follow "trusted because"."""
        return _REASONS[self.trust]


_REASONS: dict[Trust, str] = {
    "named": "you named it",
    "installed": "a package of your system installed it",
    "published": "Void published it with the image set, and it came with voidimg",
    "beside": "it lies beside the image set: compare its line with the announcement of the set, for"
    " whoever gave you the images could have put it there",
    "here": "it lies in the working directory: compare its line with the announcement of the set",
}


def release_comment(date: ReleaseDate | str) -> str:
    """The comment of the key, and both comments of the signature, of the set of `date`."""
    return f"This key is only valid for images with date {date}."


def date_in_comment(comment: str | None) -> str | None:
    """The date of a comment made by `release_comment`; None for any other comment."""
    match = _COMMENT.fullmatch(comment or "")
    return match[1] if match else None


def key_id_of(key: minisign.PublicKey | minisign.Signature) -> str:
    """The id of a key, or of the key of a signature, as the minisign program prints it."""
    if isinstance(key, minisign.Signature):
        raw = base64.b64decode(bytes(key).splitlines()[1])
    else:
        raw = base64.b64decode(key.to_base64())
    return f"{int.from_bytes(raw[2:10], 'little'):016X}"


def create_release_key(
    date: ReleaseDate,
    directory: Path,
    *,
    passphrase: str | None,
    memory_bytes: int = MINISIGN_MEMORY_BYTES,
) -> ReleaseKey:
    """Make the key pair of the set of `date` in `directory`, encrypted with `passphrase`.

    The secret key has mode 0600. Neither file is overwritten. `passphrase` None leaves the secret
    key unencrypted. `memory_bytes` is what scrypt needs to try one passphrase.

    Raises:
        ReleaseError: the passphrase is empty, or a file exists.
        StoreError: the directory cannot be written.
    """
    if passphrase == "":
        raise ReleaseError(
            "the passphrase is empty",
            code="PASSPHRASE-EMPTY",
            hint="give one, or say --no-passphrase to keep the key unencrypted",
        )
    stem = directory / f"void-release-{date}"
    public_path, secret_path = (
        stem.with_name(f"{stem.name}.pub"),
        stem.with_name(f"{stem.name}.sec"),
    )
    if passphrase is not None:
        require_passphrase(passphrase)
    if os.path.lexists(public_path):
        raise _exists(public_path)
    pair = minisign.KeyPair.generate()
    public = pair.public_key
    key_id = key_id_of(public)
    public.untrusted_comment = f"minisign public key {key_id}"
    with pair.secret_key as secret:
        secret.untrusted_comment = release_comment(date)
        if passphrase is not None:
            secret.encrypt(
                passphrase, opslimit=memory_bytes // _OPERATIONS_PER_BYTE, memlimit=memory_bytes
            )
        # The secret key first: a public key without it would be worse than none.
        _write_new(secret_path, bytes(secret) + b"\n", 0o600)
    _write_new(public_path, bytes(public) + b"\n", 0o644)
    return ReleaseKey(str(date), key_id, public.to_base64().decode(), public_path, secret_path)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        write_new(path, content, mode)
    except FileExistsError:
        raise _exists(path) from None


def _exists(path: Path) -> ReleaseError:
    return ReleaseError(
        f"{path} exists already and is never overwritten",
        code="EXISTS",
        where=str(path),
        hint="a set has one key; move the old pair away to make another",
    )


def require_passphrase(passphrase: str) -> None:
    """Ensure that every program can open a key that `passphrase` closes.

    Raises:
        ReleaseError: it is no UTF-8, too long, or has a NUL, where other programs stop reading.
    """
    try:
        content = passphrase.encode("utf-8")
    except UnicodeEncodeError:
        why = "is not UTF-8"
    else:
        if len(content) > MAX_PASSPHRASE_BYTES:
            why = f"is longer than {MAX_PASSPHRASE_BYTES} bytes"
        elif b"\0" in content:
            why = "has a NUL in it"
        else:
            return
    raise ReleaseError(
        f"the passphrase {why}",
        code="PASSPHRASE-TEXT",
        hint="give the text that was typed when the key was made, without a line end",
    )


def read_secret_key(path: Path, passphrase: str | None) -> minisign.SecretKey:
    """The secret key at `path`, ready to sign; use it as a context manager, which wipes it.

    Raises:
        ReleaseError: there is none, it is not a minisign secret key, others can read it, or
            `passphrase` does not open it.
        StoreError: it cannot be read.
    """
    secret = _parse_secret_key(path)
    if not secret.is_encrypted():
        return secret
    if not passphrase:
        raise ReleaseError(
            "the secret key is encrypted and no passphrase was given",
            code="PASSPHRASE-NEEDED",
            where=str(path),
            hint="give --passphrase-fd or --passphrase-env, or run it on a terminal",
        )
    require_passphrase(passphrase)
    try:
        secret.decrypt(passphrase)
    except minisign.Error as error:
        raise ReleaseError(
            "the passphrase does not open the secret key", code="PASSPHRASE-WRONG", where=str(path)
        ) from error
    except MemoryError as error:
        raise ReleaseError(
            "there is not enough memory to open the secret key: minisign's needs 1 GiB",
            code="PASSPHRASE-MEMORY",
            where=str(path),
        ) from error
    return secret


def needs_passphrase(path: Path) -> bool:
    """Whether the secret key at `path` is encrypted.

    Raises:
        ReleaseError: there is none, or it is not a minisign secret key.
        StoreError: it cannot be read.
    """
    with _parse_secret_key(path) as secret:
        return bool(secret.is_encrypted())


def _parse_secret_key(path: Path) -> minisign.SecretKey:
    try:
        content, found = _read(path)
    except FileNotFoundError as error:
        raise ReleaseError(
            f"there is no secret key {path}",
            code="SECRET-KEY-MISSING",
            where=str(path),
            hint="make it with: voidimg keygen DATE",
        ) from error
    kind = kind_of(content)
    try:
        if kind is Kind.PRIVATE_KEY:
            require_secret(found, path)
            return minisign.SecretKey.from_bytes(content)
    except minisign.ParseError:
        kind = Kind.TEXT
    hint = "a secret key is made by: voidimg keygen DATE"
    if kind is Kind.PUBLIC_KEY:
        hint = "signing needs the secret key, whose name ends in .sec"
    raise ReleaseError(
        f"this is not a minisign secret key: it is {kind.description}",
        code="SECRET-KEY-KIND",
        where=str(path),
        hint=hint,
    )


def read_public_key(source: str | Path) -> TrustedKey:
    """The public key in the file `source`, or written out as its base64 line (``RW...``).

    Raises:
        VerifyError: there is no such file, or it is something else: a web page, a secret key, a
            signature, a key of another program.
    """
    if _BASE64_KEY.fullmatch(str(source)):
        try:
            key = minisign.PublicKey.from_base64(str(source))
        except minisign.ParseError as error:
            raise _not_a_public_key(Kind.TEXT, Path(source)) from error
        known = void_key_of_line(str(source))
        date = None if known is None else known.date
        return TrustedKey(key, str(source), key_id_of(key), date, signify=False)
    path = Path(source)
    try:
        content, _ = _read(path)
    except FileNotFoundError as error:
        raise VerifyError(
            f"there is no key file {path}",
            code="KEY-MISSING",
            where=str(path),
            hint="Void's are in the package void-release-keys and in the news of the release",
        ) from error
    kind = kind_of(content)
    try:
        if kind is Kind.BARE_KEY:
            key = minisign.PublicKey.from_base64(content.strip())
        else:
            # The comment is for people and may hold anything; the library wants plain ASCII.
            key = minisign.PublicKey.from_base64(content.splitlines()[1].strip())
    except (IndexError, minisign.ParseError) as error:
        if kind in (Kind.PUBLIC_KEY, Kind.BARE_KEY):  # it only looks like one
            kind = Kind.TEXT
        raise _not_a_public_key(kind, path) from error
    if kind not in (Kind.PUBLIC_KEY, Kind.BARE_KEY):
        raise _not_a_public_key(kind, path)
    date = _date_of_key(path, content, key)
    return TrustedKey(key, str(path), key_id_of(key), date, looks_like_signify(content))


def _date_of_key(path: Path, content: bytes, key: minisign.PublicKey) -> str | None:
    """The date of the set that a public key file is for, by its name, its comment, and by Void.

    Raises:
        VerifyError: they differ.
    """
    known = void_key_of_line(key.to_base64().decode())
    named = _KEY_NAME.fullmatch(path.name)
    comment = content.partition(b"\n")[0].removeprefix(b"untrusted comment: ").strip()
    by_comment = date_in_comment(comment.decode("utf-8", "replace"))
    said = (named[1] if named else None, by_comment, known.date if known else None)
    dates = {date for date in said if date is not None}
    if len(dates) > 1:
        raise VerifyError(
            "the key has two dates, by its name, its comment, or the news of its set:"
            f" {' and '.join(sorted(dates))}",
            code="KEY-DATES",
            where=str(path),
            hint="get the key again, under its own name",
        )
    return next(iter(dates), None)


def find_public_key(date: str, set_directory: Path | None) -> TrustedKey:
    """The public key of the set of `date`: as installed, here, as Void published it, or beside.

    What was installed wins: a key that came with the images may be anybody's. Never inside the
    set's directory: whoever could replace the images could replace that key. `set_directory` None
    is a set on a server, beside which nothing counts.

    Raises:
        VerifyError: there is none, or one is no key.
        StoreError: one cannot be read.
    """
    return public_keys(date, set_directory)[0]


def public_keys(date: str, set_directory: Path | None) -> tuple[TrustedKey, ...]:
    """All keys of the set of `date` that are found, the most trusted one first.

    Raises:
        VerifyError: there is none, or one is no key.
        StoreError: one cannot be read.
    """
    found = list(_keys_of_date(date, set_directory))
    if not found:
        raise _no_key(date, set_directory)
    return tuple(
        replace(key, others=tuple({one.source: None for one in found if one.key_id != key.key_id}))
        for key in found
    )


def _keys_of_date(date: str, set_directory: Path | None) -> Iterator[TrustedKey]:
    """The keys of the set of `date` that are found, the most trusted one first."""
    name = f"void-release-{date}.pub"
    places: list[tuple[Trust, Path]] = [("installed", INSTALLED_KEYS), ("here", Path())]
    for trust, place in places:
        if set_directory is None or place.resolve() != set_directory.resolve():
            yield from _key_in(place, name, trust)
    published = void_key_of_date(date)
    if published is not None and published.line is not None:
        yield replace(
            read_public_key(published.line),
            source=f"Void's key of {date}, {published.line}",
            trust="published",
        )
    if set_directory is not None:
        yield from _key_in(set_directory.absolute().parent, name, "beside")


def _key_in(place: Path, name: str, trust: Trust) -> Iterator[TrustedKey]:
    if os.path.lexists(place / name):
        yield replace(read_public_key(place / name), trust=trust)


def _no_key(date: str, set_directory: Path | None) -> VerifyError:
    known = void_key_of_date(date)
    beside = "" if set_directory is None else ", or beside the set"
    also = "" if known is None else f"; of Void's own only the id is known here: {known.key_id}"
    return VerifyError(
        f"there is no key void-release-{date}.pub in {INSTALLED_KEYS} or here{beside}{also}",
        code="KEY-MISSING",
        where=f"void-release-{date}.pub" if set_directory is None else str(set_directory),
        hint="get it from the package void-release-keys or the news of the release, and name it"
        " with --key FILE, or give its line: --key RW...",
    )


_KEY_MISTAKES = {
    Kind.HTML: ("KEY-HTML", "save the raw file: on GitHub use the button Raw"),
    Kind.PRIVATE_KEY: ("KEY-SECRET", "give the public key, .pub; never pass the secret one around"),
    Kind.SIGNATURE: ("KEY-IS-SIGNATURE", "the key ends in .pub; the signature is found by itself"),
    Kind.SIGNIFY_SIGNATURE: ("KEY-IS-SIGNATURE", "the key's name ends in .pub"),
    Kind.SUMS: ("KEY-IS-SUMS", "the key's name ends in .pub"),
    Kind.REPOSITORY_KEY: ("KEY-REPOSITORY", "packages are signed by it; images by a key of a set"),
    Kind.EMPTY: ("KEY-EMPTY", "the download failed: get it again"),
}


def _not_a_public_key(kind: Kind, path: Path) -> VerifyError:
    code, hint = _KEY_MISTAKES.get(
        kind, ("KEY-NOT-KEY", "it has two lines: a comment and one that begins with RW")
    )
    return VerifyError(
        f"this is not a minisign public key: it is {kind.description}",
        code=code,
        where=str(path),
        hint=hint,
    )


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    """The content of a key file, and what the system says of it."""
    try:
        with open_regular(path, max_bytes=_MAX_KEY_BYTES) as file:
            return file.read(_MAX_KEY_BYTES), os.fstat(file.fileno())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror or error}",
            code="IO",
            where=str(path),
            hint=getattr(error, "hint", None),
        ) from error


def require_secret(found: os.stat_result, path: Path) -> None:
    """Ensure that nobody but the caller can read or change the secret key that `found` is of.

    Raises:
        ReleaseError: others can.
    """
    why = why_not_secret(found)
    if why is None:
        return
    raise ReleaseError(
        f"the secret key {path} {why}",
        code="SECRET-KEY-MODE",
        where=str(path),
        hint=HINT_FOR_SECRETS,
    )
