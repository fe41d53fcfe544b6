"""Judges the statements of a platform by what the guest answers."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voidimg.errors import SpecError
from voidimg.sandbox.patterns import first_match
from voidimg.smoke.shell import Answer, Shell
from voidimg.smoke.verdict import Check
from voidimg.spec.smoke_model import Statement

_PAUSE_SECONDS = 1.0
_OUTPUT_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class Expectation:
    """A statement with the image's own values filled in."""

    statement: Statement
    pattern: re.Pattern[str]


def fill_in(
    statements: Sequence[Statement], patterns: Mapping[str, str]
) -> tuple[Expectation, ...]:
    """The statements with ``{name}`` in `expect` replaced by the regex of that name in `patterns`.

    Raises:
        SpecError: what results is not a regular expression.
    """
    filled = []
    for statement in statements:
        text = statement.expect
        for name, pattern in patterns.items():
            text = text.replace(f"{{{name}}}", pattern)
        try:
            filled.append(Expectation(statement, re.compile(text, re.MULTILINE)))
        except re.error as error:
            raise SpecError(
                f"the statement {statement.name!r} expects {text!r}, which is no regular"
                f" expression: {error}",
                code="STATEMENT-REGEX",
                where="smoke.statements",
            ) from error
    return tuple(filled)


def _is_expected(expectation: Expectation, output: str) -> bool:
    """Whether the guest said what is expected of it.

    Raises:
        SpecError: the expression takes too long.
    """
    where = f"the statement {expectation.statement.name!r}"
    texts = [output]
    pattern = expectation.pattern.pattern
    return first_match(pattern, texts, multiline=True, where=where) is not None


def judge(shell: Shell, expectation: Expectation, until: float, patience: float = 1.0) -> Check:
    """Ask the guest, again and again, until it answers as expected or its time is over.

    The time is `within_seconds` times `patience`, and never beyond `until` (monotonic).

    Raises:
        SpecError: the expression takes too long to search.
    """
    statement = expectation.statement
    started = time.monotonic()
    own_until = min(until, started + statement.within_seconds * patience)
    attempts = 0
    answer: Answer | None = None
    while attempts == 0 or time.monotonic() < own_until:
        attempts += 1
        latest = shell.run(statement.command, own_until)
        answer = latest or answer
        if latest is not None and _is_expected(expectation, latest.output):
            return _check(expectation, "", answer, attempts, time.monotonic() - started)
        time.sleep(max(0.0, min(_PAUSE_SECONDS, own_until - time.monotonic())))
    seconds = time.monotonic() - started
    if answer is None:
        message = f"the command gave no answer in {seconds:.0f} s"
    else:
        message = (
            f"the answer, with status {answer.status}, does not match"
            f" {expectation.pattern.pattern!r} after {seconds:.0f} s"
        )
    return _check(expectation, message, answer, attempts, seconds)


def _check(
    expectation: Expectation, message: str, answer: Answer | None, attempts: int, seconds: float
) -> Check:
    return Check(
        name=expectation.statement.name,
        status="failed" if message else "passed",
        seconds=seconds,
        code="STATEMENT" if message else None,
        message=message,
        command=expectation.statement.command,
        expect=expectation.pattern.pattern,
        output=answer.output[-_OUTPUT_CHARACTERS:] if answer else "",
        attempts=attempts,
    )
