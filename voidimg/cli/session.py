"""What every verb is given: the global options, and the listener that renders events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from voidimg import Listener

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Session:
    """The global options of one run of the command."""

    cache: Path
    out: Path
    jobs: int
    quiet: bool
    listener: Listener


pass_session = click.make_pass_decorator(Session)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
