"""The partition table meets a full disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.disk.disks import GPT, MBR, planned
from tests.unit.disk.trees import make_tree
from voidimg.disk.plan import DiskPlan
from voidimg.disk.table_writer import write_table
from voidimg.errors import DiskFullError
from voidimg.sandbox import kernel
from voidimg.sandbox.namespace import call


def write_on_a_full_disk(plan: DiskPlan, directory: str) -> None:
    """Write the table into a sparse image, on a file system without a free page."""
    kernel.mount("tmpfs", directory, "tmpfs", options="size=64k")
    image = Path(directory, "private", "disk.img")
    image.parent.mkdir()
    with image.open("xb") as file:
        file.truncate(plan.size_bytes)
    Path(directory, "filler").write_bytes(bytes(64 * 1024))
    write_table(plan, image)


@pytest.mark.parametrize("disk", [MBR, GPT], ids=["mbr", "gpt"])
def test_a_full_disk_is_told_as_such(disk: object, tmp_path: Path) -> None:
    """libparted's words become the error of every other full disk."""
    tree = make_tree(tmp_path / "tree", 1)
    full = tmp_path / "full"
    full.mkdir()
    plan = planned(MBR if disk is MBR else GPT, tree)
    with pytest.raises(DiskFullError) as caught:
        call(write_on_a_full_disk, plan, str(full))
    assert caught.value.code == "E-DISKFULL-FULL"
