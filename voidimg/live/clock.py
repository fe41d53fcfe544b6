"""Stops the clock of the ISO writer: pycdlib asks the time for every date, and offers no other way.

Only the name `time` in pycdlib's own modules is replaced, and only while an ISO is written; there
is one ISO at a time.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

from voidimg.errors import ToolError

HOOKED_MODULES = ("dates", "headervd", "pycdlib", "utils")
"""The modules of pycdlib that dates on an ISO come from."""

_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def stopped_clock(epoch: int) -> Iterator[None]:
    """While this lasts, pycdlib's clock shows `epoch` (seconds since 1970) in UTC.

    Raises:
        ToolError: this pycdlib takes the time from elsewhere, so that ISOs could not be the same.
    """
    stopped = SimpleNamespace(
        time=lambda: float(epoch),
        localtime=time.gmtime,
        gmtime=time.gmtime,
        strftime=time.strftime,
        strptime=time.strptime,
        struct_time=time.struct_time,
    )
    with _ONE_AT_A_TIME:
        modules = _modules()
        for module in modules:
            module.__dict__["time"] = stopped
        try:
            yield
        finally:
            for module in modules:
                module.__dict__["time"] = time


def _modules() -> list[ModuleType]:
    modules = [importlib.import_module(f"pycdlib.{name}") for name in HOOKED_MODULES]
    for module in modules:
        if module.__dict__.get("time") is not time:
            raise ToolError(
                f"this version of pycdlib is not known: {module.__name__} does not use the clock"
                " as expected",
                code="PYCDLIB",
                where=module.__name__,
                hint="install another version, for example pycdlib 1.22",
            )
    return modules
