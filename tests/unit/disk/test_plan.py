"""The plan of a disk: sectors, sizes, identifiers, and what does not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voidimg.disk.identifiers import disk_identifiers
from voidimg.disk.plan import DiskPlan, Ext4Plan, FatPlan, plan_disk
from voidimg.errors import CollectedError, LayoutError
from voidimg.formats import ext4, fat
from voidimg.formats.contents import Contents
from voidimg.identity import Identity
from voidimg.spec.disk_model import Blob, Disk, Fat, Partition

MIB = 2**20
IDENTITY = Identity("rpi-aarch64 20240314")
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
BOOT = Partition(
    name="boot", size=256 * MIB, type="0x0c", filesystem="vfat", active=True, mount="/boot"
)
SMALL_BOOT = BOOT.model_copy(update={"size": 64 * MIB})
ROOT = Partition(name="root", size="rest", type="0x83", filesystem="ext4", mount="/")
PI = Disk(label="mbr", partitions=(BOOT, ROOT))
CONTENTS = {
    "boot": Contents.estimated(80 * MIB, 400),
    "root": Contents.estimated(600 * MIB, 40_000),
}


def plan(disk: Disk, **blobs: int) -> DiskPlan:
    """The plan of `disk` with the usual contents."""
    return plan_disk(disk, contents=CONTENTS, identity=IDENTITY, blob_bytes=blobs)


def test_a_pi_image_follows_from_its_content() -> None:
    """The boot partition at 1 MiB, the root behind it, whole mebibytes, the headroom free."""
    planned = plan(PI)
    boot, root = planned.partitions
    assert (boot.start_sector, boot.sectors, boot.type, boot.active) == (2048, 524288, "0x0c", True)
    assert (root.start_sector, root.type, root.other_mounts) == (526336, "0x83", ("/boot",))
    assert planned.size_bytes == root.offset_bytes + root.size_bytes
    assert planned.size_bytes % MIB == 0
    assert isinstance(boot.filesystem, FatPlan)
    assert boot.filesystem.geometry.sectors_per_cluster == 4
    assert boot.filesystem.geometry.clusters >= 65525
    assert isinstance(root.filesystem, Ext4Plan)
    geometry = root.filesystem.geometry
    left = geometry.free_blocks - ext4.blocks_needed(CONTENTS["root"])
    assert left * 4096 >= PI.headroom + geometry.blocks // 100 * 4096
    assert left * 4096 < PI.headroom + geometry.blocks // 100 * 4096 + 2 * MIB


def test_identifiers_are_known_before_any_size() -> None:
    """The plan carries the same ones as `disk_identifiers` gives without contents."""
    names = disk_identifiers(PI, IDENTITY)
    assert plan(PI).identifiers == names
    assert names.partition("root").partuuid == f"{names.signature:08x}-02"
    assert len(names.partition("boot").uuid) == 9
    assert names.partition("root").uuid == str(names.partition("root").ext4_uuid)
    assert disk_identifiers(PI, Identity("other")).signature != names.signature


def test_gpt_partitions_are_named_by_guid() -> None:
    """PARTUUID is the entry's own GUID; the backup table gets its room at the end."""
    disk = Disk(
        label="gpt",
        first_partition=16 * MIB,
        partitions=(
            BOOT.model_copy(update={"type": LINUX, "size": 512 * MIB}),
            ROOT.model_copy(update={"type": LINUX}),
        ),
        blobs=(Blob(source="/a", offset=32768), Blob(source="/b", offset=8 * MIB)),
    )
    planned = plan(disk, **{"/a": 200_000, "/b": 900_000})
    boot, root = planned.partitions
    assert (boot.start_sector, root.start_sector) == (32768, 1081344)
    assert boot.type == LINUX.lower()
    assert boot.identifiers.partuuid == str(boot.identifiers.guid)
    assert planned.size_bytes == root.offset_bytes + root.size_bytes + MIB
    assert planned.blobs[1].length_bytes == 900_000


def test_a_given_size_is_kept_and_the_last_partition_takes_the_rest() -> None:
    """An image of 2 GiB, whatever is in it."""
    planned = plan(PI.model_copy(update={"size": 2048 * MIB}))
    assert planned.size_bytes == 2048 * MIB
    assert planned.partition("root").size_bytes == (2048 - 257) * MIB


@pytest.mark.parametrize(
    ("disk", "code", "words"),
    [
        (
            PI.model_copy(update={"partitions": (SMALL_BOOT, ROOT)}),
            "TOO-SMALL",
            ("need 84", "at least 8", "boot"),
        ),
        (PI.model_copy(update={"size": 700 * MIB}), "TOO-SMALL", ("room for", "the disk")),
        (PI.model_copy(update={"size": 200 * MIB}), "NO-ROOM", ("nothing is left",)),
        (PI.model_copy(update={"first_partition": 256}), "FIRST-PARTITION", ("512",)),
        (PI.model_copy(update={"partitions": (ROOT, BOOT)}), "REST", ("root",)),
        (PI.model_copy(update={"partitions": (BOOT,) * 5}), "TOO-MANY", ("gpt",)),
        (PI.model_copy(update={"label": "gpt"}), "TYPE", ("GUID",)),
        (
            PI.model_copy(update={"blobs": (Blob(source="/u-boot", offset=MIB),)}),
            "OVERLAP",
            ("the partition boot", "/u-boot"),
        ),
        (
            PI.model_copy(update={"blobs": (Blob(source="/u-boot", offset=0),)}),
            "OVERLAP",
            ("table",),
        ),
        (
            Disk(label="mbr", size=100 * MIB, partitions=(BOOT,)),
            "NO-ROOM",
            (str(257 * MIB), str(100 * MIB)),
        ),
        (
            Disk(label="mbr", partitions=(BOOT, BOOT.model_copy(update={"size": 2**41}))),
            "MBR-LIMIT",
            ("2 TiB",),
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_says_what_to_change(
    disk: Disk, code: str, words: tuple[str, ...]
) -> None:
    """Each error names sizes, and the hint what to do."""
    with pytest.raises((LayoutError, CollectedError)) as caught:
        plan(disk, **{"/u-boot": 300_000})
    error = caught.value
    first = error.errors[0] if isinstance(error, CollectedError) else error
    assert first.code == f"E-LAYOUT-{code}"
    assert all(word in str(first) for word in words), str(first)


def test_several_problems_are_told_at_once() -> None:
    """Two partitions that are too small are one collected error."""
    tiny = ROOT.model_copy(update={"size": 64 * MIB})
    with pytest.raises(CollectedError) as caught:
        plan(Disk(label="mbr", partitions=(SMALL_BOOT, tiny)))
    assert [error.where for error in caught.value.errors] == ["boot", "root"]


@pytest.mark.parametrize(
    ("mib", "bits", "per_cluster"),
    [
        (256, 32, 4),
        (512, 32, 8),
        (100, 32, 2),
        (40, 32, 1),
        (256, 16, 8),
        (512, 16, 16),
        (8, 12, 8),
    ],
)
def test_cluster_size_agrees_with_the_type(mib: int, bits: int, per_cluster: int) -> None:
    """The largest cluster up to 4 KiB that gives a valid count, or the least above it."""
    geometry = fat.choose_geometry(mib * 2048, _bits(bits), None, "boot")
    assert geometry.sectors_per_cluster == per_cluster


@pytest.mark.parametrize(("mib", "bits", "per_cluster"), [(256, 32, 8), (32, 32, None), (4, 16, 8)])
def test_a_disagreeing_cluster_size_is_refused(
    mib: int, bits: int, per_cluster: int | None
) -> None:
    """FAT32 of 256 MiB with 8 sectors a cluster would be read as FAT16 by some."""
    with pytest.raises(LayoutError, match="clusters") as caught:
        fat.choose_geometry(mib * 2048, _bits(bits), per_cluster, "boot")
    assert caught.value.code == "E-LAYOUT-FAT-CLUSTERS"


def test_a_fat16_root_directory_is_not_endless() -> None:
    """300 long names need more than 512 entries."""
    many = Contents(files=(1,) * 300, directories=(tuple(f"name-{n:020}" for n in range(300)),))
    boot = BOOT.model_copy(update={"fat": Fat(bits=16)})
    with pytest.raises(LayoutError, match="512") as caught:
        plan_disk(Disk(label="mbr", partitions=(boot,)), contents={"boot": many}, identity=IDENTITY)
    assert caught.value.code == "E-LAYOUT-FAT-ROOT-FULL"


def test_a_boot_partition_can_follow_from_its_content_too() -> None:
    """`rest` works for FAT; the type's least number of clusters is respected."""
    rest = BOOT.model_copy(update={"size": "rest"})
    planned = plan_disk(
        Disk(label="mbr", partitions=(rest,), headroom=MIB),
        contents={"boot": Contents(files=(5,), directories=(("a",),))},
        identity=IDENTITY,
    )
    filesystem = planned.partitions[0].filesystem
    assert isinstance(filesystem, FatPlan)
    assert filesystem.geometry.clusters >= 65525
    assert planned.size_bytes < 40 * MIB


@given(
    sizes=st.lists(st.integers(0, 5 * MIB), max_size=60),
    directories=st.integers(1, 50),
    headroom=st.integers(0, 40 * MIB),
    journal=st.booleans(),
)
def test_the_derived_ext4_size_always_fits(
    sizes: list[int], directories: int, headroom: int, journal: bool
) -> None:
    """Whatever the content, the least size holds it, and one step less does not leave the room."""
    contents = Contents(tuple(sizes), directories=(("some name",),) * directories)
    size = ext4.smallest_fitting(
        contents, free_bytes=headroom, reserved_percent=1, journal=journal, step_bytes=MIB
    )
    geometry = ext4.geometry_of(size, contents.inodes, journal=journal)
    assert ext4.fits(geometry, contents)
    needed = ext4.blocks_needed(contents) * 4096 + headroom
    assert needed <= geometry.free_blocks * 4096 - geometry.blocks // 100 * 4096
    assert geometry.blocks * 4096 <= size


def _bits(bits: int) -> fat.Bits:
    return 12 if bits == 12 else 16 if bits == 16 else 32
