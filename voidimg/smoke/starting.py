"""From an artifact and a machine to what QEMU is started with; the artifact is only read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from voidimg.atomic import path_of
from voidimg.events import Listener, step
from voidimg.foreign import open_regular
from voidimg.inspection.opened import open_artifact, raw_image
from voidimg.smoke.emulator import NamelessFile, make_overlay, medium_bytes
from voidimg.smoke.live_iso import is_iso
from voidimg.smoke.machine import Drive, Start
from voidimg.smoke.players import PLAYERS
from voidimg.smoke.setting import Setting
from voidimg.spec.smoke_model import Machine


@contextmanager
def opened(image: Path, scratch: Path | None, listener: Listener) -> Iterator[Path]:
    """The raw content of `image` while this lasts: itself, or a file without a name.

    Raises:
        LayoutError: the image is damaged.
        StoreError: it cannot be unpacked.
    """
    with ExitStack() as unpacked:
        if is_iso(image):
            raw = image
        else:
            unpacked.enter_context(step(listener, f"unpack {image.name}"))
            raw = unpacked.enter_context(raw_image(open_artifact(image), scratch))
        file = open_regular(raw, block_device=True)
    # From here on an unpacked image has no name any more, and goes away with us.
    with file:
        yield raw.absolute() if raw == image else path_of(file.fileno())


def start_of(
    base: Path, machine: Machine, qemu: str, arch: str, scratch: Path, files: ExitStack
) -> Start:
    """What QEMU starts `machine` with, from the raw image `base`.

    A disk image is on a larger medium, and what the guest writes goes to an overlay; a live ISO
    is a medium that can only be read. All nameless files are in `scratch`, as long as `files` live.

    Raises:
        GuestError: what would keep the firmware from starting it.
        ToolError: something is not installed.
    """

    def keep(content: bytes) -> Path:
        return files.enter_context(NamelessFile(scratch, content)).path

    words = PLAYERS[machine.firmware](Setting(machine, qemu, base, arch, keep))
    if is_iso(base):
        return Start(Drive(base, "raw"), words)
    overlay = files.enter_context(NamelessFile(scratch)).path
    make_overlay(base, medium_bytes(base.stat().st_size), overlay)
    return Start(Drive(overlay, "qcow2"), words)
