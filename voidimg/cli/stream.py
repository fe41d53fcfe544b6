"""The option type of a file that is written while a verb runs: events, a line each."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TextIO

import click

from voidimg import StoreError, open_result


class EventStream(click.ParamType):  # type: ignore[type-arg]
    """A file, a pipe, a device, ``-``, or what is open already (``/dev/fd/3``), for events.

    A file that holds anything else than events stays as it is.
    """

    name = "file"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> TextIO:
        """The stream, open for writing text; closed with the context."""
        path = Path("/dev/stdout" if value == "-" else str(value))
        try:
            raw = open_result(path, _is_events, "a file of events", "--events")
        except StoreError as error:
            self.fail(str(error), param, ctx)
        stream = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace")
        if ctx is not None:
            ctx.call_on_close(stream.close)
        return stream


def _is_events(content: bytes) -> bool:
    try:
        first = json.loads(content.partition(b"\n")[0])
    except ValueError:
        return False
    return isinstance(first, dict) and "event" in first
