"""Statements: filled in from the image, asked until true or out of time."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.smoke.peer import PASSWORD, USER, guest
from voidimg.errors import SpecError
from voidimg.smoke.console import Console
from voidimg.smoke.shell import Shell, wait_for_login
from voidimg.smoke.statements import fill_in, judge
from voidimg.spec.smoke_model import Statement


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    """A shell on a terminal."""
    with guest() as descriptor, Console(descriptor, io.BytesIO()) as console:
        wait_for_login(console, time.monotonic() + 10)
        yield Shell.log_in(console, USER, PASSWORD, time.monotonic() + 10)


def _statement(command: str, expect: str, within_seconds: int = 5) -> Statement:
    return Statement(name="it", command=command, expect=expect, within_seconds=within_seconds)


def test_only_named_braces_are_filled_in() -> None:
    """{2} still counts."""
    statement = _statement("x", r"^{date}\d{2} {root_partuuid}$")
    (filled,) = fill_in([statement], {"date": r"2024\.", "root_partuuid": "5a1e-02"})
    assert filled.pattern.search("2024.77 5a1e-02")
    assert not filled.pattern.search("2024777 5a1e-02")


def test_a_wrong_regex_is_an_error_of_the_platform() -> None:
    """Found before anything boots."""
    with pytest.raises(SpecError) as caught:
        fill_in([_statement("x", "(")], {})
    assert caught.value.code == "E-SPEC-STATEMENT-REGEX"


def test_a_true_statement_passes_at_once(shell: Shell) -> None:
    """With the guest's answer kept."""
    (expectation,) = fill_in([_statement("echo one; echo two", "^two$")], {})
    check = judge(shell, expectation, time.monotonic() + 10)
    assert (check.status, check.output, check.attempts) == ("passed", "one\ntwo\n", 1)


def test_a_statement_may_become_true(shell: Shell, tmp_path: Path) -> None:
    """It is asked again."""
    counter = tmp_path / "counter"
    (expectation,) = fill_in([_statement(f"echo x >> {counter}; wc -l < {counter}", "2")], {})
    check = judge(shell, expectation, time.monotonic() + 10)
    assert (check.status, check.attempts) == ("passed", 2)


def test_a_false_statement_fails_when_its_time_is_over(shell: Shell) -> None:
    """The message has the status and what was expected."""
    (expectation,) = fill_in([_statement("echo no; false", "yes", within_seconds=1)], {})
    started = time.monotonic()
    check = judge(shell, expectation, started + 10)
    assert (check.status, check.output, check.code) == ("failed", "no\n", "STATEMENT")
    assert "status 1" in check.message
    assert time.monotonic() - started < 4


def test_a_command_without_an_answer_fails(shell: Shell) -> None:
    """In its own time, not that of the boot."""
    (expectation,) = fill_in([_statement("sleep 60", "x", within_seconds=1)], {})
    check = judge(shell, expectation, time.monotonic() + 30)
    assert check.status == "failed"
    assert "no answer" in check.message
