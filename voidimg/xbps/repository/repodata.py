"""Repository indexes (``<arch>-repodata``): which packages a repository says it has.

An index is a compressed tar archive of ``index.plist``, ``index-meta.plist`` and ``stage.plist``,
named and ordered exactly so (xbps 0.60.7; the third may be missing). It is not signed: believe
nothing of it but what selects and locates a package.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

from voidimg.errors import PackageError, VerifyError
from voidimg.formats.compression import Stream
from voidimg.formats.tar_reader import TarReader
from voidimg.xbps import plist, tarwriter
from voidimg.xbps.keys import PublicKey
from voidimg.xbps.plist import PlistDict, PlistValue

MAX_BYTES = 256 * 2**20
"""Most bytes an index is decompressed to; that of Void for one architecture has 11 MiB."""
_NAMES = ("index.plist", "index-meta.plist", "stage.plist")
_NO_META = b"DEADBEEF"


@dataclass(frozen=True, slots=True)
class KeyMeta:
    """Who signs the packages of a repository: ``index-meta.plist``.

    Nothing of it is proven; it only says which of the trusted keys to verify with.
    """

    key: PublicKey
    signature_type: str = "rsa"

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the key, MD5 in pairs joined with colons."""
        return self.key.fingerprint

    @property
    def signed_by(self) -> str:
        """The free text that says whose key it is."""
        return self.key.signed_by


@dataclass(frozen=True, slots=True)
class Repodata:
    """A decoded index.

    `index` and `stage` map package names to entries: the properties of the package without
    pkgname, version and packaged-with, plus filename-size and filename-sha256. `meta` is None
    when the repository is not signed.
    """

    index: Mapping[str, PlistDict]
    stage: Mapping[str, PlistDict]
    meta: KeyMeta | None

    @classmethod
    def decode(cls, data: bytes, where: str) -> Repodata:
        """The index whose file has the bytes `data`.

        Every entry has a string pkgver whose name is the entry's key; no other property is
        checked.

        Args:
            data: the file, in any compression XBPS knows.
            where: the path or URL, for errors.

        Raises:
            PackageError: it is not an index XBPS would use, or an entry is impossible.
        """
        with TarReader(Stream(io.BytesIO(data), where=where, max_bytes=MAX_BYTES)) as reader:
            contents = _members(reader, where)
        return cls(
            index=_entries(contents[0], f"{where}: index.plist"),
            stage=_entries(contents[2], f"{where}: stage.plist"),
            meta=_meta(contents[1], f"{where}: index-meta.plist"),
        )

    def encode(self, level: int = 9) -> bytes:
        """The bytes of the file, zstd-compressed; equal contents give equal bytes.

        Args:
            level: of zstd, 1 to 22.
        """
        contents = (
            _document(self.index),
            b"" if self.meta is None else plist.encode(_meta_values(self.meta)),
            _document(self.stage),
        )
        return tarwriter.compressed(
            b"".join(
                tarwriter.file_header(name, len(content)) + tarwriter.padded(content)
                for name, content in zip(_NAMES, contents, strict=True)
            )
            + tarwriter.END,
            level,
        )


def _members(reader: TarReader, where: str) -> list[bytes]:
    contents: list[bytes] = []
    for expected in _NAMES:
        member = reader.next()
        if member is None and expected == "stage.plist":
            return [*contents, b""]
        if member is None or member.name != expected or member.kind != "file":
            found = "nothing" if member is None else repr(member.name)
            raise _unusable(f"{found} stands where {expected} must be", where)
        contents.append(reader.read(plist.MAX_BYTES))
    if (member := reader.next()) is not None:
        raise _unusable(f"{member.name!r} follows stage.plist", where)
    return contents


def _entries(data: bytes, where: str) -> dict[str, PlistDict]:
    if not data:
        return {}
    entries: dict[str, PlistDict] = {}
    for name, entry in plist.decode(data, where=where).items():
        pkgver = entry.get("pkgver") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(pkgver, str):
            raise _unusable(f"the entry {name!r} has no pkgver", where)
        if "/" in pkgver or "/" in str(entry.get("architecture", "")):
            raise _unusable(f"{pkgver!r} cannot be part of a file name", where)
        if pkgver.rpartition("-")[0] != name:
            raise _unusable(f"the entry {name!r} is for {pkgver!r}", where)
        entries[name] = entry
    return entries


def _meta(data: bytes, where: str) -> KeyMeta | None:
    if not data or data == _NO_META:
        return None
    values = plist.decode(data, where=where)
    if not values:
        return None
    try:
        key = PublicKey.from_values(values, where=where)
    except VerifyError as error:
        raise _unusable(f"the key is unusable: {error.what}", where) from error
    kind = values.get("signature-type", "rsa")
    return KeyMeta(key, kind if isinstance(kind, str) else "rsa")


def _meta_values(meta: KeyMeta) -> PlistDict:
    return {**meta.key.values(), "signature-type": meta.signature_type}


def _document(entries: Mapping[str, PlistDict]) -> bytes:
    values: dict[str, PlistValue] = dict(entries)
    return plist.encode(values) if values else b""


def _unusable(why: str, where: str) -> PackageError:
    return PackageError(
        f"not a usable repository index: {why}",
        code="REPODATA",
        where=where,
        hint="fetch the index again, or tell who runs the repository",
    )
