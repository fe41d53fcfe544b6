"""What is in an image set already, and whether a build may put something in its place."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from voidimg.artifact_names import MANIFEST_NAME
from voidimg.errors import UsageError, VoidimgError, storing
from voidimg.foreign import open_regular, read_regular
from voidimg.signing.signed_sums import SIGNATURE_NAMES
from voidimg.supply.lock import MAX_LOCK_BYTES, Lock, LockedPackage


def require_unsigned(directory: Path) -> None:
    """Ensure that the image set in `directory`, if there is one, is not signed.

    Raises:
        UsageError: it is: what is added now would not be signed.
    """
    for name in SIGNATURE_NAMES:
        if os.path.lexists(directory / name):
            raise UsageError(
                f"the image set {directory} is signed, and its files must not change any more",
                code="SET-SIGNED",
                where=str(directory),
                hint="choose another --date or --out; with --into-signed it is changed all the"
                " same, and has to be signed again",
            )


def require_not_released(directory: Path) -> None:
    """Ensure that the image set in `directory`, if there is one, was not released as a whole.

    Raises:
        UsageError: it was: what is added now would not be in its manifest.
    """
    if os.path.lexists(directory / MANIFEST_NAME):
        raise UsageError(
            f"the image set {directory} was released as a whole, and its manifest lists its files",
            code="SET-RELEASED",
            where=str(directory),
            hint="choose another --date or --out; what belongs to the set is a row of its file",
        )


def require_same(target: Path, sha256: str) -> None:
    """Ensure that `target` is missing, or a file with this SHA-256.

    Raises:
        UsageError: it is something else.
        StoreError: it cannot be read.
    """
    if not os.path.lexists(target):
        return
    with storing(target, "read"), open_regular(target, follow=False) as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise different(target)


def different(target: Path) -> UsageError:
    """The error of a file that is in the set already and differs from what was built."""
    return UsageError(
        f"{target} is there already, and what was built is different",
        code="SET-DIFFERENT",
        where=str(target),
        hint="look at what changed; --replace puts the new file in its place, --out or --date"
        " writes it elsewhere",
    )


def lock_to_write(target: Path, lock: Lock, *, replace: bool) -> Lock | None:
    """The lock to write to `target`: `lock`, or None when what is there says all of it.

    A lock of fewer artifacts from the same packages is replaced by one of more.

    Raises:
        UsageError: there is a lock of other packages, or something else, and not `replace`.
        StoreError: it cannot be read.
    """
    if replace or not os.path.lexists(target):
        return lock
    with storing(target, "read"):
        content = read_regular(target, MAX_LOCK_BYTES, follow=False)
    try:
        before = _described(Lock.decode(content, str(target)))
    except VoidimgError:
        raise different(target) from None
    now = _described(lock)
    if any(before[key] != now[key] for key in before.keys() & now.keys()):
        raise different(target)
    if now.keys() <= before.keys():
        return None
    if before.keys() <= now.keys():
        return lock
    raise different(target)


def _described(lock: Lock) -> dict[tuple[str, str, str], object]:
    """What a lock says of each stage of each platform."""
    return {
        (one.platform, one.profile, name): (
            one.arch,
            stage.requests,
            [_told(package) for package in lock.packages if package.group == stage.group],
            one.files if name == "live" else (),
        )
        for one in lock.platforms
        for name, stage in one.stages.items()
    }


def _told(package: LockedPackage) -> tuple[str, str, str, bool]:
    return (package.pkgver, package.arch, package.sha256, package.automatic)
