"""A small image set, and keys without a passphrase."""

from __future__ import annotations

from pathlib import Path

import pytest

from voidimg.identity import ReleaseDate
from voidimg.signing.keys import ReleaseKey, create_release_key

DATE = ReleaseDate.parse("20240314")
FILES = {
    "void-rpi-aarch64-20240314.img.xz": b"\xfd7zXZ\0 image YZ",
    "void-aarch64-ROOTFS-20240314.tar.xz": b"\xfd7zXZ\0 tree YZ",
    "void-rpi-aarch64-20240314.lock.json": b"{}\n",
}


@pytest.fixture
def image_set(tmp_path: Path) -> Path:
    """A directory named by its date, with three files."""
    directory = tmp_path / "out" / "20240314"
    directory.mkdir(parents=True)
    for name, content in FILES.items():
        (directory / name).write_bytes(content)
    return directory


@pytest.fixture
def key(tmp_path: Path) -> ReleaseKey:
    """The key of the set, unencrypted."""
    return create_release_key(DATE, tmp_path, passphrase=None)
