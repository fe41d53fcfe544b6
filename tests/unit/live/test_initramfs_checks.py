"""An initramfs that cannot start a live medium is refused before anything is built upon it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import zstandard

from tests.live_medium import cpio_archive
from voidimg.errors import LayoutError
from voidimg.live.verify_initramfs import check_initramfs

RELEASE = "6.12.9_1"
MODULES = f"/usr/lib/modules/{RELEASE}"
SOUND: Mapping[str, bytes] = {
    "/usr/sbin/dmsquash-live-root": b"#!/bin/sh\n",
    "/usr/lib/void-live/lib.sh": b"",
    f"{MODULES}/modules.builtin": b"kernel/drivers/block/loop.ko\nkernel/fs/isofs/isofs.ko\n",
    f"{MODULES}/kernel/fs/squashfs/squashfs.ko.zst": b"driver",
    f"{MODULES}/kernel/fs/overlayfs/overlay.ko": b"driver",
}


def test_a_sound_one() -> None:
    """Drivers are modules, compressed or not, or part of the kernel."""
    check_initramfs(zstandard.ZstdCompressor().compress(cpio_archive(SOUND)), RELEASE)


def without(end: str) -> dict[str, bytes]:
    return {path: text for path, text in SOUND.items() if not path.endswith(end)}


@pytest.mark.parametrize(
    ("files", "release", "what"),
    [
        (SOUND, "6.12.10_1", "has modules of 6.12.9_1, not of 6.12.10_1"),
        ({"/init": b""}, RELEASE, "has modules of no kernel, not of 6.12.9_1"),
        (without("dmsquash-live-root"), RELEASE, "dracut's script"),
        (without("lib.sh"), RELEASE, "the hooks"),
        (without("modules.builtin"), RELEASE, "no driver isofs"),
        (without("squashfs.ko.zst"), RELEASE, "no driver squashfs"),
    ],
)
def test_unfit_ones_are_refused(files: Mapping[str, bytes], release: str, what: str) -> None:
    """For another kernel, or without what finds and mounts the medium."""
    with pytest.raises(LayoutError, match=what) as caught:
        check_initramfs(cpio_archive(files), release)
    assert caught.value.code == "E-LAYOUT-INITRAMFS-UNFIT"
