"""What happens during a build, as values; how it is shown is the listener's affair.

The library reports `Event`s to a `Listener`. The command renders them as progress bars, plain
lines or JSON lines (`--events`). Nothing in the library writes to a terminal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Literal

from voidimg.errors import without_passwords


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A named step begins, such as ``fetch`` or ``rootfs: install``."""

    step: str


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` `unit`s of `step` are finished; `total` 0 means unknown."""

    step: str
    done: int
    total: int
    unit: Literal["bytes", "packages", "files", "scripts", "mirrors"]


@dataclass(frozen=True, slots=True)
class Message:
    """Something worth saying. `level` is ``debug``, ``note`` or ``warning``.

    Whatever it quotes, it shows no password of a URL.
    """

    level: Literal["debug", "note", "warning"]
    text: str

    def __post_init__(self) -> None:
        """Leave passwords out, whoever put the text together."""
        object.__setattr__(self, "text", without_passwords(self.text))


@dataclass(frozen=True, slots=True)
class ScriptOutput:
    """What one run of a script wrote: of a package, or a hook of the recipe.

    `package` is the pkgver, or the name of the hook; `script` says which of the package's scripts,
    and `action` what it was called with (``pre``, ``post`` or ``purge``; a hook has none). `lines`
    are safe for a terminal, cut and few: `left_out` counts the lines in the middle that are not
    among them.
    """

    package: str
    script: Literal["INSTALL", "REMOVE", "hook"]
    action: str
    lines: tuple[str, ...]
    left_out: int = 0

    @property
    def speaker(self) -> str:
        """Who wrote it, for people."""
        if self.script == "hook":
            return f"hook {self.package}"
        return f"{self.package} {self.script} {self.action}"


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step ended after `seconds`; `cached` when its result was already there."""

    step: str
    seconds: float
    cached: bool = False


Event = StepStarted | Progress | Message | ScriptOutput | StepFinished
Listener = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """The listener that does not listen."""


def event_as_json(event: Event) -> dict[str, object]:
    """The event as a JSON-ready mapping with its class name in ``event``."""
    return {"event": type(event).__name__, **asdict(event)}


class Heard:
    """A listener that keeps the warnings that pass through it to another, and tells each once."""

    def __init__(self, listener: Listener):
        self._listener = listener
        self.warnings: list[str] = []

    def __call__(self, event: Event) -> None:
        """Tell `event`."""
        if isinstance(event, Message) and event.level == "warning":
            if event.text in self.warnings:
                return
            self.warnings.append(event.text)
        self._listener(event)

    def retell(self, warnings: Iterable[str]) -> None:
        """Tell the `warnings` of an earlier run, but those that this one has told already."""
        for text in warnings:
            self(Message("warning", text))


@contextmanager
def step(listener: Listener, name: str) -> Iterator[None]:
    """Report start and end of the step `name`; a step that fails does not finish."""
    listener(StepStarted(name))
    started = time.monotonic()
    yield
    listener(StepFinished(name, time.monotonic() - started))
