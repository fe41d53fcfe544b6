"""Shows events on stderr: bars on a terminal, plain lines elsewhere, JSON lines for `--events`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

from voidimg import (
    Event,
    Listener,
    Message,
    Progress,
    ScriptOutput,
    StepFinished,
    StepStarted,
    StoreError,
    VoidimgError,
    event_as_json,
)
from voidimg.cli.printable import printable


def listener_for(*, verbose: int, quiet: bool, events: TextIO | None) -> Listener:
    """The listener for these global options; `events` gets every event as a JSON line.

    The listener raises `StoreError` when `events` cannot be written.
    """
    shown: Callable[[Event], None]
    if quiet:
        shown = _Plain(show_steps=False, show_debug=False)
    elif sys.stderr.isatty():
        shown = _Bars(show_debug=verbose > 0)
    else:
        shown = _Plain(show_steps=True, show_debug=verbose > 0)
    if events is None:
        return shown
    stream = events

    def both(event: Event) -> None:
        _write_line(stream, json.dumps(event_as_json(event), sort_keys=True))
        shown(event)

    return both


def _write_line(stream: TextIO, line: str) -> None:
    try:
        stream.write(line + "\n")
        stream.flush()
    except OSError as error:
        with suppress(OSError):
            stream.close()  # or what is left would fail once more when the command ends
        raise StoreError(
            f"cannot write the events: {error.strerror}",
            code="EVENTS",
            where=str(stream.name),
            hint="name another file with --events",
        ) from error


def show_error(error: VoidimgError) -> None:
    """Write one error, or each of a group, to stderr in the form a person reads."""
    for single in getattr(error, "errors", (error,)):
        what = getattr(single, "problem", single.sentence)
        lines = [f"voidimg: {what} [{single.code}]"]
        lines += [f"    {line}" for line in getattr(single, "reasons", ())]
        output = getattr(single, "output", "")
        lines += [f"    | {line}" for line in output.strip().splitlines()[-20:]]
        if single.hint:
            lines.append(f"    hint: {single.hint}")
        sys.stderr.writelines(printable(line) + "\n" for line in lines)


class _Plain:
    """Whole lines, for CI logs and files."""

    def __init__(self, *, show_steps: bool, show_debug: bool):
        self._show_steps = show_steps
        self._show_debug = show_debug

    def __call__(self, event: Event) -> None:
        match event:
            case StepStarted(step) if self._show_steps:
                self._write(f"{step} ...")
            case StepFinished(step, seconds, cached) if self._show_steps:
                ending = "unchanged" if cached else f"{seconds:.1f} s"
                self._write(f"{step}: {ending}")
            case Message(level, text):
                if level == "warning" or (level == "note" and self._show_steps) or self._show_debug:
                    self._write(f"{level}: {text}" if level != "note" else text)
            case ScriptOutput() if self._show_debug:
                self._write_script(event)
            case _:
                pass

    def _write_script(self, event: ScriptOutput) -> None:
        half = len(event.lines) // 2 if event.left_out else len(event.lines)
        left_out = (f"... {event.left_out} lines left out ...",) if event.left_out else ()
        for line in (*event.lines[:half], *left_out, *event.lines[half:]):
            self._write(f"{event.speaker} | {line}")

    def _write(self, text: str) -> None:
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()


class _Bars(_Plain):
    """A tqdm bar for the step under way, plain lines for the rest."""

    def __init__(self, *, show_debug: bool):
        super().__init__(show_steps=True, show_debug=show_debug)
        self._bar: Any = None
        self._bar_step = ""

    def __call__(self, event: Event) -> None:
        match event:
            case Progress(step, done, total, unit):
                self._advance(step, done, total, unit)
            case StepFinished(step) if step == self._bar_step:
                self._close()
                super().__call__(event)
            case _:
                super().__call__(event)

    def _advance(self, step: str, done: int, total: int, unit: str) -> None:
        from tqdm import tqdm

        if step != self._bar_step:
            self._close()
            tqdm.monitor_interval = 0  # no thread of its own: we fork
            in_bytes = unit == "bytes"
            self._bar = tqdm(
                total=total or None,
                desc=step,
                unit="B" if in_bytes else " " + unit,
                unit_scale=in_bytes,
                leave=False,
                file=sys.stderr,
            )
            self._bar_step = step
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar, self._bar_step = None, ""

    def _write(self, text: str) -> None:
        if self._bar is None:
            super()._write(text)
        else:
            self._bar.write(printable(text), file=sys.stderr)
