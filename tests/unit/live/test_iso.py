"""Whole ISOs: what xorriso, sgdisk, blkid, bsdtar and GRUB find in them, and the same bytes."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shutil
import struct
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

import voidimg
from tests.unit.live.isos import BIOS, CONTENT, EFI, EPOCH, IDENTIFIERS, VOLUME_ID, planned
from voidimg.errors import CollectedError, LayoutError, StoreError, ToolError
from voidimg.formats.iso9660 import open_iso
from voidimg.formats.partition_table import read_table
from voidimg.live import clock
from voidimg.live.clock import stopped_clock
from voidimg.live.hybrid import GPT_SECTORS, padded_bytes
from voidimg.live.iso import write_iso
from voidimg.live.iso_plan import IsoFile, IsoPlan
from voidimg.run import run

PROJECT = Path(voidimg.__file__).parent.parent


@pytest.fixture(scope="module")
def isos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An ISO for BIOS and UEFI, and one for UEFI alone."""
    out = tmp_path_factory.mktemp("isos")
    for name, bios in (("both", BIOS), ("efi", None)):
        write_iso(planned(out, bios=bios), out / f"{name}.iso", EPOCH)
    return {name: out / f"{name}.iso" for name in ("both", "efi")}


def report(iso: Path) -> str:
    """What xorriso says of the boot catalog and the system area, with single blanks."""
    said = run(
        ["xorriso", "-indev", iso, "-report_el_torito", "plain", "-report_system_area", "plain"]
    )
    assert not re.search("WARNING|SORRY|FAILURE|FATAL", said.stderr)
    return re.sub(" +", " ", said.stderr + said.stdout.decode())


def test_firmware_finds_both_loaders(isos: dict[str, Path]) -> None:
    """El Torito: isolinux.bin with its boot info table, and the image of the ESP."""
    text = report(isos["both"])
    assert "El Torito boot img : 1 BIOS y none 0x0000 0x00 4 " in text
    assert "El Torito img path : 1 /boot/isolinux/isolinux.bin" in text
    assert "El Torito img opts : 1 boot-info-table isohybrid-suitable" in text
    assert "El Torito boot img : 2 UEFI y none 0x0000 0x00 2048 " in text
    assert f"El Torito img path : 2 {EFI}" in text
    assert f"Volume id : '{VOLUME_ID}'" in text


def test_without_bios_the_catalog_begins_with_uefi(isos: dict[str, Path]) -> None:
    """One entry, and a protective MBR as the UEFI specification wants it."""
    text = report(isos["efi"])
    assert "El Torito boot img : 1 UEFI y none 0x0000 0x00 2048 " in text
    assert "boot img : 2" not in text
    assert "System area summary: MBR protective-msdos-label" in text


def test_the_system_area_starts_from_usb(isos: dict[str, Path]) -> None:
    """An isohybrid MBR that names isolinux.bin, and the ESP in both tables."""
    text = report(isos["both"])
    assert "System area summary: MBR isohybrid" in text
    assert "MBR partition path : 1 /boot/isolinux/isolinux.bin" in text
    assert f"MBR partition path : 2 {EFI}" in text
    assert f"GPT partition path : 1 {EFI}" in text
    sector = isos["both"].read_bytes()[:512]
    assert sector[:432] == BIOS.mbr_code[:432]
    assert struct.unpack_from("<I", sector, 440) == (IDENTIFIERS.signature,)


@pytest.mark.parametrize("name", ["both", "efi"])
def test_the_gpt_is_sound(isos: dict[str, Path], name: str, tmp_path: Path) -> None:
    """Both copies, by sgdisk; the partitions neither overlap nor leave the file.

    It ends with 2 whatever the GPT is like when the MBR has partitions of its own, so the hybrid
    MBR gives way to a protective one here.
    """
    image = tmp_path / "x.iso"
    shutil.copyfile(isos[name], image)
    if name == "both":
        whole = image.stat().st_size // 512 - 1
        protective = struct.pack("<B3sB3sII48x", 0, b"", 0xEE, b"", 1, whole)
        with image.open("r+b") as file:
            file.seek(446)
            file.write(protective)
    said = run(["sgdisk", "-v", image]).stdout
    assert b"No problems found" in said
    assert b"Problem" not in said
    assert b"Caution" not in said
    backup = isos[name].stat().st_size // 512 - 1
    with isos[name].open("rb") as file:
        file.seek(backup * 512)
        assert file.read(8) == b"EFI PART"


def test_the_gpt_is_that_of_the_plan(isos: dict[str, Path]) -> None:
    """The GUIDs of the identity; the content follows the ESP and goes to the last whole block."""
    table = read_table(isos["efi"])
    assert table.identifier == str(IDENTIFIERS.disk)
    esp, content = table.partitions
    assert (esp.partuuid, content.partuuid) == (str(IDENTIFIERS.esp), str(IDENTIFIERS.content))
    assert content.start_sector == esp.start_sector + esp.sectors
    end = (isos["efi"].stat().st_size // 512 - GPT_SECTORS) // 4 * 4
    assert content.start_sector + content.sectors == end


@pytest.mark.parametrize("name", ["both", "efi"])
def test_every_label_is_the_whole_volume_id(isos: dict[str, Path], name: str) -> None:
    """Linux finds the medium by what blkid says, the boot loader by what GRUB reads."""
    found = run(["blkid", "-p", "-o", "value", "-s", "LABEL", isos[name]])
    assert found.stdout.decode().strip() == VOLUME_ID
    said = run(["grub-fstest", isos[name], "ls", "--", "-l", "(loop0)"]).stdout.decode()
    assert f"Filesystem type iso9660 - Label `{VOLUME_ID}'" in said


@pytest.mark.parametrize("name", ["both", "efi"])
def test_every_file_is_there(isos: dict[str, Path], name: str, tmp_path: Path) -> None:
    """Names, modes, owners, times and content, by libarchive and by xorriso (Rock Ridge)."""
    run(["bsdtar", "-x", "-p", "-f", isos[name], "-C", tmp_path])
    catalog = BIOS.catalog if name == "both" else "/boot/grub/boot.cat"
    found = {f"/{path.relative_to(tmp_path)}" for path in tmp_path.rglob("*") if path.is_file()}
    assert found - {catalog} == set(CONTENT)
    for path, (content, mode) in CONTENT.items():
        host = tmp_path / path[1:]
        if path != BIOS.loader:
            assert host.read_bytes() == content
        assert host.stat().st_mode & 0o7777 == mode
        assert host.stat().st_mtime == EPOCH
    listed = run(["xorriso", "-indev", isos[name], "-find", "/", "-exec", "lsdl"]).stdout.decode()
    assert "-r--r--r-- 1 0 0 3000001 Mar 14 2024 '/LiveOS/squashfs.img'" in re.sub(
        " +", " ", listed
    )


def test_only_the_boot_info_table_is_written_into_isolinux(isos: dict[str, Path]) -> None:
    """56 bytes at 8 (syslinux): its own place, length and sum of 32-bit words from byte 64 on."""
    original = CONTENT[BIOS.loader][0]
    with open_iso(isos["both"]) as iso:
        written = iso.read(BIOS.loader)
        block = iso.boot_entries[0].block
    assert written[:8] + written[64:] == original[:8] + original[64:]
    words = struct.unpack(f"<{len(original[64:]) // 4}I", original[64:])
    expected = (16, block, len(original), sum(words) % 2**32)
    assert struct.unpack_from("<4I", written, 8) == expected


def test_joliet_has_the_real_names(isos: dict[str, Path]) -> None:
    """What Windows shows."""
    options = "iso9660:!rockridge"
    listed = run(["bsdtar", "-t", "-f", isos["both"], "--options", options]).stdout.decode()
    assert "README \xfcber Void.txt" in listed
    assert "boot/dtbs/qcom/sc8280xp-lenovo-thinkpad-x13s.dtb" in listed


def test_isolinux_finds_its_files(isos: dict[str, Path]) -> None:
    """isolinux knows ISO 9660 names only."""
    options = "iso9660:!rockridge,iso9660:!joliet"
    listed = run(["bsdtar", "-t", "-f", isos["both"], "--options", options]).stdout.decode().split()
    assert "BOOT/ISOLINUX/ISOLINUX.CFG" in listed
    assert "BOOT/VMLINUZ" in listed
    assert "BOOT/INITRD" in listed


def test_the_reader_finds_what_was_planned(isos: dict[str, Path], tmp_path: Path) -> None:
    """Volume id, sizes, boot entries and content."""
    with open_iso(isos["both"]) as iso:
        assert iso.volume_id == VOLUME_ID
        expected = {path: len(content) for path, (content, _) in CONTENT.items()}
        assert dict(iso.files) == expected | {BIOS.catalog: 2048}
        assert [(entry.platform, entry.path) for entry in iso.boot_entries] == [
            ("bios", BIOS.loader),
            ("efi", EFI),
        ]
        assert iso.read("/boot/initrd") == CONTENT["/boot/initrd"][0]
        iso.copy(EFI, tmp_path / "esp")
        assert (tmp_path / "esp").read_bytes() == CONTENT[EFI][0]
        with pytest.raises(LayoutError, match="there is no /boot/none on the ISO"):
            iso.read("/boot/none")
        with pytest.raises(LayoutError, match="more than 10 bytes"):
            iso.read("/boot/initrd", max_bytes=10)


def test_an_iso_that_starts_nowhere_is_an_iso(tmp_path: Path) -> None:
    """Without loaders there is no catalog."""
    out = tmp_path / "plain.iso"
    write_iso(planned(tmp_path, bios=None, efi=None), out, EPOCH)
    with open_iso(out) as iso:
        assert iso.boot_entries == ()
        assert set(iso.files) == set(CONTENT)
    assert b"No problems found" in run(["sgdisk", "-v", out]).stdout


SCRIPT = """
import os, sys
from pathlib import Path
from tests.unit.live.isos import EPOCH, planned
from voidimg.live.iso import write_iso
os.umask(int(sys.argv[3], 8))
scratch = Path(sys.argv[1])
scratch.mkdir()
write_iso(planned(scratch, seed=int(sys.argv[2])), scratch / "some.iso", EPOCH)
"""


def test_the_same_plan_gives_the_same_bytes(isos: dict[str, Path], tmp_path: Path) -> None:
    """Whatever the time, time zone, umask, directory, hash seed, and order of the files."""
    time.sleep(1.1)
    target = tmp_path / "elsewhere"
    subprocess.run(
        [sys.executable, "-c", SCRIPT, target, "7", "077"],
        env={**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "3", "PYTHONPATH": str(PROJECT)},
        cwd=tmp_path,
        check=True,
    )
    digests = {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (isos["both"], target / "some.iso")
    }
    assert len(digests) == 1
    assert (target / "some.iso").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("extra", [0, 512, 2**20 - 33 * 512, 2**20 - 32 * 512, 2**20 - 2048])
def test_the_backup_gpt_never_lies_on_content(tmp_path: Path, extra: int) -> None:
    """Wherever the ISO ends within a mebibyte, its last bytes stay."""
    content = b"\xa5" * (2**20 + extra)
    plan = IsoPlan("V", (IsoFile("/x", content),), IDENTIFIERS)
    write_iso(plan, tmp_path / "x.iso", EPOCH)
    with open_iso(tmp_path / "x.iso") as iso:
        assert iso.read("/x") == content
    assert padded_bytes(2**20 - 33 * 512) == 2**20
    assert padded_bytes(2**20 - 33 * 512 + 1) == 2 * 2**20


def test_large_files_do_not_take_memory(tmp_path: Path) -> None:
    """200 MiB are written in pieces."""
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(200 * 2**20)
    plan = IsoPlan("V", (IsoFile("/large", large),), IDENTIFIERS)
    write_iso(plan, tmp_path / "warm.iso", EPOCH)
    tracemalloc.start()
    try:
        write_iso(plan, tmp_path / "x.iso", EPOCH)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("apart", [False, True])
def test_a_file_in_several_extents_is_one(apart: bool, tmp_path: Path) -> None:
    """As files from 4 GiB on are: two are made the extents of one, mostly neighbours."""
    content = {"/a": b"1" * 2048, "/b": b"2" * 1000, "/c": b"3" * 1000}
    files = tuple(IsoFile(path, text) for path, text in content.items())
    path = tmp_path / "x.iso"
    write_iso(IsoPlan("V", files, IDENTIFIERS), path, EPOCH)
    with open_iso(path) as iso:
        begin, elsewhere = (iso.offset_bytes(name) or 0 for name in ("/a", "/c"))
    image = bytearray(path.read_bytes())
    name = image.index(b"A.;1")
    image[name - 8] |= 0x80  # not the last extent
    other = image.index(b"B.;1", name)
    image[other : other + 1] = b"A"
    if apart:
        struct.pack_into("<I", image, other - 33 + 2, elsewhere // 2048)
        struct.pack_into(">I", image, other - 33 + 6, elsewhere // 2048)
    real = image.index(b"NM\x06\x01\x00b", other)
    image[real + 5 : real + 6] = b"a"
    path.write_bytes(image)
    with open_iso(path) as iso:
        assert iso.files["/a"] == 3048
        assert iso.read("/a") == content["/a"] + content["/c" if apart else "/b"]
        assert iso.offset_bytes("/a") == (None if apart else begin)


def test_what_is_wrong_is_said_all_at_once(tmp_path: Path) -> None:
    """Volume id, names, missing files and loaders; nothing is written."""
    files = (
        IsoFile("/a", b""),
        IsoFile("/a", b""),
        IsoFile("/a/b", b""),
        IsoFile("relative", b""),
        IsoFile("/../up", b""),
        IsoFile("/q?", b""),
        IsoFile("/" + "n" * 65, b""),
        IsoFile("/1/2/3/4/5/6/7/8/9", b""),
        IsoFile("/gone", tmp_path / "gone"),
    )
    plan = IsoPlan("void live", files, IDENTIFIERS, replace(BIOS, mbr_code=b"short"), EFI)
    with pytest.raises(CollectedError) as raised:
        write_iso(plan, tmp_path / "x.iso", EPOCH)
    text = str(raised.value)
    for part in (
        "'void live' is not a volume id",
        "'/a' cannot be on the ISO: it is there twice",
        "'/a' cannot be on the ISO: it is a file and a directory",
        "'relative' cannot be on the ISO: it is not an absolute path",
        "'/../up' cannot be on the ISO",
        "it contains '?' (Joliet)",
        "is longer than 64 characters (Joliet)",
        "deeper than 8 directories",
        "there is no file",
        "the BIOS boot loader is not among the files",
        "MBR code has 432",
        "the image of the EFI system partition is not there",
    ):
        assert part in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1000, 65536 * 512])
def test_an_esp_must_fit_the_boot_catalog(tmp_path: Path, size: int) -> None:
    """The catalog counts its sectors in 16 bits."""
    esp = tmp_path / "esp"
    with esp.open("wb") as file:
        file.truncate(size)
    plan = IsoPlan("V", (IsoFile(EFI, esp),), IDENTIFIERS, None, EFI)
    with pytest.raises(LayoutError, match="cannot be told to firmware"):
        write_iso(plan, tmp_path / "x.iso", EPOCH)


def test_where_it_cannot_be_written_is_said(tmp_path: Path) -> None:
    """What was there stays."""
    out = tmp_path / "x.iso"
    out.write_text("before")
    with pytest.raises(StoreError):
        write_iso(planned(tmp_path), tmp_path / "x.iso" / "below.iso", EPOCH)
    assert out.read_text() == "before"


def test_what_is_no_iso_is_said(tmp_path: Path) -> None:
    """Neither a crash nor a guess."""
    path = tmp_path / "x.iso"
    path.write_bytes(bytes(2**20))
    with pytest.raises(LayoutError, match="not a sound ISO image"), open_iso(path):
        pass
    with pytest.raises(StoreError, match="cannot read"), open_iso(tmp_path / "none.iso"):
        pass


def test_a_truncated_iso_is_not_sound(isos: dict[str, Path], tmp_path: Path) -> None:
    """A cut download is told from a whole one where it is opened or read."""
    path = tmp_path / "cut.iso"
    path.write_bytes(isos["both"].read_bytes()[:200_000])
    with pytest.raises(LayoutError, match=r"not a sound|damaged"), open_iso(path) as iso:
        assert iso.boot_entries


def test_the_hooks_of_the_clock_exist() -> None:
    """pycdlib takes the time where it is stopped, and nowhere else that matters."""
    import pycdlib

    directory = Path(pycdlib.__file__).parent
    users = {
        path.stem
        for path in directory.glob("*.py")
        if re.search(r"\btime\.(time|localtime|gmtime)\(", path.read_text())
    }
    # What is left changes ISOs in place or writes UDF, neither of which is done here.
    assert users - {"inplaceeditor", "udf"} == set(clock.HOOKED_MODULES)


def test_the_clock_goes_on_afterwards() -> None:
    """Other users of pycdlib keep the real time."""
    module = importlib.import_module("pycdlib.dates")
    with stopped_clock(EPOCH):
        assert module.time.time() == EPOCH
    assert module.time is time


def test_an_unknown_pycdlib_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather no ISO than one that nobody can make again."""
    from pycdlib import dates

    monkeypatch.delattr(dates, "time")
    with pytest.raises(ToolError, match="not known"), stopped_clock(EPOCH):
        pass
