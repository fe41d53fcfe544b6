"""What can be asked of xbps-install beside what our own resolver knows."""

from __future__ import annotations

from dataclasses import dataclass

from voidimg.xbps.resolve.transaction import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class XbpsInstallOptions(Options):
    """As `Options`, with ``-u`` (`update`) and ``-f`` (`force`).

    `free_bytes`: a plan that needs more is refused; None: that is not asked.
    """

    update: bool = False
    force: bool = False
    free_bytes: int | None = None
