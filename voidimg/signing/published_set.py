"""An image set on a server: where its signed checksums are, and what a mirror between two sets is.

``current`` is a link at the origin only. On mirrors it is a second copy, which changes file by file
(void-infrastructure, the flags of rsync), and caches may keep its signature for a year. So what is
believed are the checksums of the dated directory, which never change, and those of ``current`` are
compared with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from voidimg.artifact_names import MANIFEST_NAME, date_of_name
from voidimg.errors import FetchError, ReleaseError, UsageError, VerifyError, VoidimgError
from voidimg.events import Listener, Message
from voidimg.fetch.published import Published
from voidimg.identity import ReleaseDate
from voidimg.signing.keys import TrustedKey, date_in_comment, find_public_key
from voidimg.signing.signed_sums import (
    MAX_SIGNATURE_BYTES,
    SIGNATURE_NAMES,
    SignedSums,
    read_signature,
)
from voidimg.signing.sizes import signed_sizes
from voidimg.signing.sums import MAX_SUMS_BYTES, SIGNATURE_NAME, SUMS_NAME, decode_sums

CURRENT = "current"
MAX_MANIFEST_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class SumsPair:
    """Checksums and signature of a directory as they came: nobody has judged them."""

    sums: bytes
    signature: bytes
    signature_name: str = SIGNATURE_NAME

    @property
    def dates(self) -> tuple[str | None, str | None]:
        """Of which sets they say they are; None where one says no date, or several."""
        return date_of_sums(self.sums), date_of_signature(self.signature)


def date_of_sums(content: bytes) -> str | None:
    """The one date of the names in a checksum file that nobody has judged, or None."""
    try:
        dates = {date_of_name(name) for name in decode_sums(content, SUMS_NAME)} - {None}
    except VoidimgError:
        return None
    return next(iter(dates)) if len(dates) == 1 else None


def date_of_signature(content: bytes) -> str | None:
    """The date that a signature says which nobody has judged, or None."""
    try:
        return date_in_comment(read_signature(content, SIGNATURE_NAME).trusted_comment)
    except VoidimgError:
        return None


def read_pair(place: Published) -> SumsPair | None:
    """Checksums and signature in `place`; None where neither is.

    Raises:
        FetchError: the server does not answer properly.
        VerifyError: one of them is missing.
    """
    sums = place.read(SUMS_NAME, MAX_SUMS_BYTES)
    for name in SIGNATURE_NAMES:
        signature = place.read(name, MAX_SIGNATURE_BYTES)
        if signature is not None:
            break
    if sums is None and signature is None:
        return None
    if sums is None or signature is None:
        missing, there = (SUMS_NAME, name) if sums is None else (SIGNATURE_NAME, SUMS_NAME)
        raise VerifyError(
            f"{there} is there, but {missing} is missing",
            code="SUMS-MISSING" if sums is None else "SIGNATURE-MISSING",
            where=str(place),
            hint="the server is perhaps about to change: try again later, or use another mirror",
        )
    return SumsPair(sums, signature, name)


@dataclass(frozen=True, slots=True)
class PublishedSet:
    """An image set on a server.

    Attributes:
        place: the directory that was asked for.
        dated: the directory whose checksums count; it may be the same.
        sums: the signed checksums.
        signature: the bytes of their signature.
    """

    place: Published
    dated: Published
    sums: SignedSums
    signature: bytes


def open_set(
    place: Published, key: TrustedKey | None, listener: Listener, *, date: str | None = None
) -> PublishedSet:
    """The image set at `place`, its signature verified with `key`, None for that of its date.

    Args:
        place: a dated directory, ``current``, or any other that holds a set.
        key: the key.
        listener: is told what is odd.
        date: of the set, where it is known before: by the name of a file of it.

    Raises:
        FetchError: the server does not answer properly.
        VerifyError: something does not fit; ``E-VERIFY-BETWEEN``: the server is between two sets.
    """
    if date is not None and place.name != date:
        dated = place.parent.beneath(date)
        pair = read_pair(dated)
        if pair is not None:
            judged = _judged(dated, pair, key, date, listener)
            return PublishedSet(place, dated, judged, pair.signature)
    own = read_pair(place)
    if own is None:
        raise _no_set(place)
    said = own.dates[0] if date is None else date
    if said is not None and is_date(place.name) and place.name != said:
        raise VerifyError(
            f"this is the directory of {place.name}, but the files are of {said}",
            code="SIGNED-DATE",
            where=str(place),
            hint="do not use these images",
        )
    if said is None or place.name == said or is_date(place.name):
        return _here(place, own, key, said, listener)
    dated = place.parent.beneath(said)
    pair = read_pair(dated)
    if pair is None:
        if place.name == CURRENT:
            text = f"there is no directory {dated}; {place} is judged by its own checksums"
            listener(Message("warning", text))
        return _here(place, own, key, said, listener)
    sums = _judged(dated, pair, key, said, listener)
    if (own.sums, own.signature) != (pair.sums, pair.signature):
        raise between(place, own, said)
    return PublishedSet(place, dated, sums, pair.signature)


def _here(
    place: Published, own: SumsPair, key: TrustedKey | None, date: str | None, listener: Listener
) -> PublishedSet:
    """The set of a directory that is judged by what it has itself."""
    return PublishedSet(place, place, _judged(place, own, key, date, listener), own.signature)


def _judged(
    place: Published, pair: SumsPair, key: TrustedKey | None, date: str | None, listener: Listener
) -> SignedSums:
    """The checksums of `pair` if they are signed with the key of their date."""
    decode_sums(pair.sums, str(place.beneath(SUMS_NAME)))  # says what else it may be
    if date is None:
        raise VerifyError(
            f"{SUMS_NAME} lists files of no date, or of several",
            code="SUMS-DATES",
            where=str(place),
            hint="an image set has one date: use the dated directory of a mirror",
        )
    trusted = find_public_key(date, None) if key is None else key
    sums = SignedSums.judge(
        pair.sums,
        pair.signature,
        trusted,
        listener,
        sums_place=str(place.beneath(SUMS_NAME)),
        signature_place=str(place.beneath(pair.signature_name)),
    )
    if sums.date not in (None, date):
        raise VerifyError(
            f"the signature is for the set of {sums.date}, but the files are of {date}",
            code="SIGNED-DATE",
            where=str(place),
            hint="do not use these images",
        )
    if MANIFEST_NAME not in sums.digests:
        return sums
    manifest = place.read(MANIFEST_NAME, MAX_MANIFEST_BYTES)
    return replace(sums, sizes=signed_sizes(manifest or b"", sums.digests[MANIFEST_NAME]))


def between(place: Published, own: SumsPair, date: str) -> VerifyError:
    """The error of a directory whose checksums and signature are not both those of one set."""
    by_sums, by_signature = (said or "no date" for said in own.dates)
    if by_sums == by_signature:
        return VerifyError(
            f"{SUMS_NAME} and {SIGNATURE_NAME} are not those of the directory {date},"
            " though they say that date",
            code="OTHER-SUMS",
            where=str(place),
            hint="the mirror is about to change, or a file was changed: use the dated directory",
        )
    return VerifyError(
        f"this mirror is between two sets: {SUMS_NAME} is of {by_sums} and {SIGNATURE_NAME}"
        f" of {by_signature}",
        code="BETWEEN",
        where=str(place),
        hint=f"nothing is wrong with the images: use the directory {place.parent.beneath(date)}"
        ", or try again when the mirror has caught up",
    )


def is_date(name: str) -> bool:
    """Whether a directory called `name` is that of one date."""
    try:
        ReleaseDate.parse(name)
    except UsageError:
        return False
    return True


def _no_set(place: Published) -> VoidimgError:
    hint = "name the directory that holds the images, such as .../live/20240314 or .../live/current"
    try:
        if read_pair(place.beneath(CURRENT)) is not None:
            hint = f"the set that is current there is at {place.beneath(CURRENT)}"
    except (FetchError, VerifyError, ReleaseError):
        pass
    return VerifyError(
        f"there is no image set: no {SUMS_NAME} and no {SIGNATURE_NAME}",
        code="SUMS-MISSING",
        where=str(place),
        hint=hint,
    )
