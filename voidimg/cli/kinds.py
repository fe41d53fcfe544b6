"""The option `--artifact`: its words are those of the registry of artifact kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

import voidimg

F = TypeVar("F", bound=Callable[..., Any])


class _KindChoice(click.Choice[str]):
    """A choice whose words are asked for when they are needed: `voidimg --help` stays quick."""

    def __init__(self) -> None:
        super().__init__(())

    @property
    def choices(self) -> tuple[str, ...]:
        """The words."""
        return voidimg.artifact_kinds()

    @choices.setter
    def choices(self, _words: tuple[str, ...]) -> None:
        """Nothing: click gives what it was made with."""


def artifact_option(text: str) -> Callable[[F], F]:
    """Add `--artifact`, with `text` as its help, to a verb, which gets `artifacts`."""
    return click.option("--artifact", "artifacts", multiple=True, type=_KindChoice(), help=text)
