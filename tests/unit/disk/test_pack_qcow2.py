"""qcow2 images: whole by qemu-img, the same disk, the same bytes for any number of threads."""

from __future__ import annotations

import filecmp
import io
import json
import random
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voidimg.disk.pack_qcow2 import pack_qcow2
from voidimg.errors import LayoutError
from voidimg.formats.qcow2 import (
    CLUSTER_BYTES,
    Qcow2Writer,
    clusters_of,
    read_qcow2,
    stored_clusters,
)
from voidimg.inspection.opened import open_artifact, raw_image

MIB = 2**20


def disk(path: Path, size: int, pieces: dict[int, bytes]) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        for at, content in pieces.items():
            file.seek(at)
            file.write(content)
    return path


def qemu_img(*words: str | Path) -> str:
    done = subprocess.run(
        ["qemu-img", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


NOISE = random.Random(1).randbytes(3 * MIB)
TEXT = b"the same words again and again\n" * 40_000

DISKS = {
    "empty": (8 * MIB, {}),
    "text": (8 * MIB, {MIB: TEXT}),
    "noise, which does not become smaller": (16 * MIB, {5 * MIB + 512: NOISE}),
    "noise between text": (16 * MIB, {MIB: TEXT, 4 * MIB: NOISE, 8 * MIB: TEXT}),
    "the first and the last sector": (9 * MIB, {0: b"\1" * 512, 9 * MIB - 512: b"\2" * 512}),
    "not of whole clusters": (3 * MIB + 512, {3 * MIB: b"\3" * 512}),
    "more than one L2 table": (1100 * MIB, {0: TEXT, 600 * MIB: NOISE, 1098 * MIB: TEXT}),
    "many clusters in one of the host": (64 * MIB, {at * MIB: b"x" for at in range(64)}),
}


@pytest.mark.parametrize("name", DISKS)
def test_it_is_whole_and_the_same_disk(tmp_path: Path, name: str) -> None:
    size, pieces = DISKS[name]
    raw, out = disk(tmp_path / "raw", size, pieces), tmp_path / "out.qcow2"
    pack_qcow2(raw, out, jobs=2)
    report = json.loads(qemu_img("check", "--output=json", out))
    assert report["check-errors"] == 0
    assert "leaks" not in report
    assert "corruptions" not in report
    assert "identical" in qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, out)
    assert json.loads(qemu_img("info", "--output=json", out))["virtual-size"] == size
    with out.open("rb") as file:
        assert read_qcow2(file, "out").virtual_bytes == size
    assert out.stat().st_size % CLUSTER_BYTES == 0
    with raw_image(open_artifact(out), tmp_path) as unpacked:
        assert filecmp.cmp(unpacked, raw, shallow=False)


@pytest.mark.parametrize("options", [[], ["-c"], ["-o", "compat=0.10"], ["-o", "cluster_size=4k"]])
def test_images_of_qemu_are_read_too(tmp_path: Path, options: list[str]) -> None:
    raw = disk(tmp_path / "raw", *DISKS["noise between text"])
    qemu_img("convert", "-f", "raw", "-O", "qcow2", *options, raw, tmp_path / "out")
    with raw_image(open_artifact(tmp_path / "out"), tmp_path) as unpacked:
        assert filecmp.cmp(unpacked, raw, shallow=False)


def test_an_image_that_names_another_file_is_refused(tmp_path: Path) -> None:
    """It could be any file of the host, which would then be shown as part of the image."""
    raw = disk(tmp_path / "raw", *DISKS["text"])
    qemu_img("create", "-q", "-f", "qcow2", "-F", "raw", "-b", raw, tmp_path / "overlay")
    qemu_img(
        "create", "-q", "-f", "qcow2", "-o", f"data_file={tmp_path}/data", tmp_path / "x", "1M"
    )
    for path in (tmp_path / "overlay", tmp_path / "x"):
        with pytest.raises(LayoutError) as caught:
            open_artifact(path)
        assert caught.value.code == "E-LAYOUT-QCOW2-FORM"


@given(st.data())
@settings(max_examples=30)
def test_damage_is_told_and_ends(data: st.DataObject) -> None:
    with TemporaryDirectory() as directory:
        raw, out = disk(Path(directory, "raw"), *DISKS["text"]), Path(directory, "out")
        pack_qcow2(raw, out)
        content = bytearray(out.read_bytes())
        at = data.draw(st.integers(0, 3 * CLUSTER_BYTES))
        content[at : at + 8] = data.draw(st.binary(min_size=8, max_size=8))
        out.write_bytes(content[: data.draw(st.integers(1, len(content)))])
        with suppress(LayoutError), out.open("rb") as image:
            for offset, piece in stored_clusters(image, "x"):
                assert offset + len(piece) <= read_qcow2(image, "x").virtual_bytes


def test_the_bytes_depend_on_the_disk_alone(tmp_path: Path) -> None:
    """Not on threads, on a cache that is cold or warm, nor on holes."""
    size, pieces = DISKS["noise between text"]
    raw = disk(tmp_path / "raw", size, pieces)
    full = tmp_path / "full"
    full.write_bytes(raw.read_bytes())
    made = set()
    for index, (source, jobs, cache) in enumerate(
        [(raw, 1, None), (raw, 3, tmp_path / "blocks"), (full, 2, tmp_path / "blocks")]
    ):
        pack_qcow2(source, tmp_path / f"{index}", jobs=jobs, block_cache=cache)
        made.add((tmp_path / f"{index}").read_bytes())
    assert len(made) == 1


def test_a_damaged_piece_of_the_cache_is_made_again(tmp_path: Path) -> None:
    raw = disk(tmp_path / "raw", 8 * MIB, {0: TEXT})
    pack_qcow2(raw, tmp_path / "first", block_cache=tmp_path / "blocks")
    for path in (tmp_path / "blocks").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:40])
    pack_qcow2(raw, tmp_path / "second", block_cache=tmp_path / "blocks")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_clusters_of_zeros_are_left_out(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(CLUSTER_BYTES) + b"\1" + bytes(2 * CLUSTER_BYTES))
    with raw.open("rb") as file:
        assert [number for number, _ in clusters_of(file)] == [1]


@pytest.mark.parametrize("size", [0, 511, 2**60])
def test_no_disk_has_such_a_size(size: int) -> None:
    with pytest.raises(ValueError, match="no disk has"):
        Qcow2Writer(io.BytesIO(), size)


@pytest.mark.parametrize(
    "content", [b"", b"QFI\xfb", b"QFI\xfb" + bytes(200), b"QFI\xfb\0\0\0\3" + b"\xff" * 200]
)
def test_what_is_no_qcow2_image_is_told_so(content: bytes) -> None:
    with pytest.raises(LayoutError) as caught:
        read_qcow2(io.BytesIO(content), "x")
    assert caught.value.code == "E-LAYOUT-QCOW2"


@pytest.mark.parametrize("lost", [1, CLUSTER_BYTES])
def test_the_end_of_a_download_that_stopped_is_missed(tmp_path: Path, lost: int) -> None:
    """The counts of references are last: no content of the disk tells that they are gone."""
    raw = disk(tmp_path / "raw", 4 * MIB, {MIB: b"content"})
    image = tmp_path / "x.qcow2"
    pack_qcow2(raw, image)
    content = image.read_bytes()
    assert list(stored_clusters(io.BytesIO(content), "x"))
    with pytest.raises(LayoutError) as caught:
        list(stored_clusters(io.BytesIO(content[:-lost]), "x"))
    assert caught.value.code == "E-LAYOUT-QCOW2"
