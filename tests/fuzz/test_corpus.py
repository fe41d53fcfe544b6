"""Inputs that fuzzing kept, and inputs that once broke something, through their targets again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_the_kept_corpus_breaks_nothing(name: str) -> None:
    """Every kept input is either read or refused in words."""
    inputs = sorted((CORPUS / name).iterdir())
    assert inputs
    for path in inputs:
        TARGETS[name](path.read_bytes())


def test_the_kept_corpus_stays_small() -> None:
    """It is for regressions; the rest of what fuzzing finds stays in build/fuzz."""
    assert sum(path.stat().st_size for path in CORPUS.glob("*/*")) < 2**20
