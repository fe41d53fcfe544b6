"""Disks that GRUB starts: what is put where, and that the tools of their users find them sound."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.grub_disk import (
    BIOS,
    DISK,
    EPOCH,
    ESP,
    GRUB,
    MIB,
    ROOT,
    SWAP,
    UUIDS,
    make_disk,
    plan_of,
    tree_of,
    with_grub,
)
from voidimg.disk.bios_boot import core_chain, core_sector_of
from voidimg.disk.grub_disk import menu_place
from voidimg.disk.image import write_image
from voidimg.errors import CollectedError, LayoutError
from voidimg.formats.swap import read_swap
from voidimg.inspection.boot_files import BootFiles
from voidimg.spec.disk_model import Blob, Disk, Partition
from voidimg.spec.model import Grub


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound disk; only to be read."""
    return make_disk(tmp_path_factory.mktemp("disk"))


def test_the_core_lies_in_its_partition(disk: Path) -> None:
    """The first sector loads it, and it loads what follows."""
    content = disk.read_bytes()
    sector = core_sector_of(content[:512])
    assert sector == 2048
    following, count = core_chain(content[sector * 512 : sector * 512 + 512])
    assert following == 2049
    assert (count + 1) * 512 <= MIB
    assert content[446:450] == b"\0\x00\x02\x00", "the protective entry is the table's own"


def test_uefi_finds_a_loader_in_the_esp(disk: Path) -> None:
    """By the name for which no variable is needed."""
    files = BootFiles(disk, 2 * MIB)
    assert files.list() == ("/EFI/BOOT/BOOTX64.EFI",)
    assert files.read("/EFI/BOOT/BOOTX64.EFI").startswith(b"MZ")


def test_modules_lie_beside_the_menu(tmp_path: Path) -> None:
    """What a menu asks for by insmod is found, for each kind of firmware."""
    tree = with_grub(tree_of(tmp_path))
    for platform in GRUB.platforms:
        assert (tree / "boot/grub" / platform / "linux.mod").is_file()
        assert (tree / "boot/grub" / platform / "modinfo.sh").is_file()
    assert not list(tree.glob("boot/grub/*/kernel.img"))


def test_tools_of_users_find_nothing_wrong(disk: Path) -> None:
    """sgdisk reads both tables."""
    said = subprocess.run(["sgdisk", "-v", disk], capture_output=True, text=True, check=True).stdout
    assert "No problems found" in said


def test_the_same_bytes_twice(disk: Path, tmp_path: Path) -> None:
    """Wherever it is made."""
    assert make_disk(tmp_path).read_bytes() == disk.read_bytes()


def test_a_tree_without_grub(tmp_path: Path) -> None:
    """What is missing is told with the package."""
    tree = tree_of(tmp_path)
    (tree / "usr/lib/grub/i386-pc/boot.img").unlink()
    with pytest.raises(LayoutError, match=r"boot\.img"):
        with_grub(tree)
    with pytest.raises(LayoutError, match="arm64-efi") as caught:
        with_grub(tree, grub=Grub(platforms=("arm64-efi",)))
    assert "package" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("boot", "expected"),
    [(None, ("root", "/boot")), ("/boot", ("esp", "")), ("/boot/efi", ("root", "/boot"))],
)
def test_where_the_menu_is(boot: str | None, expected: tuple[str, str]) -> None:
    """In the filesystem that holds ``/boot``, which may be one of its own."""
    disk = DISK.model_copy(update={"partitions": (ESP.model_copy(update={"mount": boot}), ROOT)})
    name, prefix = expected
    place = menu_place(disk, UUIDS)
    assert (place.uuid, place.prefix) == (UUIDS[name], prefix)


def test_swap_is_what_mkswap_makes(tmp_path: Path) -> None:
    """blkid reads UUID and label."""
    swap = Partition(name="swap", size=4 * MIB, type=SWAP, filesystem="swap", label="pages")
    disk = DISK.model_copy(update={"partitions": (BIOS, ESP, swap, ROOT)})
    tree = with_grub(tree_of(tmp_path), disk)
    image = tmp_path / "disk.img"
    plan = plan_of(tree, disk)
    write_image(plan, tree, image, EPOCH)
    place = plan.partition("swap")
    with image.open("rb") as file:
        found = read_swap(file, place.offset_bytes)
    assert found is not None
    assert (found.pages, found.uuid, found.label) == (1024, place.identifiers.uuid, "pages")
    words = [
        "blkid",
        "-p",
        "-O",
        str(place.offset_bytes),
        "-S",
        str(4 * MIB),
        "-o",
        "export",
        str(image),
    ]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert {"TYPE=swap", f"UUID={found.uuid}", "LABEL=pages"} <= set(said.splitlines())
    assert "No problems found" in subprocess.run(
        ["sgdisk", "-v", image], capture_output=True, text=True, check=True
    ).stdout  # fmt: skip


def test_a_blob_in_a_partition_begins_it(tmp_path: Path) -> None:
    """And the tools see that something is there."""
    spl = Partition(name="spl", start=32768, size=64 * 1024, type=SWAP, filesystem="none")
    disk = Disk(
        label="gpt",
        first_partition=16 * MIB,
        headroom=MIB,
        partitions=(spl, ROOT),
        blobs=(Blob(source="/usr/lib/spl.bin", partition="spl"),),
    )
    tree = tree_of(tmp_path, {"/usr/lib/spl.bin": b"spl" * 1000})
    image = tmp_path / "disk.img"
    write_image(plan_of(tree, disk), tree, image, EPOCH)
    assert image.read_bytes()[32768 : 32768 + 3000] == b"spl" * 1000
    said = subprocess.run(["sgdisk", "-v", image], capture_output=True, text=True, check=True)
    assert "No problems found" in said.stdout


def refused(tree: Path, disk: Disk) -> str:
    """What is said of a disk that cannot be laid out."""
    with pytest.raises((LayoutError, CollectedError)) as caught:
        plan_of(tree, disk)
    return str(caught.value)


def test_what_overlaps_is_named_with_numbers(tmp_path: Path) -> None:
    """Both, whatever they are: partitions, blobs, the core, the table."""
    tree = tree_of(tmp_path, {"/blob": bytes(100_000), "/other": bytes(10)})
    mbr = Disk(label="mbr", partitions=(ROOT.model_copy(update={"type": "0x83"}),))

    def blobs(*blobs: Blob, disk: Disk = mbr) -> Disk:
        return disk.model_copy(update={"blobs": blobs})

    at = Blob(source="/blob", offset=8192)
    text = refused(tree, blobs(at, Blob(source="/other", offset=9000)))
    assert "/other (bytes 9000 to 9009) overlaps /blob (bytes 8192 to 108191)" in text
    text = refused(tree, blobs(at.model_copy(update={"offset": MIB - 512})))
    assert f"/blob (bytes {MIB - 512} to" in text
    assert f"overlaps the partition root (bytes {MIB} to" in text
    text = refused(tree, blobs(at.model_copy(update={"offset": 100 * MIB})))
    assert "lies behind the partition root" in text
    core = tree / "boot/grub/i386-pc"
    core.mkdir(parents=True, exist_ok=True)
    (core / "core.img").write_bytes(bytes(60_000))
    text = refused(tree, blobs(at))
    assert "/blob (bytes 8192 to 108191) overlaps GRUB's core for BIOS (bytes 512 to 60511)" in text
    late = ROOT.model_copy(update={"start": 8 * MIB})
    text = refused(tree, DISK.model_copy(update={"partitions": (BIOS, ESP, late)}))
    assert f"the partition root (bytes {8 * MIB} to" in text
    assert "overlaps the partition esp" in text


def test_a_core_without_room(tmp_path: Path) -> None:
    """A GPT needs a partition for it, and one that is large enough."""
    tree = tree_of(tmp_path, {"/boot/grub/i386-pc/core.img": bytes(70_000)})
    small = BIOS.model_copy(update={"size": 65536})
    assert "has no room" in refused(
        tree, DISK.model_copy(update={"partitions": (small, ESP, ROOT)})
    )
    assert "BIOS boot partition" in refused(
        tree, DISK.model_copy(update={"partitions": (ESP, ROOT)})
    )


def test_a_boot_partition_needs_room_for_another_kernel(tmp_path: Path) -> None:
    """The kernel of an update is unpacked beside the old one."""
    boot = ESP.model_copy(update={"mount": "/boot", "size": 8 * MIB, "fat": ESP.fat})
    tree = tree_of(tmp_path, {"/boot/vmlinuz-9": bytes(4 * MIB)})
    disk = DISK.model_copy(update={"partitions": (boot, ROOT)})
    assert "update of the kernel needs 4194304" in refused(tree, disk)
    larger = boot.model_copy(update={"size": 16 * MIB})
    assert plan_of(tree, DISK.model_copy(update={"partitions": (larger, ROOT)}))
