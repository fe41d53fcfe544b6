"""Small disks for the tests, one for each kind of partition table."""

from __future__ import annotations

from pathlib import Path

from voidimg.disk.contents import measure_tree
from voidimg.disk.plan import DiskPlan, plan_disk
from voidimg.identity import Identity
from voidimg.spec.disk_model import Blob, Disk, Ext4, Fat, Partition

MIB = 2**20
IDENTITY = Identity("test 20240314")
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"
BOOT = Partition(
    name="boot",
    size=36 * MIB,
    type="0x0c",
    filesystem="vfat",
    active=True,
    mount="/boot",
    label="BOOT",
)
ROOT = Partition(name="root", size="rest", type="0x83", filesystem="ext4", mount="/", label="void")
MBR = Disk(label="mbr", partitions=(BOOT, ROOT), headroom=2 * MIB)
GPT = Disk(
    label="gpt",
    first_partition=16 * MIB,
    headroom=MIB,
    partitions=(
        BOOT.model_copy(update={"type": LINUX, "size": 8 * MIB, "fat": Fat(bits=16)}),
        ROOT.model_copy(update={"type": LINUX, "ext4": Ext4(journal=True)}),
    ),
    blobs=(Blob(source="/usr/bin/su", offset=32768),),
)


def planned(disk: Disk, tree: Path) -> DiskPlan:
    """The plan of `disk` for what is in `tree`."""
    measured = measure_tree(tree, disk)
    return plan_disk(
        disk, contents=measured.contents, identity=IDENTITY, blob_bytes=measured.blob_bytes
    )
