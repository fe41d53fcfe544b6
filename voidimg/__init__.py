"""voidimg builds Void Linux ROOTFS and PLATFORMFS tarballs, disk images and image sets.

This module is the public face: what a tool author imports, and nothing else. Names are loaded on
first use, so that ``import voidimg`` and ``voidimg --help`` stay quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voidimg.errors import CollectedError, VoidimgError, exit_status_of
    from voidimg.events import (
        Event,
        Listener,
        Message,
        Progress,
        StepFinished,
        StepStarted,
        event_as_json,
    )
    from voidimg.identity import ReleaseDate

__version__ = "2026.11.0"

_HOME = {
    "Event": "voidimg.events",
    "Listener": "voidimg.events",
    "Message": "voidimg.events",
    "Progress": "voidimg.events",
    "ReleaseDate": "voidimg.identity",
    "StepFinished": "voidimg.events",
    "StepStarted": "voidimg.events",
    "VoidimgError": "voidimg.errors",
    "CollectedError": "voidimg.errors",
    "event_as_json": "voidimg.events",
    "exit_status_of": "voidimg.errors",
}

__all__ = [
    "CollectedError",
    "Event",
    "Listener",
    "Message",
    "Progress",
    "ReleaseDate",
    "StepFinished",
    "StepStarted",
    "VoidimgError",
    "event_as_json",
    "exit_status_of",
]


def __getattr__(name: str) -> object:
    """Load a public name from the module it lives in."""
    try:
        home = _HOME[name]
    except KeyError:
        raise AttributeError(f"module 'voidimg' has no attribute {name!r}") from None
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
