"""Lint and boot tests of the artifacts of a release: each judges the very file that is listed.

A result is kept under the SHA-256 of the file, so a run that was killed goes on behind it, and a
file that did not change is not booted again. A failed boot is not kept: machines are busy.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock as Mutex
from typing import Literal

from voidimg.artifacts.registry import KINDS
from voidimg.errors import ReleaseError, UsageError, VoidimgError, raise_all
from voidimg.events import Event, Listener, Message, step
from voidimg.fetch import Cache
from voidimg.lint.lint import lint_artifact
from voidimg.programs import programs_that_make
from voidimg.release.manifest import (
    BootWay,
    LintResult,
    SmokeResult,
    StatementResult,
)
from voidimg.release.options import ReleaseOptions, Smoking
from voidimg.release.remembered import recall, remember
from voidimg.release.rows import PlannedArtifact
from voidimg.run import find_program
from voidimg.smoke.boot import choose_machines, smoke_image
from voidimg.smoke.live_iso import typed_console
from voidimg.smoke.uefi import find_uefi
from voidimg.smoke.verdict import BootVerdict
from voidimg.spec.smoke_model import Machine
from voidimg.supply.digest import resolution_digest

_LINT_PROGRAMS = {
    "disk": ("mdir", "mcopy", "debugfs", "e2fsck", "fsck.vfat"),
    "live": ("unsquashfs",),
    "tree": (),
}
"""Role of a kind -> the programs that its lint starts."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished artifact: what it was planned as, where it is, its SHA-256."""

    planned: PlannedArtifact
    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of judging an artifact, and what failed in words."""

    lint: LintResult
    lint_failures: tuple[str, ...]
    smoke: tuple[SmokeResult, ...] = ()
    smoke_failures: tuple[str, ...] = ()


def machines_of(planned: PlannedArtifact) -> tuple[Machine, ...]:
    """The machines that boot the artifact, as its platform states them; none when it does not.

    A live ISO whose menu starts no serial console, and where none can be typed, cannot be asked.
    """
    recipe, kind = planned.resolved.recipe, KINDS[planned.kind]
    if kind.role == "tree" or not kind.on_a_medium:
        return ()
    live = kind.role == "live"
    if live and not (recipe.live is not None and recipe.live.serial) and not typed_console(recipe):
        return ()
    try:
        return choose_machines(recipe, live=live)
    except UsageError:
        return ()


def ways_to_boot(planned: PlannedArtifact) -> tuple[BootWay, ...]:
    """All ways to boot the artifact, in the order of its platform."""
    return tuple(way_of(machine) for machine in machines_of(planned))


def way_of(machine: Machine) -> BootWay:
    """The way to boot that a machine is."""
    return BootWay(firmware=machine.firmware, machine=machine.machine, medium=machine.medium)


def require_programs(planned: Sequence[PlannedArtifact], smoke: Smoking) -> None:
    """Ensure that what makes and judges the artifacts is there, before anything is made.

    Raises:
        ToolError: a program or a firmware is missing, and which package has it.
    """
    roles = {KINDS[one.kind].role for one in planned}
    needed = {name for role in roles for name in _LINT_PROGRAMS[role]}
    needed |= {name for role in roles for name in programs_that_make(role)}
    if smoke != "none":
        for one in planned:
            qemu = one.resolved.recipe.smoke.qemu
            for machine in machines_of(one):
                needed.add(qemu)
                if machine.firmware in ("uefi", "uefi-ia32"):
                    find_uefi(qemu, ia32=machine.firmware == "uefi-ia32")
    for name in sorted(needed):
        find_program(name)


def judge_all(
    finished: Sequence[Finished], options: ReleaseOptions, logs: Path, listener: Listener
) -> dict[str, Judged]:
    """Lint all artifacts, then boot them as far as `options` say; by the name of the artifact.

    The caller sees to it that nobody changes the files in the meantime. Boots take several
    processors each, so fewer run side by side.

    Raises:
        ReleaseError: an artifact failed, and nobody waived that: without `keep_going` the first
            one that did, else all in a CollectedError.
        ToolError, StoreError, LayoutError: one cannot be judged.
    """
    cache = Cache(options.build.cache)
    listener = _one_at_a_time(listener)
    failures = _Failures(options)
    with ThreadPoolExecutor(options.build.jobs) as pool:
        lints = pool.map(lambda one: _linted(one, cache, listener), finished)
        judged = {}
        for one, (lint, failed) in zip(finished, lints, strict=True):
            judged[one.path.name] = Judged(lint, failed)
            unaccepted = [text for text in failed if check_of(text) not in one.planned.accepted]
            failures.add("lint", one.path.name, unaccepted)
    with ThreadPoolExecutor(max(1, options.build.jobs // 2)) as pool:
        boots = pool.map(lambda one: _booted(one, options, logs, listener), finished)
        for one, (smoke, failed) in zip(finished, boots, strict=True):
            found = judged[one.path.name]
            judged[one.path.name] = replace(found, smoke=smoke, smoke_failures=failed)
            failures.add("smoke", one.path.name, failed)
    failures.raise_all()
    return judged


def check_of(failure: str) -> str:
    """The lint check that a failure, in words, is of."""
    return failure.partition(":")[0]


def _one_at_a_time(listener: Listener) -> Listener:
    """`listener`, which several threads may tell of events."""
    mutex = Mutex()

    def tell(event: Event) -> None:
        with mutex:
            listener(event)

    return tell


class _Failures:
    """What failed and is not waived."""

    def __init__(self, options: ReleaseOptions):
        self._keep_going = options.keep_going
        self._waived = {(one.check, one.name) for one in options.waivers}
        self._errors: list[VoidimgError] = []

    def add(self, check: Literal["lint", "smoke"], name: str, failed: Sequence[str]) -> None:
        """Note that the artifact called `name` failed `check` with these."""
        if not failed or (check, name) in self._waived:
            return
        words = {"lint": "the lint found errors", "smoke": "the boot test failed"}[check]
        self._errors.append(
            ReleaseError(
                f"{name}: {words}: {'; '.join(failed)}",
                code=f"FAILED-{check.upper()}",
                where=name,
                hint=f"mend it, or give --waive {check}:{name}=REASON",
            )
        )
        if not self._keep_going:
            self.raise_all()

    def raise_all(self) -> None:
        """Raise for all that were noted."""
        raise_all(self._errors, f"{len(self._errors)} artifacts failed")


def _asked(machines: Sequence[Machine], smoke: Smoking) -> Sequence[Machine]:
    return {"none": (), "one": machines[:1], "all": machines}[smoke]


def _linted(
    finished: Finished, cache: Cache, listener: Listener
) -> tuple[LintResult, tuple[str, ...]]:
    """What the lint found, and its errors in words."""
    name = finished.path.name
    key = ["lint", name, finished.sha256, resolution_digest(finished.planned.resolved)]
    found = recall(cache, key)
    if not isinstance(found, dict):
        with step(listener, f"{name}: lint"):
            report = lint_artifact(finished.path, scratch=cache.scratch())
        found = {
            severity: [f"{one.check}: {one.object}: {one.what}" for one in report.defects
                       if one.severity == severity]
            for severity in ("error", "warning")
        }  # fmt: skip
        remember(cache, key, found)
    for text in found["warning"]:
        listener(Message("warning", f"{name}: {text}"))
    errors, warnings = found["error"], found["warning"]
    for text in errors:
        if check_of(text) in finished.planned.accepted:
            listener(Message("warning", f"{name}: {text} (accepted by the set)"))
    result = LintResult(sha256=finished.sha256, errors=len(errors), warnings=len(warnings))
    return result, tuple(errors)


def _booted(
    finished: Finished, options: ReleaseOptions, logs: Path, listener: Listener
) -> tuple[tuple[SmokeResult, ...], tuple[str, ...]]:
    """A result for each boot, and what failed; what passed before is not booted again."""
    cache = Cache(options.build.cache)
    machines = _asked(machines_of(finished.planned), options.smoke)
    recipe = finished.planned.resolved.recipe
    made_by = resolution_digest(finished.planned.resolved)
    keys = [
        ["smoke", finished.sha256, machine.model_dump(mode="json"), made_by] for machine in machines
    ]
    found = [recall(cache, key) for key in keys]
    open_ones = tuple(
        machine for machine, known in zip(machines, found, strict=True) if known is None
    )
    failed: list[str] = []
    booted: list[SmokeResult] = []
    if open_ones:
        name = finished.path.name
        alone = recipe.model_copy(
            update={"smoke": recipe.smoke.model_copy(update={"machines": open_ones})}
        )
        with step(listener, f"{name}: boot"):
            report = smoke_image(
                finished.path,
                alone,
                logs=logs,
                scratch=cache.scratch(),
                patience=options.patience,
                listener=listener,
            )
        for machine, boot in zip(open_ones, report.boots, strict=True):
            result = _result(way_of(machine), boot, finished.sha256)
            booted.append(result)
            if boot.login_seconds is not None:
                remember(cache, _seconds_key(result), round(boot.login_seconds, 3))
            failed += [
                f"{result}: {one.name}: {one.message} (see {boot.log})"
                for one in boot.checks
                if one.status == "failed"
            ]
    now = iter(booted)
    results = []
    for key, known in zip(keys, found, strict=True):
        result = next(now) if known is None else SmokeResult.model_validate_json(json.dumps(known))
        results.append(result)
        if known is None and result.verdict == "passed":
            remember(cache, key, result.model_dump(mode="json"))
    return tuple(results), tuple(failed)


def boot_seconds(cache: Cache, boot: SmokeResult) -> float | None:
    """From the start to the login prompt in the boot that `boot` is of; None when none came."""
    found = recall(cache, _seconds_key(boot))
    return float(found) if isinstance(found, int | float) else None


def _seconds_key(boot: SmokeResult) -> list[str]:
    return ["boot-seconds", boot.sha256, boot.firmware, boot.machine, boot.medium]


def _result(way: BootWay, boot: BootVerdict, sha256: str) -> SmokeResult:
    return SmokeResult(
        **way.model_dump(),
        sha256=sha256,
        verdict="passed" if boot.passed else "failed",
        statements=tuple(
            StatementResult(name=check.name, status=check.status) for check in boot.checks
        ),
    )
