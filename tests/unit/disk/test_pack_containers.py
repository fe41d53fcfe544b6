"""VHD and the tar for Google Cloud: what others make of them, and the same bytes from any file."""

from __future__ import annotations

import filecmp
import io
import json
import random
import subprocess
import tarfile
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.disk.disks import GPT, MBR, planned
from tests.unit.disk.trees import EPOCH, make_tree
from voidimg.disk.compress import GZIP, compressor
from voidimg.disk.image import copy_to_larger, write_image
from voidimg.disk.pack_containers import write_gcp_tar, write_vhd
from voidimg.errors import LayoutError
from voidimg.formats import sparse_tar, vhd
from voidimg.formats.partition_table import read_table
from voidimg.inspection.opened import open_artifact, raw_image
from voidimg.spec.disk_model import Disk

MIB = 2**20
NAME = uuid.UUID("12345678-1234-8234-8234-123456789abc")
DISKS = {"mbr": MBR, "gpt": GPT}


def run(*words: str | Path) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=DISKS)
def disk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with filesystems in it, half a MiB longer than whole MiB."""
    place = tmp_path_factory.mktemp("disk")
    tree = place / "tree"
    tree.mkdir()
    make_tree(tree, 1)
    wanted: Disk = DISKS[request.param]
    path = place / "disk.img"
    write_image(planned(wanted, tree), tree, path, EPOCH)
    odd = place / "odd.img"
    copy_to_larger(path, odd, path.stat().st_size + MIB // 2)
    return odd


def packed_for_gcp(disk: Path, place: Path, jobs: int = 2) -> Path:
    place.mkdir()
    path = place / "void.tar.gz"
    with path.open("wb") as out, compressor(out, GZIP, jobs=jobs) as stream:
        write_gcp_tar(disk, place / "larger", stream, EPOCH)
    assert [one.name for one in place.iterdir()] == [path.name]
    return path


def require_same_disk(larger: Path, disk: Path, size: int) -> None:
    """`larger` has the partitions of `disk`, and a table that is right for `size`."""
    assert larger.stat().st_size == size
    assert read_table(larger) == read_table(disk)
    if read_table(disk).label == "gpt":
        assert "No problems found" in run("sgdisk", "-v", larger)
    run("sfdisk", "-V", larger)
    first, last = read_table(disk).partitions[0], read_table(disk).partitions[-1]
    with disk.open("rb") as one, larger.open("rb") as other:
        for file in (one, other):
            file.seek(first.offset_bytes)
        length = last.offset_bytes + last.size_bytes - first.offset_bytes
        assert one.read(length) == other.read(length)


def test_a_vhd_is_the_disk_in_whole_mib(disk: Path, tmp_path: Path) -> None:
    path = tmp_path / "void.vhd"
    write_vhd(disk, path, NAME, EPOCH)
    size = -(-disk.stat().st_size // MIB) * MIB
    assert path.stat().st_size == size + vhd.FOOTER_BYTES
    told = json.loads(run("qemu-img", "info", "--output=json", "-f", "vpc", path))
    assert told["virtual-size"] == size
    run("qemu-img", "convert", "-f", "vpc", "-O", "raw", path, tmp_path / "raw")
    require_same_disk(tmp_path / "raw", disk, size)
    assert "identical" in run("qemu-img", "compare", "-f", "vpc", "-F", "raw", path,
                              tmp_path / "raw")  # fmt: skip
    with raw_image(open_artifact(path), tmp_path) as image:
        assert read_table(image) == read_table(disk)


def test_a_vhd_of_qemu_has_our_footer(disk: Path, tmp_path: Path) -> None:
    """But for its random identifier, the time, and so the checksum."""
    path = tmp_path / "void.vhd"
    write_vhd(disk, path, NAME, EPOCH)
    size = path.stat().st_size - vhd.FOOTER_BYTES
    options = ["-o", "subformat=fixed,force_size=on"]
    run("qemu-img", "create", "-q", "-f", "vpc", *options, tmp_path / "theirs", str(size))
    theirs = bytearray((tmp_path / "theirs").read_bytes()[-vhd.FOOTER_BYTES :])
    ours = bytearray(path.read_bytes()[-vhd.FOOTER_BYTES :])
    for footer in (ours, theirs):
        assert vhd.read_footer(bytes(footer)) == vhd.FixedVhd(size)
        footer[24:28] = bytes(4)
        footer[64:84] = bytes(20)
    assert ours == theirs


def test_google_cloud_finds_one_file_of_a_whole_gib(disk: Path, tmp_path: Path) -> None:
    path = packed_for_gcp(disk, tmp_path / "gcp")
    with tarfile.open(path) as archive:
        (member,) = archive.getmembers()
        assert (member.name, member.size, member.mtime) == ("disk.raw", 2**30, EPOCH)
        assert member.issparse()
        assert (member.uid, member.gid, member.mode) == (0, 0, 0o644)
    run("tar", "--sparse", "-xzf", path, "-C", tmp_path)
    require_same_disk(tmp_path / "disk.raw", disk, 2**30)
    with raw_image(open_artifact(path), tmp_path) as image:
        assert filecmp.cmp(image, tmp_path / "disk.raw", shallow=False)


def test_the_tar_depends_on_the_content_alone(disk: Path, tmp_path: Path) -> None:
    """Not on threads, and not on where the file of the disk has holes."""
    full = tmp_path / "full"
    full.write_bytes(disk.read_bytes())
    first = packed_for_gcp(disk, tmp_path / "1", jobs=1)
    assert first.read_bytes() == packed_for_gcp(full, tmp_path / "2", jobs=3).read_bytes()


def test_gnu_tar_packs_what_is_read_too(disk: Path, tmp_path: Path) -> None:
    """As the documentation of Google Cloud says to make it."""
    copy_to_larger(disk, tmp_path / "disk.raw", 2**30)
    run("tar", "--format=oldgnu", "-Sczf", tmp_path / "x.tar.gz", "-C", tmp_path, "disk.raw")
    artifact = open_artifact(tmp_path / "x.tar.gz")
    assert (artifact.kind, artifact.compression) == ("disk image", "gcp")
    with raw_image(artifact, tmp_path) as image:
        assert filecmp.cmp(image, tmp_path / "disk.raw", shallow=False)


@pytest.mark.parametrize("pieces", [0, 1, 4, 5, 25, 26, 60])
@pytest.mark.parametrize("to_the_end", [False, True])
def test_any_number_of_pieces(pieces: int, to_the_end: bool) -> None:
    size = 2**20
    segments = [(at * 8192, 4096) for at in range(pieces)]
    if to_the_end:
        segments.append((size - 4096, 4096))
    content = random.Random(pieces).randbytes(sum(length for _, length in segments))
    archive = sparse_tar.encode_header("disk.raw", size, segments, EPOCH) + content + bytes(1024)
    expected = bytearray(size)
    at = 0
    for start, length in segments:
        expected[start : start + length] = content[at : at + length]
        at += length
    with tarfile.open(fileobj=io.BytesIO(archive)) as found:
        member = found.extractfile("disk.raw")
        assert member is not None
        assert member.read() == bytes(expected)
    read = sparse_tar.read_header(io.BytesIO(archive), "x")
    assert read == sparse_tar.TarredFile("disk.raw", size, tuple(segments))


def test_more_than_octal_digits_can_say() -> None:
    segments = [(2**40, 4096)]
    header = sparse_tar.encode_header("disk.raw", 2**41, segments, EPOCH)
    assert sparse_tar.read_header(io.BytesIO(header), "x").size == 2**41
    with tarfile.open(fileobj=io.BytesIO(header + bytes(4096 + 1024))) as found:
        assert found.getmember("disk.raw").size == 2**41


@given(st.data())
@settings(max_examples=60)
def test_damaged_headers_are_told(data: st.DataObject) -> None:
    segments = [(at * 8192, 4096) for at in range(30)]
    header = bytearray(sparse_tar.encode_header("disk.raw", 2**20, segments, EPOCH))
    at = data.draw(st.integers(0, len(header) - 8))
    header[at : at + 8] = data.draw(st.binary(min_size=8, max_size=8))
    cut = data.draw(st.integers(0, len(header)))
    with suppress(LayoutError):
        found = sparse_tar.read_header(io.BytesIO(bytes(header[:cut])), "x")
        assert all(start + length <= found.size for start, length in found.segments)


def test_a_tar_that_ends_within_its_disk_is_damaged(tmp_path: Path) -> None:
    header = sparse_tar.encode_header("disk.raw", 2**20, [(0, 2**20)], EPOCH)
    path = tmp_path / "x.tar"
    path.write_bytes(header + b"x" * 1000 * 40)
    with pytest.raises(LayoutError) as caught, raw_image(open_artifact(path), tmp_path):
        pass
    assert caught.value.code == "E-LAYOUT-DAMAGED"


@pytest.mark.parametrize("at", [0, 48, 60, 64, 100])
def test_a_changed_footer_is_none(at: int) -> None:
    footer = bytearray(vhd.footer(MIB, NAME, EPOCH))
    footer[at] ^= 1
    assert vhd.read_footer(bytes(footer)) is None


def test_a_time_before_2000_is_the_first_that_can_be_said() -> None:
    assert vhd.footer(MIB, NAME, 0) == vhd.footer(MIB, NAME, 946684800)
