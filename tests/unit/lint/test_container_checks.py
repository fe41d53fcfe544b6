"""Checks of what comes with a disk: each is seen to fail, and not on what is sound."""

from __future__ import annotations

import io
import struct
import tarfile
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from voidimg.disk.allocation import block_map
from voidimg.disk.pack_containers import write_vhd
from voidimg.formats.block_map import BlockMap, MappedRange, encode_block_map
from voidimg.formats.partition_table import read_table
from voidimg.lint.lint import lint_artifact

MIB = 2**20
NAME = "void-tiny-20240314"


def disk(place: Path) -> Path:
    """A disk with one partition of something unknown, so all of it is in use."""
    content = bytearray(4 * MIB)
    struct.pack_into("<IHB3xB3xII", content, 440, 0x01020304, 0, 0, 0x83, 2048, 6144)
    content[510:512] = b"\x55\xaa"
    content[2 * MIB : 2 * MIB + 4] = b"text"
    path = place / f"{NAME}.img"
    path.write_bytes(content)
    return path


def with_map(place: Path, change: Callable[[BlockMap], BlockMap]) -> Path:
    image = disk(place)
    with image.open("rb") as file:
        found = block_map(file, read_table(image))
    (place / f"{image.name}.bmap").write_bytes(encode_block_map(change(found)))
    return image


def a_vhd(place: Path, at: int = -1) -> Path:
    path = place / f"{NAME}.vhd"
    write_vhd(disk(place), path, uuid.UUID(int=1), 0)
    content = bytearray(path.read_bytes())
    if at >= 0:
        content[len(content) - 512 + at] ^= 1
    path.write_bytes(content)
    return path


def metadata(place: Path, text: str) -> Path:
    path = place / f"void-tiny-INCUS-{NAME[-8:]}.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("metadata.yaml")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text.encode()))
    return path


def less(found: BlockMap) -> BlockMap:
    return BlockMap(found.image_bytes, 4096, (MappedRange(0, 0, found.ranges[0].sha256),))


def wrong(found: BlockMap) -> BlockMap:
    first = found.ranges[0]
    ranges = (MappedRange(first.first, first.last, "0" * 64), *found.ranges[1:])
    return BlockMap(found.image_bytes, 4096, ranges)


def larger(found: BlockMap) -> BlockMap:
    return BlockMap(found.image_bytes + 4096, 4096, found.ranges)


FAILING: list[tuple[str, Callable[[Path], Path]]] = [
    ("bmap-covers-metadata", lambda place: with_map(place, less)),
    ("bmap-covers-metadata", lambda place: with_map(place, larger)),
    ("bmap-checksums", lambda place: with_map(place, wrong)),
    ("vhd-footer", lambda place: a_vhd(place, 0)),
    ("vhd-footer", lambda place: a_vhd(place, 70)),
    ("incus-metadata", lambda place: metadata(place, "architecture: x86_64\n")),
    ("incus-metadata", lambda place: metadata(place, "creation_date: 1\n#architecture: x\n")),
]
"""Check -> what makes an artifact that fails it."""


@pytest.mark.parametrize(("check", "make"), FAILING)
def test_it_fails(check: str, make: Callable[[Path], Path], tmp_path: Path) -> None:
    report = lint_artifact(make(tmp_path))
    assert check in {defect.check for defect in report.defects}


@pytest.mark.parametrize(
    ("make", "checks"),
    [
        (lambda place: with_map(place, lambda found: found),
         {"bmap-covers-metadata", "bmap-checksums"}),
        (a_vhd, {"vhd-footer"}),
        (lambda place: metadata(place, "architecture: x86_64\ncreation_date: 1\n"),
         {"incus-metadata"}),
        (lambda place: metadata(place, '{"architecture": "x", "creation_date": 1}'.replace(
            ", ", ",\n")), {"incus-metadata"}),
    ],
)  # fmt: skip
def test_what_is_sound_passes(
    make: Callable[[Path], Path], checks: set[str], tmp_path: Path
) -> None:
    report = lint_artifact(make(tmp_path))
    assert checks <= set(report.checks)
    assert not checks & {defect.check for defect in report.defects}


def test_a_map_that_is_damaged_is_a_defect(tmp_path: Path) -> None:
    image = with_map(tmp_path, lambda found: found)
    place = tmp_path / f"{image.name}.bmap"
    place.write_bytes(place.read_bytes()[:-20])
    report = lint_artifact(image)
    assert "bmap-covers-metadata" in {defect.check for defect in report.defects}


def test_without_a_map_nothing_is_asked(tmp_path: Path) -> None:
    report = lint_artifact(disk(tmp_path))
    assert not [check for check in report.checks if check.startswith("bmap")]
