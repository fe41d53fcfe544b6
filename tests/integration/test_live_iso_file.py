"""What other programs say of a whole live ISO: nothing, or that it is well."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.images import built_iso
from voidimg.formats.cpio import decode_initramfs
from voidimg.formats.iso9660 import open_iso
from voidimg.formats.partition_table import SECTOR_BYTES
from voidimg.run import run

MB = 10**6
EFI, SQUASHFS = "/boot/grub/efiboot.img", "/LiveOS/squashfs.img"
COMPLAINTS = re.compile("WARNING|SORRY|FAILURE|FATAL|MISHAP")
"""How xorriso calls what is not as it should be."""


@pytest.fixture(scope="module")
def iso() -> Path:
    """The base live ISO; only to be read."""
    return built_iso()


def spaced(text: str) -> str:
    """With single blanks."""
    return re.sub(" +", " ", text)


def test_boot_catalog_and_system_area(iso: Path) -> None:
    """xorriso finds both loaders in the catalog, the MBR and the GPT, and has no complaint."""
    words = ["-report_el_torito", "plain", "-report_system_area", "plain"]
    said = run(["xorriso", "-indev", iso, *words])
    assert COMPLAINTS.search(said.stderr) is None, said.stderr
    report = spaced(said.stdout.decode())
    for line in (
        "El Torito boot img : 1 BIOS y none 0x0000 0x00 4 ",
        "El Torito img path : 1 /boot/isolinux/isolinux.bin",
        "El Torito img opts : 1 boot-info-table isohybrid-suitable",
        "El Torito boot img : 2 UEFI y none 0x0000 0x00 4096 ",
        f"El Torito img path : 2 {EFI}",
        "System area summary: MBR isohybrid cyl-align-off GPT",
        "MBR partition path : 1 /boot/isolinux/isolinux.bin",
        f"MBR partition path : 2 {EFI}",
        f"GPT partition path : 1 {EFI}",
    ):
        assert line in report


def test_the_tables_of_a_usb_stick(iso: Path) -> None:
    """sgdisk verifies both copies of the GPT; status 2 is of the MBR (`voidimg.live.hybrid`)."""
    said = run(["sgdisk", "-v", iso], good=(2,)).stdout.decode()
    assert "No problems found" in said
    assert "Caution" not in said
    with iso.open("rb") as file:
        assert file.seek(0, 2) % 2**20 == 0


def test_the_efi_system_partition(iso: Path, tmp_path: Path) -> None:
    """sfdisk finds it, fsck is content, and it has the two loaders that firmware looks for."""
    table = json.loads(run(["sfdisk", "--json", iso]).stdout)["partitiontable"]
    (found,) = (part for part in table["partitions"] if part["type"] == "ef")
    esp = tmp_path / "esp"
    with iso.open("rb") as file:
        file.seek(found["start"] * SECTOR_BYTES)
        esp.write_bytes(file.read(found["size"] * SECTOR_BYTES))
    said = run(["fsck.fat", "-n", "-v", esp])
    assert b"Dirty bit" not in said.stdout + said.stderr.encode()
    listed = run(["mdir", "-b", "-/", "-i", esp, "::"]).stdout.decode().split()
    assert {"::/EFI/BOOT/BOOTIA32.EFI", "::/EFI/BOOT/BOOTX64.EFI"} <= set(listed)


@pytest.mark.parametrize("system", ["rockridge", "joliet"])
def test_every_file_is_listed(iso: Path, system: str) -> None:
    """With the same names by Rock Ridge and by Joliet, as voidimg itself reads them."""
    other = {"rockridge": "joliet", "joliet": "rockridge"}[system]
    listed = run(["bsdtar", "-tf", iso, "--options", f"iso9660:!{other}"]).stdout.decode()
    found = {f"/{line}" for line in listed.splitlines()}
    with open_iso(iso) as opened:
        files = set(opened.files)
    directories = {str(above) for path in files for above in Path(path).parents}
    assert found - directories - {"/."} == files
    assert {SQUASHFS, EFI, "/boot/vmlinuz", "/boot/initrd"} <= files


def test_xorriso_lists_every_file_with_its_mode(iso: Path) -> None:
    """By Rock Ridge: nobody can write, root owns."""
    said = run(["xorriso", "-indev", iso, "-find", "/", "-exec", "lsdl", "--"])
    assert COMPLAINTS.search(said.stderr) is None, said.stderr
    lines = spaced(said.stdout.decode()).splitlines()
    modes = {line.split("'")[1]: line.split(" ")[:4] for line in lines}
    with open_iso(iso) as opened:
        assert set(opened.files) <= set(modes)
    assert modes[SQUASHFS] == ["-r--r--r--", "1", "0", "0"]
    assert modes["/boot/initrd"] == ["-rw-r--r--", "1", "0", "0"]


def test_the_squashfs_is_the_root(iso: Path, tmp_path: Path) -> None:
    """unsquashfs reads it: the whole system at its top, without traces of the build."""
    with open_iso(iso) as opened:
        opened.copy(SQUASHFS, tmp_path / "squashfs")
    said = run(["unsquashfs", "-s", tmp_path / "squashfs"]).stdout.decode()
    assert "Found a valid SQUASHFS 4:0 superblock" in said
    assert "Compression zstd" in said
    listed = run(["unsquashfs", "-lln", tmp_path / "squashfs"]).stdout.decode().splitlines()
    paths = {line.split()[5].removeprefix("squashfs-root") for line in listed if "-root/" in line}
    assert {"/usr", "/proc", "/sys", "/dev", "/etc/hostname", "/var/db/xbps"} <= paths
    # What the kernel's hook runs stays for the installed system; what made the ISO is gone.
    assert "/etc/kernel.d/post-install/20-dracut" in paths
    assert "/usr/lib/syslinux" not in paths
    assert not [path for path in paths if path.startswith("/boot/init") or "void-live" in path]
    (dracut,) = (line for line in listed if line.endswith("squashfs-root/usr/bin/dracut"))
    assert dracut.startswith("-rwxr-xr-x")


def test_the_initramfs_is_as_bsdtar_reads_it(iso: Path, tmp_path: Path) -> None:
    """The same members, and small enough to be loaded by slow firmware."""
    with open_iso(iso) as opened:
        opened.copy("/boot/initrd", tmp_path / "initrd")
    content = (tmp_path / "initrd").read_bytes()
    assert len(content) < 25 * MB
    listed = run(["bsdtar", "-tf", tmp_path / "initrd"]).stdout.decode().split()
    found = decode_initramfs(content, lambda _path: False, "initrd")
    assert found.compression == "zstd"
    assert {f"/{path}" for path in listed if path != "."} == set(found.entries)
