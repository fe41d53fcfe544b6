"""RSA keys of XBPS repositories: fingerprints, key files, package signatures.

A package's ``.sig2`` is RSASSA-PKCS1-v1_5 with SHA-256 over the bytes of the ``.xbps`` file, and
nothing else (xbps 0.60.7; the older ``.sig`` is not read any more). Keys are trusted through files
``var/db/xbps/keys/<fingerprint>.plist``; the fingerprint is what ``ssh-keygen -E md5`` prints.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from voidimg.atomic import write_new
from voidimg.errors import PackageError, StoreError, VerifyError
from voidimg.foreign import HINT_FOR_SECRETS, open_regular, read_regular, why_not_secret
from voidimg.xbps import plist
from voidimg.xbps.plist import PlistDict

MIN_BITS = 2048
"""Smaller keys are refused: 1024-bit RSA can be broken. Void's key has 4096 bits."""
MAX_BITS = 16384
"""Larger keys are refused: they only cost time."""
MAX_KEY_FILE_BYTES = 256 * 1024

_SHA256 = Prehashed(hashes.SHA256())


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A repository's public key, as an index names it or a key file holds it.

    `pem` are the bytes as they were found (SubjectPublicKeyInfo PEM with final newline),
    `signed_by` is the free text that says whose key it is; it proves nothing.
    """

    pem: bytes
    signed_by: str
    fingerprint: str
    bits: int
    _key: rsa.RSAPublicKey = field(repr=False, compare=False)

    @classmethod
    def from_pem(cls, pem: bytes, *, signed_by: str = "", where: str = "public key") -> PublicKey:
        """The key in `pem` (``BEGIN PUBLIC KEY`` or ``BEGIN RSA PUBLIC KEY``).

        Raises:
            VerifyError: not a key, not RSA, or of a size that is not accepted.
        """
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise VerifyError(
                "not a public key in PEM form",
                code="KEY",
                where=where,
                hint="expected a block that begins with -----BEGIN PUBLIC KEY-----",
            ) from error
        return _public(key, pem, signed_by, where)

    @classmethod
    def from_plist(cls, data: bytes, *, where: str) -> PublicKey:
        """The key in a file ``<fingerprint>.plist``, which may be gzip-compressed.

        Raises:
            VerifyError: the file is damaged, incomplete, or its key is not accepted.
        """
        try:
            values = plist.decode(_plain(data, where), where=where, max_bytes=MAX_KEY_FILE_BYTES)
        except PackageError as error:
            raise VerifyError(
                f"not a key file: {error.what}",
                code="KEY-FILE",
                where=where,
                hint="give a file like those in /var/db/xbps/keys",
            ) from error
        return cls.from_values(values, where=where)

    @classmethod
    def from_values(cls, values: PlistDict, *, where: str) -> PublicKey:
        """The key in a decoded key file or ``index-meta.plist``.

        Raises:
            VerifyError: `public-key`, `public-key-size` or `signature-by` is missing or wrong.
        """
        pem = values.get("public-key")
        bits = values.get("public-key-size")
        signed_by = values.get("signature-by")
        if not isinstance(pem, bytes) or not isinstance(signed_by, str) or type(bits) is not int:
            raise VerifyError(
                "the key is incomplete: public-key, public-key-size and signature-by are needed",
                code="KEY-FILE",
                where=where,
                hint="give a file like those in /var/db/xbps/keys",
            )
        key = cls.from_pem(pem, signed_by=signed_by, where=where)
        if key.bits != bits:
            raise VerifyError(
                f"the key has {key.bits} bits, not the {bits} it is said to have",
                code="KEY-SIZE",
                where=where,
            )
        return key

    def __reduce__(self) -> tuple[object, ...]:
        return (_read_again, (self.pem, self.signed_by))

    def plist(self) -> bytes:
        """The bytes of ``var/db/xbps/keys/<fingerprint>.plist`` that make XBPS trust this key."""
        return plist.encode(self.values())

    def values(self) -> PlistDict:
        """`public-key`, `public-key-size` and `signature-by`, as key files hold them."""
        return {
            "public-key": self.pem,
            "public-key-size": self.bits,
            "signature-by": self.signed_by,
        }

    def verify(self, path: Path, signature: bytes) -> None:
        """Ensure that `signature` (the bytes of the ``.sig2``) signs the file `path`.

        Raises:
            VerifyError: it does not, or the file cannot be read.
        """
        self.verify_digest(_sha256(path), signature, where=str(path))

    def verify_digest(self, sha256: bytes, signature: bytes, *, where: str) -> None:
        """Ensure that `signature` signs the file whose SHA-256 is `sha256` (32 bytes).

        For those who hashed the file already while it was fetched.

        Raises:
            VerifyError: it does not.
        """
        try:
            self._key.verify(signature, sha256, padding.PKCS1v15(), _SHA256)
        except InvalidSignature:
            raise VerifyError(
                f"the signature does not fit the key {self.fingerprint}",
                code="SIGNATURE",
                where=where,
                hint="the file was damaged or changed, or is signed with a key that the repository"
                " had before: try another mirror",
            ) from None


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs packages."""

    _key: rsa.RSAPrivateKey = field(repr=False)

    @staticmethod
    def is_encrypted(path: Path) -> bool:
        """Whether the file `path` looks like a key that needs a passphrase.

        Raises:
            StoreError: the file cannot be read.
        """
        data = _read(path)
        return b"BEGIN ENCRYPTED" in data or b"Proc-Type: 4,ENCRYPTED" in data

    @classmethod
    def read(cls, path: Path, passphrase: str | None = None, *, secret: bool = False) -> PrivateKey:
        """The RSA key in the PEM file `path` (PKCS#1 or PKCS#8).

        Args:
            path: the file.
            passphrase: opens the key.
            secret: refuse a key that others than the caller can read or change.

        Raises:
            StoreError: the file cannot be read.
            VerifyError: it is not such a key, the passphrase is wrong or missing, or the key is no
                secret.
        """
        content = _read(path)
        if secret and (why := why_not_secret(path.stat())) is not None:
            raise VerifyError(
                f"the secret key {path} {why}",
                code="KEY-MODE",
                where=str(path),
                hint=HINT_FOR_SECRETS,
            )
        return cls.from_pem(content, passphrase, where=str(path))

    @classmethod
    def from_pem(
        cls, data: bytes, passphrase: str | None = None, *, where: str = "private key"
    ) -> PrivateKey:
        """The RSA key in `data`; raises as `read` does."""
        secret = None if passphrase is None else passphrase.encode("utf-8", "surrogateescape")
        try:
            key = serialization.load_pem_private_key(data, secret)
        except TypeError as error:
            raise VerifyError(
                "the key needs a passphrase" if secret is None else "the key has no passphrase",
                code="KEY-PASSPHRASE",
                where=where,
                hint="set XBPS_PASSPHRASE exactly when the key is encrypted",
            ) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise VerifyError(
                "not a private key in PEM form, or the passphrase is wrong",
                code="KEY",
                where=where,
                hint="make one with: voidimg repo keygen FILE"
                if secret is None
                else "check the passphrase; a key is made by: voidimg repo keygen FILE",
            ) from error
        if not isinstance(key, rsa.RSAPrivateKey):
            raise _not_rsa(where)
        _check_size(key.key_size, where)
        return cls(key)

    def public(self, signed_by: str = "") -> PublicKey:
        """The public half, attributed to `signed_by`."""
        key = self._key.public_key()
        pem = key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return _public(key, pem, signed_by, "private key")

    def sign_file(self, path: Path) -> bytes:
        """The bytes of the ``.sig2`` of `path`; the same file gives the same bytes.

        Raises:
            VerifyError: the file cannot be read.
        """
        return self._key.sign(_sha256(path), padding.PKCS1v15(), _SHA256)


def create_repository_key(
    path: Path, bits: int = 4096, passphrase: str | None = None
) -> PrivateKey:
    """A new private key, written to `path` (PKCS#8 PEM, mode 0600), which must not exist.

    Raises:
        VerifyError: `bits` is not between 2048 and 16384.
        StoreError: the file exists or cannot be written.
    """
    _check_size(bits, str(path))
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = _encryption(passphrase, str(path))
    try:
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
    except ValueError as error:  # longer than OpenSSL takes
        raise VerifyError(
            f"the passphrase cannot be used: {error}", code="KEY-PASSPHRASE", where=str(path)
        ) from error
    try:
        write_new(path, pem, 0o600)
    except FileExistsError:
        raise StoreError(
            f"{path} exists already and is never overwritten",
            code="EXISTS",
            where=str(path),
            hint="move the old key away to make another",
        ) from None
    return PrivateKey(key)


def _encryption(passphrase: str, where: str) -> serialization.KeySerializationEncryption:
    try:
        return serialization.BestAvailableEncryption(passphrase.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise VerifyError(
            "the passphrase is not UTF-8", code="KEY-PASSPHRASE", where=where
        ) from error


def _read_again(pem: bytes, signed_by: str) -> PublicKey:
    """How a key crosses to another process: the library's own object cannot."""
    return PublicKey.from_pem(pem, signed_by=signed_by)


def _public(key: object, pem: bytes, signed_by: str, where: str) -> PublicKey:
    if not isinstance(key, rsa.RSAPublicKey):
        raise _not_rsa(where)
    _check_size(key.key_size, where)
    return PublicKey(pem, signed_by, _fingerprint(key), key.key_size, key)


def _fingerprint(key: rsa.RSAPublicKey) -> str:
    """MD5 of the SSH public key blob: a name, not a protection (RFC 4253, section 6.6)."""
    numbers = key.public_numbers()
    blob = b"".join(
        len(part).to_bytes(4, "big") + part
        for part in (b"ssh-rsa", _mpint(numbers.e), _mpint(numbers.n))
    )
    return hashlib.md5(blob, usedforsecurity=False).digest().hex(":")


def _mpint(number: int) -> bytes:
    """A positive integer as in RFC 4251: big endian, first bit clear."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _check_size(bits: int, where: str) -> None:
    if not MIN_BITS <= bits <= MAX_BITS:
        raise VerifyError(
            f"RSA keys of {bits} bits are not accepted",
            code="KEY-SIZE",
            where=where,
            hint=f"use {MIN_BITS} to {MAX_BITS} bits, best 4096",
        )


def _not_rsa(where: str) -> VerifyError:
    return VerifyError(
        "XBPS signs with RSA only, and this is another kind of key", code="KEY", where=where
    )


def _plain(data: bytes, where: str) -> bytes:
    """`data` decompressed if it is gzip, at most a sane key file's size."""
    if data[:2] != b"\x1f\x8b":
        return data
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(data, MAX_KEY_FILE_BYTES + 1)
    except zlib.error as error:
        raise VerifyError("damaged gzip data", code="KEY-FILE", where=where) from error
    if not inflater.eof:
        raise VerifyError("truncated or too large", code="KEY-FILE", where=where)
    return plain


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_KEY_FILE_BYTES)
    except OSError as error:
        raise StoreError(
            f"cannot read the key {path}: {error.strerror}", code="IO", where=str(path)
        ) from error


def _sha256(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise VerifyError(
            f"cannot read {path}: {error.strerror}", code="UNREADABLE", where=str(path)
        ) from error
