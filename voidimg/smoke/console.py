"""A guest's console: keeps all it says, waits for what is expected, types with a time limit."""

from __future__ import annotations

import os
import re
import selectors
import time
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO, Self

from voidimg.smoke.verdict import GuestError
from voidimg.units import format_size

_CHUNK_BYTES = 65536
_KEPT_BYTES = 2**20
_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[()][0-9A-B]|[@-Z\\-_=>])")
_PANIC = re.compile(rb"Kernel panic - not syncing[^\r\n]*")
_AFTER_PANIC_SECONDS = 1.0
MAX_LOG_BYTES = 64 * 2**20
"""Most that a guest may say: a hundred times what one with all messages of a start does."""


class ConsoleClosedError(Exception):
    """The other end of the console is gone."""


class Console:
    """Reads and types on `descriptor` (socket or terminal, made non-blocking), not owned by it.

    Everything received goes to `log`, and to `on_line` line by line. Times are of
    `time.monotonic`; waiting costs no processor time.
    """

    def __init__(
        self, descriptor: int, log: BinaryIO, on_line: Callable[[str], None] = lambda _line: None
    ):
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._log = log
        self._on_line = on_line
        self._selector = selectors.DefaultSelector()
        self._selector.register(descriptor, selectors.EVENT_READ)
        self._pending = b""
        self._tail = b""
        self._line = b""
        self.received_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._selector.close()

    def wait_for(self, pattern: re.Pattern[bytes], until: float) -> re.Match[bytes] | None:
        """The first match of `pattern` in what is not consumed yet, consumed up to its end.

        None when `until` passes first.

        Raises:
            ConsoleClosedError: the other end closed before.
            GuestError: the kernel panicked.
        """
        while True:
            match = pattern.search(self._pending)
            if match is not None:
                self._pending = self._pending[match.end() :]
                return match
            self._refuse_panic()
            left = until - time.monotonic()
            if left <= 0 or not self._receive(left):
                return None

    def listen(self, until: float) -> None:
        """Take in what comes up to `until`, consuming nothing."""
        while (left := until - time.monotonic()) > 0 and self._receive(left):
            pass

    def send(self, text: str, until: float) -> None:
        """Type `text`.

        Raises:
            ConsoleClosedError: the other end closed.
            GuestError: the guest took nothing until `until`.
        """
        left = text.encode()
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise GuestError("the console takes no input", code="NO-INPUT") from None
                self._receive(min(0.05, until - time.monotonic()))
            except OSError as error:
                raise ConsoleClosedError from error

    def forget(self) -> None:
        """Consume everything received so far."""
        self._pending = b""

    def last_lines(self, count: int = 20) -> str:
        """The end of what was received, readable."""
        lines = [line for line in readable(self._tail).splitlines() if line.strip()]
        return "\n".join(lines[-count:])

    def _receive(self, seconds: float) -> bool:
        """Take in what is there, waiting up to `seconds`; False when nothing came."""
        if not self._selector.select(max(0.0, seconds)):
            return False
        try:
            chunk = os.read(self._descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        except OSError as error:  # EIO: the last process of a pseudo-terminal ended
            raise ConsoleClosedError from error
        if not chunk:
            raise ConsoleClosedError
        self.received_bytes += len(chunk)
        if self.received_bytes > MAX_LOG_BYTES:
            raise GuestError(
                f"the guest wrote more than {format_size(MAX_LOG_BYTES)} to its console",
                code="FLOOD",
                hint="the log ends there",
            )
        self._log.write(chunk)
        self._log.flush()
        # An escape sequence cut in two stays in the text: patterns must not depend on one.
        self._pending = (self._pending + _ESCAPES.sub(b"", chunk))[-_KEPT_BYTES:]
        self._tail = (self._tail + chunk)[-_CHUNK_BYTES:]
        *lines, self._line = (self._line + chunk)[-_CHUNK_BYTES:].split(b"\n")
        for line in lines:
            self._on_line(readable(line))
        return True

    def _refuse_panic(self) -> None:
        match = _PANIC.search(self._pending)
        if match is None:
            return
        self._pending = b""
        self.listen(time.monotonic() + _AFTER_PANIC_SECONDS)
        raise GuestError(
            f"the kernel stopped: {readable(match[0])}",
            code="PANIC",
            hint="a root that cannot be mounted: wrong PARTUUID, or its driver is missing",
        )


def readable(raw: bytes) -> str:
    """`raw` console bytes as text: UTF-8, without terminal escapes and carriage returns."""
    return _ESCAPES.sub(b"", raw).replace(b"\r", b"").decode("utf-8", "replace")
