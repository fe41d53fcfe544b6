"""What every verb is given: the global options, and the listener that renders events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from voidimg import Cache, Listener, StoreError

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Session:
    """The global options of one run of the command."""

    cache: Path
    out: Path
    jobs: int
    quiet: bool
    listener: Listener

    def scratch(self) -> Path | None:
        """Where images are unpacked: in the cache, or among temporary files if it cannot be used.

        Raises:
            UsageError: the cache that was named is something else.
        """
        try:
            return Cache(self.cache).scratch()
        except StoreError:
            return None


pass_session = click.make_pass_decorator(Session)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
