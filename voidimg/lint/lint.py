"""Makes the checks of an artifact, and says what they found."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from voidimg.errors import (
    LayoutError,
    LintError,
    PackageError,
    ToolError,
    UsageError,
    VoidimgError,
)
from voidimg.lint.model import Defect, LintCheck, LintReport
from voidimg.lint.set_checks import SET_CHECKS
from voidimg.lint.subject import Subject, open_subject
from voidimg.lint.table import CHECKS

_DAMAGE = (LayoutError, PackageError, ToolError)
"""What reading damaged things raises; a tool of the host fails on them, too."""

READABLE = "readable"
"""The id of what is wrong with an artifact that cannot be looked into at all."""
_READABLE_SAYS = "The artifact is of a kind that is known, whole and not damaged."


def lint_checks() -> tuple[tuple[str, str, str], ...]:
    """Id, severity and meaning of every check there is, in the order in which they are made."""
    rows = [(check.id, check.severity, check.says) for check in CHECKS]
    sets = [(check.id, check.severity, check.says) for check in SET_CHECKS]
    return ((READABLE, "error", _READABLE_SAYS), *rows, *sets)


def lint_artifact(
    path: Path,
    *,
    ignored: Collection[str] = (),
    deep: bool = True,
    scratch: Path | None = None,
) -> LintReport:
    """What the checks find in the artifact at `path`; what is damaged is a defect too.

    Args:
        path: a ROOTFS, PLATFORMFS or netboot tar, a disk image, plain or compressed, or an ISO.
        ignored: ids of checks that are not made.
        deep: read every byte: compare each file with its package, check filesystems to the end.
            Without it the report names the checks that were skipped.
        scratch: where a compressed image is unpacked for the while, as a sparse file; the system's
            directory for temporary files by default.

    Raises:
        StoreError: the artifact cannot be read, or `scratch` not be written.
        ToolError: mtools, debugfs, unsquashfs, or for `deep` fsck.vfat or e2fsck is missing.
        UsageError: there is no such check to ignore.
    """
    check_ignored(ignored)
    try:
        with open_subject(path, scratch) as subject:
            asked = [check for check in _applying(subject) if check.id not in ignored]
            made = [check for check in asked if deep or not check.deep]
            skipped = tuple(check.id for check in asked if check not in made)
            defects = [defect for check in made for defect in _defects(check, subject)]
            kind = subject.artifact.kind
    except _DAMAGE as error:
        _require_damage(error)
        return LintReport(str(path), "unknown", (READABLE,), (_unreadable(error, path),))
    ids = (READABLE, *(check.id for check in made))
    return LintReport(str(path), kind, ids, tuple(defects), skipped)


def check_ignored(ignored: Collection[str]) -> None:
    """Raise `UsageError` when there is no check of one of these ids."""
    known = {identifier for identifier, _, _ in lint_checks()}
    for identifier in sorted(set(ignored) - known):
        raise UsageError(
            f"there is no check {identifier}", code="LINT-CHECK", where=identifier,
            hint="voidimg lint --list names them all",
        )  # fmt: skip


def require_clean(reports: Sequence[LintReport]) -> None:
    """Raise `LintError` when an artifact has a defect that is an error; warnings are none."""
    failed = [report.path for report in reports if report.count("error")]
    if failed:
        raise LintError(
            f"{len(failed)} of {len(reports)} failed the checks: {', '.join(failed)}",
            code="DEFECTS",
            where=failed[0],
            hint="each defect says what to do; --ignore leaves out a check",
        )


def _require_damage(error: VoidimgError) -> None:
    """Raise `error` again when the host lacks something, which is no fault of the artifact."""
    if isinstance(error, ToolError) and error.code.endswith("MISSING"):
        raise error


def _applying(subject: Subject) -> Iterator[LintCheck]:
    """The checks that can be asked of `subject`.

    A damaged part makes a check fail, and not the question whether it applies.
    """
    for check in CHECKS:
        try:
            applies = check.applies(subject)
        except _DAMAGE as error:
            _require_damage(error)
            applies = True
        if applies:
            yield check


def _defects(check: LintCheck, subject: Subject) -> Iterator[Defect]:
    try:
        for problem in check.find(subject):
            yield Defect(check.id, check.severity, problem.object, problem.what, problem.hint)
    except _DAMAGE as error:
        _require_damage(error)
        hint = error.hint or "build it again"
        yield Defect(check.id, check.severity, error.where or "", error.what, hint)


def _unreadable(error: VoidimgError, path: Path) -> Defect:
    hint = error.hint or "compare its checksum, and fetch or build it again"
    return Defect(READABLE, "error", path.name, error.what, hint)
