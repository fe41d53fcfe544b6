"""Configuration files: one row for each line of the recorded decision table."""

from __future__ import annotations

import pytest

from voidimg.xbps.install.conffile import Situation, Verdict, decide

A, B, C = "a" * 64, "b" * 64, "c" * 64
INSTALL, KEEP, BESIDE = Verdict.INSTALL, Verdict.KEEP, Verdict.BESIDE


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        (Situation(A, None, is_link=False, is_update=False, recorded=None), INSTALL),
        (Situation(A, None, is_link=False, is_update=True, recorded=A), INSTALL),
        (Situation(A, A, is_link=False, is_update=False, recorded=None), BESIDE),
        (Situation(A, B, is_link=False, is_update=False, recorded=None), BESIDE),
        (Situation(A, None, is_link=True, is_update=False, recorded=None), BESIDE),
        (Situation(A, None, is_link=True, is_update=True, recorded=A), BESIDE),
        (Situation(A, B, is_link=False, is_update=True, recorded=None), INSTALL),
        (Situation(A, A, is_link=False, is_update=True, recorded=A), KEEP),
        (Situation(A, B, is_link=False, is_update=True, recorded=B), INSTALL),
        (Situation(A, B, is_link=False, is_update=True, recorded=A), KEEP),
        (Situation(A, A, is_link=False, is_update=True, recorded=B), KEEP),
        (Situation(A, B, is_link=False, is_update=True, recorded=C), BESIDE),
    ],
)
def test_each_situation(situation: Situation, expected: Verdict) -> None:
    """The rule of the table; `overwrite` beats it wherever something is there."""
    assert decide(situation) is expected
    assert decide(situation, overwrite=True) is INSTALL


def test_keepconf_saves_an_unmodified_file() -> None:
    """With keepconf=true an unmodified file is not overwritten, and nothing else changes."""
    unmodified = Situation(A, B, is_link=False, is_update=True, recorded=B)
    assert decide(unmodified, keep=True) is BESIDE
    same = Situation(A, A, is_link=False, is_update=True, recorded=A)
    assert decide(same, keep=True) is KEEP
