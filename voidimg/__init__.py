"""voidimg builds Void Linux ROOTFS and PLATFORMFS tarballs, disk images and image sets.

This module is the public face: what a tool author imports, and nothing else. Names are loaded on
first use, so that ``import voidimg`` and ``voidimg --help`` stay quick.
"""

from __future__ import annotations


def _homes() -> dict[str, str]:
    """Public name -> the module that it lives in, as the stub beside this file lists them."""
    # Loading pathlib would take longer than all of this.
    with open(f"{__file__.removesuffix('.py')}.pyi", encoding="utf-8") as stub:
        lines = [line.split() for line in stub if line.startswith("from ")]
    return {words[3]: words[1] for words in lines}


_HOMES = _homes()
__all__ = sorted(_HOMES)  # noqa: PLE0605 - tools read the stub


def __getattr__(name: str) -> object:
    """Load a public name from the module it lives in."""
    if name == "__version__":
        from voidimg.version import VERSION

        return VERSION
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'voidimg' has no attribute {name!r}") from None
    from importlib import import_module

    found = getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
