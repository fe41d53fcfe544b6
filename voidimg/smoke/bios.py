"""BIOS: QEMU's PCs bring it along (SeaBIOS), and it starts the first medium that can be started."""

from __future__ import annotations

from voidimg.smoke.setting import Setting


def play(setting: Setting) -> tuple[str, ...]:
    """QEMU's words for it: there are none, as long as the medium is the first in the list."""
    del setting
    return ()
