"""Growth at the first start, on plain files: what growpart makes of each layout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.grub_disk import BIOS, EPOCH, ESP, LINUX, MIB, ROOT, SWAP, plan_of, tree_of, with_grub
from voidimg.disk.image import write_image
from voidimg.formats.partition_table import SECTOR_BYTES, PartitionTable, read_table
from voidimg.spec.disk_model import Disk, Partition

_SWAP = Partition(name="swap", size=2 * MIB, type=SWAP, filesystem="swap")
_SMALL = ROOT.model_copy(update={"size": 24 * MIB})
_HOME = ROOT.model_copy(update={"name": "home", "mount": "/home"})
_BOOT = ESP.model_copy(update={"name": "boot", "type": LINUX, "mount": "/boot", "active": True})
_MBR_BOOT = _BOOT.model_copy(update={"type": "0x0e"})
_MBR_ROOT = ROOT.model_copy(update={"type": "0x83"})

LAYOUTS = {
    "generic": (Disk(label="gpt", partitions=(BIOS, ESP, ROOT), headroom=MIB), True),
    "swap": (Disk(label="gpt", partitions=(BIOS, ESP, _SWAP, ROOT), headroom=MIB), True),
    "data": (Disk(label="gpt", partitions=(BIOS, ESP, _SMALL, _HOME), headroom=MIB), True),
    "Pi, GPT": (Disk(label="gpt", partitions=(_BOOT, ROOT), headroom=MIB), False),
    "Pi, MBR": (Disk(label="mbr", partitions=(_MBR_BOOT, _MBR_ROOT), headroom=MIB), False),
}
"""The layouts that people ask for, and whether GRUB starts them."""


def same_but_size(table: PartitionTable) -> list[tuple[object, ...]]:
    """What must stay: identifiers, beginnings, types, names, marks."""
    return [
        (one.number, one.start_sector, one.type, one.partuuid, one.name) for one in table.partitions
    ]


@pytest.mark.parametrize(
    ("layout", "resizer"),
    [
        (name, resizer)
        for name, (disk, _) in LAYOUTS.items()
        # sgdisk would make a GPT of an MBR, so growpart never takes it there.
        for resizer in (("sfdisk", "sgdisk") if disk.label == "gpt" else ("sfdisk",))
    ],
)
def test_the_last_partition_grows_and_keeps_its_names(
    layout: str, resizer: str, tmp_path: Path
) -> None:
    """On a larger medium; its filesystem grows with it, and all else stays where it was."""
    disk, grub = LAYOUTS[layout]
    tree = tree_of(tmp_path)
    if grub:
        with_grub(tree, disk)
    image = tmp_path / "disk.img"
    plan = plan_of(tree, disk)
    write_image(plan, tree, image, EPOCH)
    before, first = read_table(image), image.read_bytes()[:440]
    size = plan.size_bytes + 100 * MIB + 7 * SECTOR_BYTES
    os.truncate(image, size)
    last = plan.partitions[-1]
    words = ["growpart", str(image), str(last.number)]
    environment = {**os.environ, "GROWPART_RESIZER": resizer, "LC_ALL": "C"}
    subprocess.run(words, env=environment, check=True, capture_output=True, cwd=tmp_path)

    after = read_table(image)
    assert same_but_size(after) == same_but_size(before)
    assert after.identifier == before.identifier
    grown = after.partitions[-1]
    assert size - (grown.start_sector + grown.sectors) * SECTOR_BYTES < 2 * MIB
    assert image.read_bytes()[:440] == first, "the boot code is still there"
    if disk.label == "gpt":
        said = subprocess.run(["sgdisk", "-v", image], capture_output=True, text=True, check=True)
        assert "No problems found" in said.stdout

    volume = tmp_path / "volume"
    with image.open("rb") as file, volume.open("wb") as out:
        file.seek(grown.offset_bytes)
        out.write(file.read(grown.size_bytes))
    subprocess.run(["resize2fs", volume], check=True, capture_output=True)
    subprocess.run(["e2fsck", "-f", "-n", volume], check=True, capture_output=True)
