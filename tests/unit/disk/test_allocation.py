"""Block maps: written onto a medium of random bytes, an image is what it was made to be."""

from __future__ import annotations

import hashlib
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.disk.disks import GPT, MBR, MIB, planned
from tests.unit.disk.trees import EPOCH, make_tree
from voidimg.disk.allocation import block_map, bytes_in_use, not_mapped, wrong_ranges
from voidimg.disk.image import write_image
from voidimg.errors import LayoutError
from voidimg.formats.block_map import BlockMap, MappedRange, decode_block_map, encode_block_map
from voidimg.formats.ext4_allocation import ext4_in_use
from voidimg.formats.extents import Extent, in_whole_blocks, merged, outside
from voidimg.formats.fat_allocation import fat_in_use
from voidimg.formats.partition_table import PartitionEntry, PartitionTable, read_table
from voidimg.spec.disk_model import Blob, Disk, Ext4, Fat

BOOT, ROOT = MBR.partitions
DISKS: dict[str, Disk] = {
    "mbr": MBR,
    "gpt": GPT,
    "gpt, FAT12": GPT.model_copy(
        update={
            "partitions": (
                GPT.partitions[0].model_copy(update={"size": 2 * MIB, "fat": Fat(bits=12)}),
                GPT.partitions[1],
            )
        }
    ),
    "boot loader, swap and data": GPT.model_copy(
        update={
            "blobs": (Blob(source="/usr/bin/large", partition="loader"),),
            "first_partition": MIB,
            "partitions": (
                GPT.partitions[0].model_copy(
                    update={"name": "loader", "size": 4 * MIB, "filesystem": "none", "mount": None}
                ),
                GPT.partitions[0],
                GPT.partitions[1].model_copy(
                    update={"name": "swap", "size": 4 * MIB, "filesystem": "swap", "mount": None}
                ),
                GPT.partitions[1],
            ),
        }
    ),
    "more than one group": MBR.model_copy(
        update={
            "headroom": 300 * MIB,
            "partitions": (BOOT, ROOT.model_copy(update={"ext4": Ext4(journal=True)})),
        }
    ),
}


def run(*words: str | Path) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("tree"), 1)


@pytest.fixture(scope="module", params=DISKS)
def image(
    request: pytest.FixtureRequest, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("image") / "disk.img"
    write_image(planned(DISKS[request.param], tree), tree, path, EPOCH)
    return path


def map_of(image: Path) -> BlockMap:
    with image.open("rb") as file:
        return block_map(file, read_table(image))


def medium_of_noise(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        piece = random.Random(1).randbytes(MIB)
        for _ in range(-(-size // MIB)):
            file.write(piece)
        file.truncate(size)
    return path


def apply(image: Path, found: BlockMap, medium: Path) -> Path:
    with image.open("rb") as source, medium.open("r+b") as target:
        for start, end in found.extents:
            source.seek(start)
            target.seek(start)
            target.write(source.read(end - start))
    return medium


def require_sound(medium: Path, image: Path, place: Path) -> None:
    """Filesystems are clean, and hold what those of `image` hold."""
    assert read_table(medium) == read_table(image)
    for entry in read_table(medium).partitions:
        parts = [place / f"{name}{entry.number}" for name in ("medium", "image")]
        for source, part in zip((medium, image), parts, strict=True):
            with source.open("rb") as file:
                file.seek(entry.offset_bytes)
                part.write_bytes(file.read(entry.size_bytes))
        listings = []
        if _is_raw(parts[1]):
            kept = _SWAP_PAGE if parts[1].read_bytes()[:_SWAP_PAGE].endswith(b"SPACE2") else None
            assert parts[0].read_bytes()[:kept] == parts[1].read_bytes()[:kept]
            continue
        for part in parts:
            if part.read_bytes()[510:512] == b"\x55\xaa":
                run("fsck.fat", "-n", part)
                out = place / f"files-{part.name}"
                out.mkdir()
                run("mcopy", "-s", "-n", "-m", "-i", part, "::", out)
            else:
                run("e2fsck", "-fn", part)
                out = place / f"files-{part.name}"
                out.mkdir()
                run("debugfs", "-R", f"rdump / {out}", part)
            listings.append(dict(_files(out)))
        assert listings[0] == listings[1]
        assert listings[0]


def _is_raw(part: Path) -> bool:
    """Whether no filesystem is in it."""
    content = part.read_bytes()
    return content[510:512] != b"\x55\xaa" and content[1080:1082] != b"\x53\xef"


_SWAP_PAGE = 4096


def _files(top: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(top.rglob("*")):
        if path.is_symlink():
            yield str(path.relative_to(top)), str(path.readlink())
        elif path.is_file():
            yield str(path.relative_to(top)), hashlib.sha256(path.read_bytes()).hexdigest()


def test_on_a_medium_of_noise_it_is_sound(image: Path, tmp_path: Path) -> None:
    medium = medium_of_noise(tmp_path / "medium", image.stat().st_size)
    require_sound(apply(image, map_of(image), medium), image, tmp_path)


def test_bmaptool_takes_the_map(image: Path, tmp_path: Path) -> None:
    found = map_of(image)
    place = tmp_path / "disk.img.bmap"
    place.write_bytes(encode_block_map(found))
    run("bmaptool", "copy", "--bmap", place, image, tmp_path / "medium")
    with (tmp_path / "medium").open("rb") as medium:
        assert list(wrong_ranges(medium, found)) == []


def test_less_is_written_than_the_disk_has(image: Path) -> None:
    found = map_of(image)
    assert found.mapped_bytes < image.stat().st_size * 0.9


def test_ext4_in_use_is_what_dumpe2fs_says(image: Path, tmp_path: Path) -> None:
    entry = read_table(image).partitions[-1]
    part = tmp_path / "part"
    with image.open("rb") as file:
        file.seek(entry.offset_bytes)
        part.write_bytes(file.read(entry.size_bytes))
        used = ext4_in_use(file, entry.offset_bytes, entry.size_bytes)
    assert used is not None
    require_as_dumpe2fs(part, used)


def require_as_dumpe2fs(part: Path, used: list[Extent]) -> None:
    """`used` and what is free are the whole filesystem, but for inode tables never written."""
    text = run("dumpe2fs", part)
    block = int(re.findall(r"Block size: +(\d+)", text)[0])
    total = int(re.findall(r"Block count: +(\d+)", text)[0])
    free = set()
    for words in re.findall(r"^  Free blocks: (.*)$", text, re.MULTILINE):
        for one in filter(None, (word.strip() for word in words.split(","))):
            first, _, last = one.partition("-")
            free |= set(range(int(first), int(last or first) + 1))
    ours = {number for start, end in used for number in range(start // block, end // block)}
    first = int(re.findall(r"First block: +(\d+)", text)[0])
    assert ours == set(range(total)) - free | set(range(first))


@pytest.mark.parametrize(
    "options",
    [
        ["-b", "1024"],
        ["-b", "2048", "-O", "^64bit"],
        ["-b", "4096", "-O", "^metadata_csum,^uninit_bg"],
        ["-b", "1024", "-O", "^sparse_super,^resize_inode"],
        ["-b", "1024", "-O", "^flex_bg"],
        ["-t", "ext2"],
        ["-t", "ext3"],
        ["-b", "4096", "-g", "8192"],
    ],
    ids=" ".join,
)
def test_other_forms_of_ext4(options: list[str], tmp_path: Path) -> None:
    part = tmp_path / "part"
    with part.open("wb") as file:
        file.truncate(160 * MIB)
    kind = [] if "-t" in options else ["-t", "ext4"]
    run("mke2fs", "-q", "-F", *kind, *options, part)
    run("debugfs", "-w", "-R", f"write {__file__} x", part)
    with part.open("rb") as file:
        used = ext4_in_use(file, 0, 160 * MIB)
    assert used is not None
    require_as_dumpe2fs(part, used)


@pytest.mark.parametrize("options", [["-O", "bigalloc"], ["-O", "meta_bg,^resize_inode"],
                                     ["-O", "sparse_super2"]], ids=" ".join)  # fmt: skip
def test_what_is_not_read_is_written_whole(options: list[str], tmp_path: Path) -> None:
    part = tmp_path / "part"
    with part.open("wb") as file:
        file.truncate(64 * MIB)
    run("mke2fs", "-q", "-F", "-t", "ext4", *options, part)
    require_whole(part)


def require_whole(part: Path) -> None:
    size = part.stat().st_size
    entry = PartitionEntry(1, 0, size // 512, "0x83", False, "", "")
    with part.open("rb") as file:
        table = PartitionTable("mbr", "01020304", (entry,))
        assert bytes_in_use(file, table) == [(0, size)]


def test_a_filesystem_that_is_not_clean_is_written_whole(tmp_path: Path) -> None:
    """Its bitmaps are behind its journal."""
    part = tmp_path / "part"
    with part.open("wb") as file:
        file.truncate(16 * MIB)
    run("mke2fs", "-q", "-F", "-t", "ext4", part)
    run("debugfs", "-w", "-R", "ssv state 0", part)
    require_whole(part)


@pytest.mark.parametrize("content", [b"", b"\x55" * 4096, b"LUKS\xba\xbe" + bytes(4090)])
def test_what_is_unknown_is_written_whole(content: bytes, tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(content.ljust(2 * MIB, b"\0"))
    require_whole(part)


def test_swap_is_its_first_page(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(bytes(4 * MIB))
    run("mkswap", "-p", "4096", part)
    entry = PartitionEntry(1, 0, 8192, "0x82", False, "", "")
    with part.open("rb") as file:
        assert bytes_in_use(file, PartitionTable("mbr", "01020304", (entry,))) == [(0, 4096)]
    run("mkswap", "-p", "16384", part)
    require_whole(part)


def test_marks_of_what_the_medium_held_before_are_gone(image: Path, tmp_path: Path) -> None:
    """A volume of LVM, a RAID and a btrfs lie at the ends of partitions."""
    medium = medium_of_noise(tmp_path / "medium", image.stat().st_size)
    marks = []
    for entry in read_table(image).partitions:
        start, end = entry.offset_bytes, entry.offset_bytes + entry.size_bytes
        marks += [
            (start + 512, b"LABELONE"),
            (start + 65600, b"_BHRfS_M"),
            (end - 65536, b"\xfc\x4e\x2b\xa9"),
        ]
    with medium.open("r+b") as file:
        for at, mark in marks:
            file.seek(at)
            file.write(mark)
    apply(image, map_of(image), medium)
    with medium.open("rb") as file:
        for at, mark in marks:
            file.seek(at)
            assert file.read(len(mark)) != mark


def test_blobs_and_both_copies_of_a_gpt_are_mapped(tree: Path, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    write_image(planned(GPT, tree), tree, image, EPOCH)
    size = image.stat().st_size
    with image.open("r+b") as file:
        file.seek(size - MIB // 2)
        file.write(b"between the last partition and the table")
    extents = map_of(image).extents
    behind = in_whole_blocks([(size - MIB // 2, size - MIB // 2 + 40)], 4096, size)
    assert list(outside([(0, 16 * MIB), (size - 33 * 512, size), *behind], extents)) == []


def test_zeros_of_a_boot_loader_between_partitions_count(tmp_path: Path) -> None:
    """Two blocks of data with one of zeros between them, in a gap; an empty gap is left out."""
    image = tmp_path / "disk.img"
    entries = tuple(
        PartitionEntry(number, start * 2048, 2048, "0x83", False, "", "")
        for number, start in ((1, 1), (2, 4), (3, 9))
    )
    image.write_bytes(bytes(12 * MIB))
    with image.open("r+b") as file:
        for at in (2 * MIB + 4096, 2 * MIB + 3 * 4096):
            file.seek(at)
            file.write(b"loader")
        found = bytes_in_use(file, PartitionTable("mbr", "01020304", entries))
    assert found == [(0, 5 * MIB), (9 * MIB, 10 * MIB)]


def test_a_map_that_leaves_something_out_is_noticed(image: Path) -> None:
    found = map_of(image)
    table = read_table(image)
    with image.open("rb") as file:
        assert not_mapped(file, table, found) == []
        assert list(wrong_ranges(file, found)) == []
        for index in range(len(found.ranges)):
            less = found.ranges[:index] + found.ranges[index + 1 :]
            left = not_mapped(file, table, BlockMap(found.image_bytes, 4096, less))
            margin = all(
                table.partitions[0].offset_bytes < start for start, _ in [found.extents[index]]
            )
            assert left or margin
        wrong = BlockMap(found.image_bytes, 4096, (MappedRange(0, 1, "0" * 64),))
        assert list(wrong_ranges(file, wrong)) == [(0, 8192)]


def test_the_map_depends_on_the_content_alone(image: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.write_bytes(image.read_bytes())
    assert encode_block_map(map_of(full)) == encode_block_map(map_of(image))


def test_a_fat_that_is_cut_off_is_not_relied_on(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(bytes(16 * MIB))
    run("mkfs.vfat", "-F", "16", part)
    with part.open("rb") as file:
        assert fat_in_use(file, 0, 16 * MIB)
        assert fat_in_use(file, 0, 8 * MIB) is None


# --- the file ---


RANGES = st.lists(st.integers(1, 50), max_size=12)


@given(steps=RANGES, tail=st.integers(0, 4095))
def test_maps_are_read_back(steps: list[int], tail: int) -> None:
    ranges, at = [], 0
    for index, step in enumerate(steps):
        ranges.append(
            MappedRange(at + step, at + 2 * step, hashlib.sha256(bytes([index])).hexdigest())
        )
        at += 2 * step + 1
    found = BlockMap((at + 1) * 4096 + tail, 4096, tuple(ranges))
    assert decode_block_map(encode_block_map(found), "x") == found


SOUND = encode_block_map(
    BlockMap(10 * 4096 - 5, 4096, (MappedRange(0, 3, "a" * 64), MappedRange(9, 9, "b" * 64)))
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<bmap", b"<!DOCTYPE bmap [<!ENTITY a 'b'>]><bmap"),
        (b'version="2.0"', b'version="1.3"'),
        (b"bmap", b"bamp"),
        (b"sha256", b"md5"),
        (b" 40955 ", b" 409550 "),
        (b" 40955 ", b" -1 "),
        (b" 4096 ", b" 0 "),
        (b" 0-3 ", b" 3-0 "),
        (b" 9 ", b" 10 "),
        (b" 9 ", b" 3 "),
        (b" 9 ", b" 9999999999999999999999 "),
        (b"a" * 64, b"a" * 63),
        (b"<BlockSize> 4096 </BlockSize>", b""),
        (b"<BlockSize>", b"<BlockSize> 4096 </BlockSize><BlockSize>"),
        (b"</bmap>", b""),
    ],
)
def test_maps_that_cannot_be_are_refused(old: bytes, new: bytes) -> None:
    """Also when their own checksum is right."""
    assert old in SOUND
    changed = SOUND.replace(old, new)
    (own,) = re.findall(rb"<BmapFileChecksum> ([0-9a-f]{64})", changed)
    right = hashlib.sha256(changed.replace(own, b"0" * 64)).hexdigest().encode()
    for content in (changed, changed.replace(own, right)):
        with pytest.raises(LayoutError) as caught:
            decode_block_map(content, "x")
        assert caught.value.code == "E-LAYOUT-BLOCK-MAP"


@given(at=st.integers(0, len(SOUND) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_noticed(at: int, byte: int) -> None:
    changed = bytearray(SOUND)
    changed[at] = byte
    if bytes(changed) != SOUND:
        with pytest.raises(LayoutError):
            decode_block_map(bytes(changed), "x")


def test_bmaptool_refuses_what_we_refuse_and_takes_what_we_take(tmp_path: Path) -> None:
    """A flipped checksum of a range."""
    image = tmp_path / "x.img"
    image.write_bytes(random.Random(3).randbytes(10 * 4096))
    digest = hashlib.sha256(image.read_bytes()[:8192]).hexdigest()
    for sha256, good in ((digest, True), ("0" * 63 + "1", False)):
        found = BlockMap(10 * 4096, 4096, (MappedRange(0, 1, sha256),))
        (tmp_path / "x.img.bmap").write_bytes(encode_block_map(found))
        words = ["bmaptool", "copy", str(image), str(tmp_path / "out")]
        assert (subprocess.run(words, capture_output=True).returncode == 0) == good
        with image.open("rb") as file:
            assert (not list(wrong_ranges(file, found))) == good


def test_maps_of_bmaptool_are_read(tmp_path: Path) -> None:
    """Its own have comments, and blanks around values."""
    image = tmp_path / "x.img"
    with image.open("wb") as file:
        file.write(random.Random(4).randbytes(3 * 4096))
        file.truncate(20 * 4096)
    made = subprocess.run(["bmaptool", "create", image], check=True, capture_output=True)
    found = decode_block_map(made.stdout, "x")
    assert found.image_bytes == 20 * 4096
    assert found.extents[0] == (0, 3 * 4096)
    with image.open("rb") as file:
        assert list(wrong_ranges(file, found)) == []


EXTENTS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


@given(one=EXTENTS, other=EXTENTS)
def test_extents_are_sets_of_bytes(one: list[Extent], other: list[Extent]) -> None:
    def members(extents: list[Extent]) -> set[int]:
        return {number for start, end in extents for number in range(start, end)}

    assert members(merged(one)) == members(one)
    assert members(list(outside(one, other))) == members(one) - members(other)
    whole = in_whole_blocks(one, 8, 60)
    assert members(one) & set(range(60)) <= members(whole) | set(range(60, 61))
