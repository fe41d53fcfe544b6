"""Reading partition tables that sfdisk and sgdisk wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.disk.conftest import MIB, feed
from voidimg.errors import LayoutError
from voidimg.formats.partition_table import PartitionEntry, read_table

GPT = """label: gpt
label-id: 11111111-2222-8333-8444-555555555555
start=2048, size=8192, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, \
uuid=AAAAAAAA-2222-8333-8444-555555555555, name=BootFS, attrs=LegacyBIOSBootable
start=10240, size=4096, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, \
uuid=BBBBBBBB-2222-8333-8444-555555555555, name=RootFS
"""


@pytest.fixture
def gpt_image(tmp_path: Path) -> Path:
    """16 MiB with two partitions."""
    image = tmp_path / "gpt.img"
    with image.open("wb") as file:
        file.truncate(16 * MIB)
    feed("sfdisk", GPT, image)
    return image


def test_mbr_gives_signature_types_and_partuuids(mbr_image: Path) -> None:
    """Every field of an MBR that sfdisk wrote is read."""
    table = read_table(mbr_image)
    assert (table.label, table.identifier) == ("mbr", "1234abcd")
    assert table.partitions == (
        PartitionEntry(1, 2048, 81920, "0x0c", True, "", "1234abcd-01"),
        PartitionEntry(2, 83968, 79872, "0x83", False, "", "1234abcd-02"),
    )
    assert (table.partition(1).offset_bytes, table.partition(1).size_bytes) == (MIB, 40 * MIB)


def test_gpt_gives_guids_names_and_the_boot_attribute(gpt_image: Path) -> None:
    """Every field of a GPT that sfdisk wrote is read."""
    table = read_table(gpt_image)
    linux = "0fc63daf-8483-4772-8e79-3d69d8477de4"
    first, second = (f"{c * 8}-2222-8333-8444-555555555555" for c in "ab")
    assert (table.label, table.identifier) == ("gpt", "11111111-2222-8333-8444-555555555555")
    assert table.partitions == (
        PartitionEntry(1, 2048, 8192, linux, True, "BootFS", first),
        PartitionEntry(2, 10240, 4096, linux, False, "RootFS", second),
    )


def test_a_missing_number_names_those_that_exist(mbr_image: Path) -> None:
    """Asking for partition 3 of two says which there are."""
    with pytest.raises(LayoutError, match="no partition 3") as caught:
        read_table(mbr_image).partition(3)
    assert caught.value.hint == "it has 1, 2"


@pytest.mark.parametrize("content", [b"", b"x" * 100, bytes(4096)], ids=["empty", "short", "zero"])
def test_what_is_no_disk_is_said_so(tmp_path: Path, content: bytes) -> None:
    """Files without the 55 aa mark are no disk images."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(LayoutError) as caught:
        read_table(path)
    assert caught.value.code == "E-LAYOUT-NO-TABLE"


def test_a_missing_file_is_a_layout_error(tmp_path: Path) -> None:
    """The operating system's reason is in the message."""
    with pytest.raises(LayoutError, match="No such file"):
        read_table(tmp_path / "none")


@pytest.mark.parametrize("size", [79 * MIB, 2 * MIB])
def test_a_truncated_image_is_refused(mbr_image: Path, size: int) -> None:
    """A partition that ends past the file means that part of the file is missing."""
    with mbr_image.open("r+b") as file:
        file.truncate(size)
    with pytest.raises(LayoutError) as caught:
        read_table(mbr_image)
    assert caught.value.code == "E-LAYOUT-TRUNCATED"


@pytest.mark.parametrize("at", [512, 512 + 20, 1024 + 3, 512 + 60])
def test_a_flipped_byte_in_a_gpt_is_noticed(gpt_image: Path, at: int) -> None:
    """Both checksums of the primary GPT are verified."""
    content = bytearray(gpt_image.read_bytes())
    content[at] ^= 1
    gpt_image.write_bytes(content)
    with pytest.raises(LayoutError) as caught:
        read_table(gpt_image)
    assert caught.value.code == "E-LAYOUT-DAMAGED-TABLE"
