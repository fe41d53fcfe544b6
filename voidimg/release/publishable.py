"""Whether an image set may be published: signed, complete, of this project, and judged.

The signature covers ``sha256sum.txt``, that the manifest, and the manifest says what belongs to the
set and how it was judged. So everything is read from below the signature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from voidimg.artifact_names import MANIFEST_NAME
from voidimg.errors import ReleaseError, VoidimgError, raise_all
from voidimg.events import Listener, ignore
from voidimg.release.manifest import Manifest, SetFile, read_manifest
from voidimg.signing.keys import TrustedKey, find_public_key
from voidimg.signing.verify import Verified, verify_set


@dataclass(frozen=True, slots=True)
class PublishableSet:
    """An image set that may be published; `waivers` are in words, for people."""

    directory: Path
    manifest: Manifest
    verified: Verified
    waivers: tuple[str, ...]

    @property
    def date(self) -> str:
        """Of the set."""
        return self.manifest.date

    @property
    def digests(self) -> dict[str, str]:
        """File name -> SHA-256 in hex, as signed."""
        return {Path(file.path).name: file.sha256 for file in self.verified.files}


def require_publishable(
    directory: Path, key: TrustedKey | None = None, *, jobs: int = 1, listener: Listener = ignore
) -> PublishableSet:
    """The image set in `directory`, if it may be published; every byte of it is read.

    Args:
        directory: the dated directory.
        key: the public key; None for the one that belongs to the date.
        jobs: how many files are read at once.
        listener: gets the progress.

    Raises:
        ReleaseError: it is incomplete, not linted, not boot-tested, or not made by ``release``.
        VerifyError: it is not signed, or not as it was signed.
        StoreError: it cannot be read.
    """
    _require_directory(directory)
    date = directory.name
    trusted = find_public_key(date, directory) if key is None else key
    verified = verify_set(directory, trusted, jobs=jobs, listener=listener)
    manifest = read_manifest(directory)
    found = PublishableSet(directory, manifest, verified, tuple(_waivers(manifest)))
    raise_all(list(_problems(found)), f"the image set {date} is not to be published")
    return found


def _require_directory(directory: Path) -> None:
    if directory.is_dir() and not directory.is_symlink():
        return
    raise ReleaseError(
        f"there is no image set {directory}",
        code="NOT-A-SET",
        where=str(directory),
        hint="make one with: voidimg release SET --date DATE",
    )


def _waivers(manifest: Manifest) -> Iterator[str]:
    for artifact in manifest.artifacts:
        for one in artifact.waivers:
            yield f"{artifact.name}: {one.check} waived by {one.who}: {one.reason}"


def _problems(found: PublishableSet) -> Iterator[VoidimgError]:
    directory, manifest = found.directory, found.manifest
    if found.verified.date not in (None, directory.name) or manifest.date != directory.name:
        yield ReleaseError(
            f"the directory is called {directory.name}, but the set is of {manifest.date}",
            code="OTHER-DATE",
            where=str(directory),
            hint="one set has one date",
        )
    yield from _unlisted(found)
    for artifact in manifest.artifacts:
        for why in artifact.why_not_publishable():
            # the manifest knows two judges: the one whose words these are
            judge = "UNLINTED" if why == artifact.why_not_linted else "UNBOOTED"
            yield ReleaseError(
                f"{artifact.name}: {why}",
                code=judge,
                where=str(directory / artifact.name),
                hint="release the set again with its checks, or waive this one there",
            )


def _unlisted(found: PublishableSet) -> Iterator[ReleaseError]:
    """What the manifest lists and nobody signed, and what is signed and the manifest does not know.

    `verify_set` has made sure that what is signed is there, and nothing else is.
    """
    signed = found.digests
    listed = {one.name: one for one in found.manifest.files()}
    for name, one in listed.items():
        why = _why_not_there(one, signed.get(name), found.directory)
        if why is not None:
            yield ReleaseError(
                f"{name} belongs to the set, but {why}",
                code="INCOMPLETE",
                where=str(found.directory / name),
                hint="release the set again, and sign it anew",
            )
    for name in sorted(signed.keys() - listed.keys() - {MANIFEST_NAME}):
        yield ReleaseError(
            f"{name} was signed, but does not belong to the set",
            code="FOREIGN",
            where=str(found.directory / name),
            hint="take it out, and sign the set again",
        )


def _why_not_there(one: SetFile, sha256: str | None, directory: Path) -> str | None:
    if sha256 is None:
        return "it is not there"
    if sha256 != one.sha256 or (directory / one.name).lstat().st_size != one.size:
        return "the manifest means another file"
    return None
