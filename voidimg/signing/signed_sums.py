"""The signed checksums of an image set, wherever they came from: judged before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import minisign

from voidimg.artifact_names import date_of_name
from voidimg.errors import VerifyError, raise_all
from voidimg.events import Listener, Message
from voidimg.signing.keys import TrustedKey, date_in_comment, key_id_of
from voidimg.signing.recognise import Kind, kind_of
from voidimg.signing.sums import SIGNATURE_NAME, SUMS_NAME, decode_sums
from voidimg.suggest import VERY_CLOSE, nearest

SIGNATURE_NAMES = (SIGNATURE_NAME, f"{SUMS_NAME}.minisig")
"""Void's name, and the one that the minisign program chooses by itself."""

MAX_SIGNATURE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class SignedSums:
    """A checksum file whose signature is by `key`, and what it lists: name -> SHA-256 in hex.

    `comment` is the trusted comment of the signature. `sizes` are in bytes, of the files whose
    size something signed tells.
    """

    content: bytes
    digests: Mapping[str, str]
    key: TrustedKey
    comment: str
    sizes: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def judge(
        cls,
        content: bytes,
        signature: bytes,
        key: TrustedKey,
        listener: Listener,
        *,
        sums_place: str,
        signature_place: str,
    ) -> SignedSums:
        """The checksum file `content` if `signature` is by `key`, and the key one of its date.

        The places are paths or URLs, for errors.

        Raises:
            VerifyError: something does not fit.
        """
        read = read_signature(signature, signature_place)
        verify_signature(content, read, key, sums_place)
        digests = decode_sums(content, sums_place)
        comment = read.trusted_comment
        date = date_in_comment(comment)
        if date is None:
            listener(Message("warning", f"the signature names no date; it says: {comment!r}"))
        if key.others:
            told = ", ".join(key.others)
            listener(Message("warning", f"other keys of the same name are left aside: {told}"))
        _require_date_of_key(key, date, sums_place)
        valid = date or key.date
        problems = [
            VerifyError(
                f"the key is only valid for images of {valid}, but {name} is listed",
                code="SIGNED-DATE",
                where=sums_place,
                hint="each set has its own key: do not use these images",
            )
            for name in digests
            if valid is not None and date_of_name(name) not in (None, valid)
        ]
        raise_all(problems, "images of another date are listed")
        return cls(content, digests, key, comment)

    @property
    def date(self) -> str | None:
        """The date that the signature says; None when it says something else."""
        return date_in_comment(self.comment)

    def why_unlisted(self, name: str, where: str) -> VerifyError | None:
        """The error of a file called `name`, at `where`, that is not listed; None when it is."""
        if name in self.digests:
            return None
        packed = [one for one in self.digests if one.rpartition(".")[0] == name]
        close = nearest(name, self.digests, ratio=VERY_CLOSE)
        hint = "is it from another set?"
        if packed:
            hint = f"{packed[0]} was signed, not what is unpacked from it: verify that, then unpack"
        elif close:
            hint = f"give it back its name if it is {close[0]}"
        return VerifyError(
            f"{name} is not among the signed files", code="NOT-LISTED", where=where, hint=hint
        )


def _require_date_of_key(key: TrustedKey, date: str | None, sums_place: str) -> None:
    """Raise when a key is for the set of one date and the signature for that of another."""
    if key.date is None or date is None or key.date == date:
        return
    raise VerifyError(
        f"this key is for the set of {key.date}, but signed that of {date}",
        code="KEY-OTHER-DATE",
        where=sums_place,
        hint=f"each set has its own key: get void-release-{date}.pub; do not use these images"
        " unless it fits",
    )


def why_other_size(name: str, found: int, signed: int, where: str) -> VerifyError | None:
    """The error of a file of `found` bytes when `signed` bytes were signed; None for as many."""
    if found == signed:
        return None
    longer = found > signed
    return VerifyError(
        f"{name} is {'longer' if longer else 'shorter'} than what was signed:"
        f" it has {found} bytes, not {signed}",
        code="LONGER" if longer else "SHORTER",
        where=where,
        hint="it is not the file that was signed: get it again"
        if longer
        else "the download did not finish: get it again",
    )


def other_bytes(name: str, where: str, size: int | None) -> VerifyError:
    """The error of a file whose SHA-256 differs; `size`: bytes of both, None if nobody knows."""
    same = "" if size is None else f", though it has all {size} bytes"
    return VerifyError(
        f"{name} has other bytes than the file that was signed: its SHA-256 differs{same}",
        code="CHECKSUM",
        where=where,
        hint="do not use it; download it again, from another mirror",
    )


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
    content: bytes, signature: minisign.Signature, key: TrustedKey, where: str
) -> None:
    """Check that `signature` is by `key`, over `content`, the file at `where`, a path or URL.

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
        f"the signature does not fit: {where.rpartition('/')[2]} {what}",
        code=code,
        where=where,
        hint=hint,
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
    others = f"; if you trust it more, name another with --key: {', '.join(key.others)}"
    return VerifyError(
        f"the signature is by the key {signed_by}, not by {key.key_id}",
        code="KEY-OTHER",
        where=key.source,
        hint="compare the line of the key with the one in the announcement of the set"
        + (others if key.others else ""),
    )
