"""How sure it is that an image is what its maker published: by the checksums that lie beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voidimg.artifact_names import date_of_name
from voidimg.errors import VerifyError, storing
from voidimg.events import Listener, ignore, step
from voidimg.foreign import read_regular
from voidimg.signing.keys import find_public_key, read_public_key
from voidimg.signing.signed_sums import SIGNATURE_NAMES
from voidimg.signing.sums import (
    MAX_SUMS_BYTES,
    SUMS_NAME,
    decode_sums,
    digest_files,
)
from voidimg.signing.verify import verify_files


@dataclass(frozen=True, slots=True)
class Assurance:
    """What is known of an image: `kind`, and that in a sentence for a person.

    ``signed``: it is what the holder of a trusted key signed. ``checksum``: it is what a checksum
    beside it says, which anybody could have put there. ``none``: nothing is known.
    """

    kind: Literal["signed", "checksum", "none"]
    sentence: str


def assure(
    paths: Sequence[Path], key: str | None, *, unverified: bool = False, listener: Listener = ignore
) -> Assurance:
    """Verify `paths`, files of one directory, by what is beside them.

    Args:
        paths: the image, and its block map where that is used.
        key: the public key or its file; by default the one of the date of the image.
        unverified: look at nothing.
        listener: is told of steps.

    Raises:
        VerifyError: they are not what was signed, or the signature cannot be checked, or a key is
            given and nothing is signed.
    """
    image = paths[0]
    if unverified:
        return Assurance("none", f"{image.name} was not verified, as you asked")
    has_sums = os.path.lexists(image.parent / SUMS_NAME)
    has_signature = any(os.path.lexists(image.parent / name) for name in SIGNATURE_NAMES)
    if has_signature or key is not None:
        return _signed(paths, key, listener)
    if has_sums:
        return _by_sums(paths, listener)
    return Assurance(
        "none",
        f"nothing says who made {image.name}: there is no {SUMS_NAME} with a signature beside it",
    )


def _signed(paths: Sequence[Path], key: str | None, listener: Listener) -> Assurance:
    image = paths[0]
    date = date_of_name(image.name)
    if key is None and date is None:
        raise VerifyError(
            f"{SUMS_NAME} beside {image.name} is signed, but no date in its name says by which key",
            code="KEY-MISSING",
            where=str(image),
            hint="name the key with --key, or give --unverified",
        )
    by_date = date or ""
    trusted = find_public_key(by_date, image.parent) if key is None else read_public_key(key)
    (verified,) = verify_files(paths, trusted, listener=listener)
    return Assurance(
        "signed",
        f"{image.name} is what was signed by {verified.key_id} ({verified.trusted_comment})",
    )


def _by_sums(paths: Sequence[Path], listener: Listener) -> Assurance:
    place = paths[0].parent / SUMS_NAME
    with storing(place, "read"):
        listed = decode_sums(read_regular(place, MAX_SUMS_BYTES, follow=False), str(place))
    with step(listener, "verify checksums"):
        digests = digest_files(paths, step="verify checksums", listener=listener)
    for path, digest in zip(paths, digests, strict=True):
        if listed.get(path.name) != digest.sha256:
            what = "is another" if path.name in listed else "is not listed"
            raise VerifyError(
                f"the SHA-256 of {path.name} {what} in {SUMS_NAME}",
                code="CHECKSUM" if path.name in listed else "NOT-LISTED",
                where=str(path),
                hint="get it again, or give --unverified if it is meant to be another",
            )
    return Assurance(
        "checksum",
        f"{paths[0].name} is whole by its checksum, but {SUMS_NAME} is not signed: anybody could"
        " have made both",
    )
