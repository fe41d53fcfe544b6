"""Who may sign packages: key files the user gave, else the fingerprints of the platform.

A repository is used only if the key named in its index is trusted, and each of its packages must
be signed by that very key. The index itself is unsigned: it merely names the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voidimg.errors import StoreError, VerifyError
from voidimg.fetch import Fetcher, Wanted
from voidimg.xbps.keys import PublicKey


@dataclass(frozen=True, slots=True)
class Trust:
    """The fingerprints that are trusted, and those of the keys that are at hand."""

    fingerprints: frozenset[str]
    keys: Mapping[str, PublicKey] = field(default_factory=dict)

    @classmethod
    def of(cls, key_files: Sequence[Path], fingerprints: Sequence[str]) -> Trust:
        """Trust `key_files` if there are any, else `fingerprints` (the platform's own).

        Raises:
            VerifyError: a file is not a key plist.
            StoreError: a file cannot be read.
        """
        if not key_files:
            return cls(frozenset(fingerprints))
        keys = {key.fingerprint: key for key in map(read_key, key_files)}
        return cls(frozenset(keys), keys)

    def require(self, key: PublicKey | None, repository: str) -> PublicKey:
        """The repository's `key`, if it is trusted.

        Raises:
            VerifyError: the repository is unsigned, or signed with a key nobody vouched for.
        """
        if key is None:
            raise VerifyError(
                "the repository is not signed",
                code="UNSIGNED",
                where=repository,
                hint="sign it: voidimg repo sign DIR --key KEY",
            )
        self.require_fingerprint(key.fingerprint, repository, key.signed_by)
        return key

    def require_fingerprint(self, fingerprint: str, repository: str, signed_by: str = "") -> None:
        """Ensure that the key is trusted.

        Raises:
            VerifyError: nobody vouched for it.
        """
        if fingerprint not in self.fingerprints:
            by = f" by {signed_by!r}" if signed_by else ""
            raise VerifyError(
                f"the repository is signed{by} with the key {fingerprint}, which is not trusted",
                code="UNTRUSTED-KEY",
                where=repository,
                hint="if it is yours, give its key file with --repo-key",
            )


@dataclass(frozen=True, slots=True)
class SignedPackage:
    """A package that is to be fetched, and the key that must have signed it."""

    wanted: Wanted
    key: PublicKey


def fetch_verified(fetcher: Fetcher, packages: Sequence[SignedPackage]) -> dict[str, Path]:
    """Fetch `packages` and check their signatures; returns SHA-256 -> file.

    A mirror with a signature that does not fit is left, like one with another file.

    Raises:
        FetchError: a package or its signature cannot be had.
        VerifyError: a package has another SHA-256, or its signature does not fit.
    """
    keys = {package.wanted: package.key for package in packages}
    wanted = list(keys)
    files = fetcher.fetch(wanted)

    def check(package: Wanted, signature: bytes, where: str) -> None:
        # the file was hashed just now, when it was fetched or found in the cache
        keys[package].verify_digest(bytes.fromhex(package.sha256), signature, where=where)

    fetcher.signatures(wanted, check)
    return files


def read_key(path: Path) -> PublicKey:
    """The key in the key plist `path`.

    Raises:
        VerifyError: it is not a key plist.
        StoreError: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"cannot read the key file {path}: {error.strerror}", code="IO", where=str(path)
        ) from error
    return PublicKey.from_plist(content, where=str(path))
