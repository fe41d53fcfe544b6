"""Reading the FAT partition of a raw image in place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.disk.conftest import MIB
from voidimg.errors import LayoutError
from voidimg.formats.fat import fat_bits, read_fat
from voidimg.inspection.boot_files import open_boot_files


def test_files_are_listed_by_path(mbr_image: Path) -> None:
    """Files of subdirectories too, without the directories themselves."""
    boot = open_boot_files(mbr_image)
    assert boot.list() == ("/cmdline.txt", "/overlays/odd [1].dtbo")
    assert boot.list("/overlays") == ("/overlays/odd [1].dtbo",)


def test_content_is_read(mbr_image: Path) -> None:
    """Bytes come back as they are; case does not matter; a bracket is no pattern."""
    boot = open_boot_files(mbr_image, 1)
    assert boot.read("/cmdline.txt") == b"root=PARTUUID=1234abcd-02\n"
    assert boot.read("/CMDLINE.TXT") == boot.read("/cmdline.txt")
    assert boot.read("/overlays/odd [1].dtbo") == b"\xd0\x0d"


@pytest.mark.parametrize("path", ["/nope", "/overlays/nope", "/*.txt", "/cmdline.tx?"])
def test_a_missing_file_is_named(mbr_image: Path, path: str) -> None:
    """Patterns are not followed: they are names that FAT cannot have."""
    boot = open_boot_files(mbr_image)
    assert not boot.has(path)
    with pytest.raises(LayoutError, match="there is no") as caught:
        boot.read(path)
    assert caught.value.code == "E-LAYOUT-NO-FILE"


def test_all_can_be_copied_out(mbr_image: Path, tmp_path: Path) -> None:
    """`copy_all` makes the same tree on the host."""
    target = tmp_path / "out"
    target.mkdir()
    open_boot_files(mbr_image).copy_all(target)
    assert (target / "overlays" / "odd [1].dtbo").read_bytes() == b"\xd0\x0d"


def test_a_partition_without_fat_is_refused(mbr_image: Path) -> None:
    """Partition 2 is empty."""
    with pytest.raises(LayoutError, match="partition 2 does not hold a FAT"):
        open_boot_files(mbr_image, 2)


def test_the_volume_says_what_it_is(mbr_image: Path) -> None:
    """Type by cluster count, serial as in fstab, label and free space as fsck counts them."""
    with mbr_image.open("rb") as file:
        volume = read_fat(file, MIB, 40 * MIB)
    assert volume is not None
    assert (volume.bits, volume.serial, volume.label) == (32, "DEAD-BEEF", "BOOT")
    assert volume.sectors_per_cluster == 1
    # root directory, /overlays, and one cluster for each of the two files
    assert volume.clusters - volume.free_clusters == 4


@pytest.mark.parametrize(
    ("clusters", "bits"), [(1, 12), (4084, 12), (4085, 16), (65524, 16), (65525, 32)]
)
def test_cluster_count_decides_the_type(clusters: int, bits: int) -> None:
    """The limits of the FAT specification."""
    assert fat_bits(clusters) == bits
