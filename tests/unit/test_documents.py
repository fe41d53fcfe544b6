"""The pages made from the code are those in `docs/`."""

from __future__ import annotations

import pytest

from tests.documents import DOCS, PAGES


@pytest.mark.parametrize("name", sorted(PAGES))
def test_pages_are_up_to_date(name: str) -> None:
    """After a change of the code: `python -m tests.documents`."""
    assert (DOCS / name).read_text() == PAGES[name]()


def test_the_page_of_errors_finds_them() -> None:
    """Codes of different parts, with their exit status and text, are there."""
    page = PAGES["errors.md"]()
    assert "| `E-FETCH-NO-DIRECTORY` | 5 | the repository directory … |" in page
    assert "| `E-USAGE-DATE` | 2 | … is not a date of an image set: … |" in page
