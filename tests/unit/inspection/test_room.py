"""Small files that unpack into large ones are refused before anything is written."""

from __future__ import annotations

import gzip
import lzma
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import zstandard

from voidimg.errors import DiskFullError, LayoutError
from voidimg.formats.unpacked_size import unpacked_bytes
from voidimg.inspection.opened import open_artifact, raw_image

CONTENT = bytes(510) + b"\x55\xaa" + bytes(3 * 2**20)
PACKED = {
    "xz": lzma.compress(CONTENT),
    "xz-streams": lzma.compress(CONTENT[:1000]) + lzma.compress(CONTENT[1000:]),
    "xz-padded": lzma.compress(CONTENT) + bytes(8),
    "gzip": gzip.compress(CONTENT),
    "zstd": zstandard.compress(CONTENT),
    "zstd of several frames": b"".join(
        zstandard.compress(CONTENT[at : at + 300_000]) for at in range(0, len(CONTENT), 300_000)
    ),
}


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture(params=PACKED)
def packed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "board.img.packed"
    path.write_bytes(PACKED[request.param])
    return path


def test_the_size_is_known_before(packed: Path) -> None:
    assert unpacked_bytes(packed) == len(CONTENT)


def test_blocks_of_xz_add_up(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(CONTENT)
    subprocess.run(["xz", "--block-size=300000", "-T2", tmp_path / "image"], check=True)
    assert unpacked_bytes(tmp_path / "image.xz") == len(CONTENT)


def test_damage_is_no_size(packed: Path) -> None:
    whole = packed.read_bytes()
    for cut in (0, 5, 20, len(whole) // 2, len(whole) - 1):
        packed.write_bytes(whole[:cut])
        unpacked_bytes(packed)
    for at in range(max(0, len(whole) - 80), len(whole)):
        packed.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        unpacked_bytes(packed)


def test_room_is_asked_for_before(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: _Usage(1, 1, len(CONTENT) - 1))
    scratch = tmp_path / "scratch"
    with (
        pytest.raises(DiskFullError, match=r"unpacking board\.img\.packed"),
        raw_image(open_artifact(packed), scratch),
    ):
        pass
    assert list(scratch.iterdir()) == []


def test_with_room_it_is_unpacked(packed: Path, tmp_path: Path) -> None:
    with raw_image(open_artifact(packed), tmp_path / "scratch") as raw:
        assert raw.read_bytes() == CONTENT


def test_an_image_larger_than_any_is_refused(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voidimg.inspection.opened._MAX_BYTES", 2**20)
    with (
        pytest.raises(LayoutError, match="more than the 1 MiB"),
        raw_image(open_artifact(packed), tmp_path / "scratch"),
    ):
        pass
