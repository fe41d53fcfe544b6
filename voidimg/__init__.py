"""voidimg builds Void Linux ROOTFS and PLATFORMFS tarballs, disk images and image sets.

This module is the public face: what a tool author imports, and nothing else. Names are loaded on
first use, so that ``import voidimg`` and ``voidimg --help`` stay quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voidimg.errors import CollectedError, SpecError, VoidimgError, exit_status_of
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
    from voidimg.spec.catalog import Catalog, CatalogEntry
    from voidimg.spec.compose import ResolvedRecipe
    from voidimg.spec.model import Recipe
    from voidimg.spec.plan import PlannedStep, planned_steps
    from voidimg.spec.tree import Origin
    from voidimg.units import format_size

__version__ = "2026.11.0"

_HOME = {
    "Catalog": "voidimg.spec.catalog",
    "CatalogEntry": "voidimg.spec.catalog",
    "CollectedError": "voidimg.errors",
    "Event": "voidimg.events",
    "Listener": "voidimg.events",
    "Message": "voidimg.events",
    "Origin": "voidimg.spec.tree",
    "PlannedStep": "voidimg.spec.plan",
    "Progress": "voidimg.events",
    "Recipe": "voidimg.spec.model",
    "ReleaseDate": "voidimg.identity",
    "ResolvedRecipe": "voidimg.spec.compose",
    "SpecError": "voidimg.errors",
    "StepFinished": "voidimg.events",
    "StepStarted": "voidimg.events",
    "VoidimgError": "voidimg.errors",
    "event_as_json": "voidimg.events",
    "exit_status_of": "voidimg.errors",
    "format_size": "voidimg.units",
    "planned_steps": "voidimg.spec.plan",
}

__all__ = [
    "Catalog",
    "CatalogEntry",
    "CollectedError",
    "Event",
    "Listener",
    "Message",
    "Origin",
    "PlannedStep",
    "Progress",
    "Recipe",
    "ReleaseDate",
    "ResolvedRecipe",
    "SpecError",
    "StepFinished",
    "StepStarted",
    "VoidimgError",
    "event_as_json",
    "exit_status_of",
    "format_size",
    "planned_steps",
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
