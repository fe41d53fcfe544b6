"""Who may sign packages, and which keys the systems that are made will trust.

Trusted are the keys of the platform (Void's two, which come with voidimg), those that the user
gives, and, where a lock is used, those that are in the lock. They add up: a private repository
stands beside Void's, and a system made from a private one alone can still be updated from Void.
All of them are put into every tree, as Void's own tools put both of Void's keys.

A repository is used only if the key named in its index is trusted, and each of its packages must
be signed by that very key. The index itself is unsigned: it merely names the key.

Why a lock may bring keys: it is an input that the user names, as a platform file is, which states
keys too. It decides which packages come in, byte for byte, so whoever may write it decides what the
image is. The keys in it are those that were given when it was made, as a whole: a repository of a
lock whose key is neither in the lock nor given nor the platform's is refused, before anything that
an earlier build made is looked up. A key that the platform has not is told of in each build.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from voidimg.errors import StoreError, VerifyError
from voidimg.fetch import Fetcher, Wanted
from voidimg.foreign import MAX_DOCUMENT_BYTES, read_regular
from voidimg.xbps.keys import PublicKey
from voidimg.xbps.shipped_keys import shipped_keys


@dataclass(frozen=True, slots=True)
class Trust:
    """The fingerprints that are trusted, and those of the keys that are at hand."""

    fingerprints: frozenset[str]
    keys: Mapping[str, PublicKey] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        key_files: Sequence[Path],
        fingerprints: Sequence[str],
        lock_keys: Sequence[PublicKey] = (),
    ) -> Trust:
        """Trust the platform's `fingerprints`, the keys in `key_files`, and those of a lock.

        Where the same key is there twice, with another text of whose it is, the lock's counts
        first and then what is shipped: what is put into a tree must not change with what is given.

        Raises:
            VerifyError: a file is not a key plist.
            StoreError: a file cannot be read.
        """
        shipped = shipped_keys()
        keys = {key.fingerprint: key for key in map(read_key, key_files)}
        keys |= {name: shipped[name] for name in fingerprints if name in shipped}
        keys |= {key.fingerprint: key for key in lock_keys}
        return cls(frozenset({*fingerprints, *keys}), keys)

    def of_tree(self, used: Iterable[PublicKey] = ()) -> tuple[PublicKey, ...]:
        """The keys that a tree trusts, by fingerprint: all at hand, and those `used` to verify.

        A fingerprint that the platform states alone becomes a key when a repository names it.
        """
        keys = {key.fingerprint: key for key in used} | dict(self.keys)
        return tuple(keys[name] for name in sorted(keys))

    def require(self, key: PublicKey | None, repository: str) -> PublicKey:
        """The key of that name which is trusted; `key` is the one that the repository names.

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
        return self.keys.get(key.fingerprint, key)  # not what an unsigned index says of it

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
                hint="if it is yours, give its key file with --repo-key; if it is Void's, its key"
                " was changed, which a newer voidimg knows, or this mirror is not what it seems",
            )


@dataclass(frozen=True, slots=True)
class RepositoryKey:
    """A key that the systems made from a recipe trust, for those who want to know beforehand.

    Attributes:
        fingerprint: its name, as XBPS has it.
        origin: ``platform`` or the key file.
        signed_by: whose it says it is; None if only the fingerprint is known. Then the key is put
            into a tree only if a repository that is used names it.
        bits: its size.
    """

    fingerprint: str
    origin: str
    signed_by: str | None = None
    bits: int | None = None

    def as_json(self) -> dict[str, object]:
        """The key as a JSON-ready mapping."""
        return asdict(self)


def repository_keys(
    fingerprints: Sequence[str], key_files: Sequence[Path] = ()
) -> tuple[RepositoryKey, ...]:
    """The keys that systems trust for whose platform states `fingerprints`, and the user's.

    Raises:
        VerifyError: a file is not a key plist.
        StoreError: a file cannot be read.
    """
    given = {read_key(path).fingerprint: str(path) for path in key_files}
    trust = Trust.of(key_files, fingerprints)
    origins = given | dict.fromkeys(fingerprints, "platform")
    return tuple(
        RepositoryKey(name, origins[name])
        if (key := trust.keys.get(name)) is None
        else RepositoryKey(name, origins[name], key.signed_by, key.bits)
        for name in sorted(origins)
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
        content = read_regular(path, MAX_DOCUMENT_BYTES)
    except OSError as error:
        raise StoreError(
            f"cannot read the key file {path}: {error.strerror}", code="IO", where=str(path)
        ) from error
    return PublicKey.from_plist(content, where=str(path))
