"""The errors of voidimg: one class per class of failure, each with a stable code and exit status.

An error says what failed and on which object (`what`), where (`where`: file:line:col, URL,
pkgver or path) and what to do about it (`hint`). Library code raises these; it never prints and
never exits. Where the user can mend several things at once, the problems are collected in
`CollectedError`.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

_FULL_BYTES = 2**20
"""A disk with less room than this is full: nothing that programs write for us is smaller."""


_LOGIN = re.compile(r"(?i)(?:(?<=://)|(?<=\bhttps:/)|(?<=\bhttp:/)|(?<=\bftp:/))[^/\s]*@")
"""User name and password in a URL (RFC 3986, 3.2.1), also in one that was taken for a path."""


def without_passwords(text: str) -> str:
    """`text` with no user name, password and query in its URLs, as it may be shown and stored.

    A query holds signatures and tokens of those who may have what it names.
    """
    return _QUERY.sub(r"\1?...", _LOGIN.sub("", text)) if ":/" in text else text


_QUERY = re.compile(r"(?i)(\bhttps?:/+[^\s?#'\"]*)\?[^\s'\"]+")


class VoidimgError(Exception):
    """Anything voidimg can explain. `code` is stable text such as ``E-SPEC-UNKNOWN-KEY``.

    Whatever it quotes, it shows no password of a URL.
    """

    exit_status: ClassVar[int] = 1
    family: ClassVar[str] = "E"

    def __init__(self, what: str, *, code: str, where: str | None = None, hint: str | None = None):
        what = without_passwords(what)
        super().__init__(what)
        self.what = what
        self.where = None if where is None else without_passwords(where)
        self.hint = None if hint is None else without_passwords(hint)
        self.code = f"{self.family}-{code}"

    @property
    def sentence(self) -> str:
        """Where and what; only what, when that names the place already."""
        if self.where is None or _names(self.what, self.where):
            return self.what
        return f"{self.where}: {self.what}"

    def __str__(self) -> str:
        """One line a person can act on: where, what, the hint in brackets."""
        return self.sentence if self.hint is None else f"{self.sentence} ({self.hint})"

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross the border of the namespace worker, so they must survive pickling."""
        return (_restore, (type(self), self.__dict__.copy(), self.args))

    def as_json(self) -> dict[str, object]:
        """The error as a JSON-ready mapping: code, what, where, hint, exit_status."""
        return {
            "code": self.code,
            "what": self.what,
            "where": self.where,
            "hint": self.hint,
            "exit_status": self.exit_status,
        }


def _names(text: str, place: str) -> bool:
    """Whether `place` stands in `text` as a word, and not only as a part of a longer path."""
    return re.search(rf"(?<![\w./-]){re.escape(place)}(?![\w/-])", text) is not None


def _restore(
    cls: type[VoidimgError], state: dict[str, object], args: tuple[object, ...]
) -> VoidimgError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class UsageError(VoidimgError):
    """The command or call was wrong: a bad option value, an impossible combination."""

    exit_status = 2
    family = "E-USAGE"


class SpecError(VoidimgError):
    """A platform, profile or set file is wrong, or names something that does not exist."""

    exit_status = 3
    family = "E-SPEC"


class ResolveError(VoidimgError):
    """No consistent set of packages exists: missing, conflicting or contradictory."""

    exit_status = 4
    family = "E-RESOLVE"


class FetchError(VoidimgError):
    """A repository, mirror or URL could not be reached or did not answer properly."""

    exit_status = 5
    family = "E-FETCH"


class VerifyError(VoidimgError):
    """A signature, key or checksum does not fit."""

    exit_status = 6
    family = "E-VERIFY"


class PackageError(VoidimgError):
    """A package, plist or repository index is malformed or hostile."""

    exit_status = 7
    family = "E-PACKAGE"


class LayoutError(VoidimgError):
    """Content does not fit the disk, partition or filesystem that was asked for."""

    exit_status = 8
    family = "E-LAYOUT"


class SandboxError(VoidimgError):
    """The namespace, its id mapping or the emulator could not be set up."""

    exit_status = 9
    family = "E-SANDBOX"


class ScriptError(VoidimgError):
    """A package's script failed. `output` is what it wrote."""

    exit_status = 10
    family = "E-SCRIPT"

    def __init__(
        self,
        what: str,
        *,
        code: str,
        where: str | None = None,
        hint: str | None = None,
        output: str = "",
    ):
        super().__init__(what, code=code, where=where, hint=hint)
        self.output = output


class StoreError(VoidimgError):
    """The cache or the output directory could not be read or written."""

    exit_status = 11
    family = "E-STORE"


class DiskFullError(StoreError):
    """There is not enough room, either foreseen before work started or met on the way."""

    exit_status = 12
    family = "E-DISKFULL"


class ToolError(VoidimgError):
    """A program of the host is missing or failed."""

    exit_status = 13
    family = "E-TOOL"


class ReleaseError(VoidimgError):
    """An image set cannot be signed, verified as a set, or promoted."""

    exit_status = 14
    family = "E-RELEASE"


class BootTestError(VoidimgError):
    """An image did not boot, or the guest's answers were not what the platform states."""

    exit_status = 15
    family = "E-BOOT"


class LintError(VoidimgError):
    """An artifact or image set failed its offline checks."""

    exit_status = 16
    family = "E-LINT"


class DiagnosisError(VoidimgError):
    """What a build needs of this machine or of the repositories is missing; a report says what."""

    exit_status = 17
    family = "E-DOCTOR"


class CollectedError(VoidimgError):
    """Several problems of one class, so that all of them can be mended at once.

    `errors` is never empty. The exit status is that of the first.
    """

    family = "E-MANY"

    def __init__(self, what: str, errors: Sequence[VoidimgError]):
        super().__init__(what, code="ERRORS")
        self.errors = tuple(errors)

    @property
    def first_exit_status(self) -> int:
        """The exit status of the first problem."""
        return self.errors[0].exit_status

    def __str__(self) -> str:
        """The problems, one a line."""
        return "\n".join(str(error) for error in self.errors)

    def as_json(self) -> dict[str, object]:
        """The group as a JSON-ready mapping with every error in `errors`."""
        return {
            **super().as_json(),
            "exit_status": self.first_exit_status,
            "errors": [error.as_json() for error in self.errors],
        }


def one_or_many(errors: Sequence[VoidimgError], what: str) -> VoidimgError:
    """The one error of `errors`, or a `CollectedError` of them all that says `what`, to raise.

    >>> one_or_many([UsageError("no", code="A")], "not used").code
    'E-USAGE-A'
    """
    return errors[0] if len(errors) == 1 else CollectedError(what, errors)


def raise_all(errors: Sequence[VoidimgError], what: str) -> None:
    """Raise the one error of `errors`, or all of them as one that says `what`; nothing for none."""
    if errors:
        raise one_or_many(errors, what)


def every_error(error: VoidimgError) -> tuple[VoidimgError, ...]:
    """The errors that `error` consists of: those of a `CollectedError`, else itself."""
    return error.errors if isinstance(error, CollectedError) else (error,)


def exit_status_of(error: VoidimgError) -> int:
    """The documented exit status for `error` (README, "Exit status")."""
    return every_error(error)[0].exit_status


@contextmanager
def storing(path: Path, action: str) -> Iterator[None]:
    """Map `OSError` while writing `path` to `StoreError`, ENOSPC and EDQUOT to `DiskFullError`.

    `action` completes the sentence "cannot <action> <path>".
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                f"the disk is full: cannot {action} {path}",
                code="FULL",
                where=str(path),
                hint="free some space, or choose another --cache and --out directory",
            ) from error
        raise StoreError(
            f"cannot {action} {path}: {error.strerror or error}",
            code="IO",
            where=str(path),
            hint=getattr(error, "hint", None)
            or "check that the directory exists and belongs to you",
        ) from error


@contextmanager
def full_disk_told(directory: Path) -> Iterator[None]:
    """Turn the failure of a program or script into `DiskFullError` if `directory` has no room left.

    Many programs only say that they could not write: a write that ends early has no reason to give.
    To be used around the program alone, where what it wrote is not removed yet.
    """
    try:
        yield
    except (ToolError, ScriptError) as error:
        said = os.strerror(errno.ENOSPC) in error.what
        failed = error.code in ("E-TOOL-FAILED", "E-SCRIPT-BROKE-DOWN")
        if not failed or not (said or _free_bytes(directory) < _FULL_BYTES):
            raise
        raise DiskFullError(
            f"the disk is full: {error.what}",
            code="FULL",
            where=str(directory),
            hint="free some space, or choose another --cache and --out directory",
        ) from error


def _free_bytes(directory: Path) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize
