"""What goes out with a signed image set beside the set itself: small files for people and scripts.

* ``void-release-DATE.pub``: the public key, as the package void-release-keys installs it.
* ``void-release-DATE.current.json``: what ``promote`` publishes as ``current.json``.
* ``void-release-DATE.download.yml``: the line from which the download page makes its links
  (void-linux.github.io, ``_config.yml``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import minisign

from voidimg.atomic import replace_by_bytes, require_writable, write_new
from voidimg.errors import ReleaseError, StoreError, VerifyError
from voidimg.identity import ReleaseDate
from voidimg.signing.keys import key_id_of, read_public_key
from voidimg.signing.sums import SIGNATURE_NAME, SUMS_NAME


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of a set: its size in bytes, and its signed SHA-256 in hex."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Announcement:
    """The files that were written, the line of the key, and that of the download page."""

    public_key_path: Path
    current_path: Path
    download_path: Path
    public_line: str
    download_line: str


def current_json(date: str, files: Iterable[ListedFile], signature: str = SIGNATURE_NAME) -> bytes:
    """The bytes of ``current.json``: which set it is, where it is, and what is in it, for scripts.

    Nobody signs the file: it says where to look, and the signature there what is true.
    """
    listed = sorted(files, key=lambda one: os.fsencode(one.name))
    said = {
        "schema": 1,
        "date": date,
        "directory": date,
        "sums": SUMS_NAME,
        "signature": signature,
        "files": [{"name": one.name, "sha256": one.sha256, "size": one.size} for one in listed],
    }
    return (json.dumps(said, indent=1, sort_keys=True) + "\n").encode("ascii")


def download_line(date: ReleaseDate) -> str:
    """The line of the download page's configuration that says of when the images are.

    >>> download_line(ReleaseDate.parse("20240314"))
    'download_build_date: 2024-03-14'
    """
    return f"download_build_date: {date.day.isoformat()}"


def public_key_of(secret: minisign.SecretKey) -> minisign.PublicKey:
    """The public key of a secret one that is open, with the comment of minisign."""
    public = secret.get_public_key()
    public.untrusted_comment = f"minisign public key {key_id_of(public)}"
    return public


def require_announceable(
    directory: Path, date: ReleaseDate, public: minisign.PublicKey
) -> Path | None:
    """Ensure that the set of `date`, signed with `public`, can be announced in `directory`.

    Gives the path of the public key if it has to be written; None if it is there.

    Raises:
        ReleaseError: another key of this name is there.
        StoreError: the directory cannot be written, or a file not be read.
    """
    if not directory.is_dir():
        raise StoreError(
            f"there is no directory {directory}", code="IO", where=str(directory), hint="make it"
        )
    try:
        require_writable(directory)
    except StoreError as error:
        raise StoreError(
            error.what,
            code="IO",
            where=str(directory),
            hint="name another place for the public key and what else goes out: --announce DIR",
        ) from error
    path = directory / f"void-release-{date}.pub"
    if not os.path.lexists(path):
        return path
    try:
        found = read_public_key(path).key.to_base64()
    except VerifyError:
        found = b""
    if found != public.to_base64():
        raise ReleaseError(
            f"{path} is another key than the one that signs",
            code="PUBLIC-KEY",
            where=str(path),
            hint="a set has one key: move that one away, or name another place with --announce",
        )
    return None


def announce(
    directory: Path, date: ReleaseDate, public: minisign.PublicKey, files: Iterable[ListedFile]
) -> Announcement:
    """Write into `directory` what goes out with the set of `date`; the same bytes each time.

    Raises:
        ReleaseError: another key of this name is there.
        StoreError, DiskFullError: it cannot be written.
    """
    new_key = require_announceable(directory, date, public)
    stem = directory / f"void-release-{date}"
    made = Announcement(
        public_key_path=stem.with_name(f"{stem.name}.pub"),
        current_path=stem.with_name(f"{stem.name}.current.json"),
        download_path=stem.with_name(f"{stem.name}.download.yml"),
        public_line=public.to_base64().decode("ascii"),
        download_line=download_line(date),
    )
    if new_key is not None:
        _write_key(new_key, bytes(public) + b"\n")
    replace_by_bytes(made.current_path, current_json(str(date), files))
    replace_by_bytes(made.download_path, f"{made.download_line}\n".encode("ascii"))
    return made


def _write_key(path: Path, content: bytes) -> None:
    try:
        write_new(path, content, 0o644)
    except FileExistsError:
        raise ReleaseError(
            f"{path} was made by somebody else in the meantime",
            code="PUBLIC-KEY",
            where=str(path),
            hint="sign again",
        ) from None
