"""One disk in every form that it is published in: the same bytes of it, twice, and checked."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.command import voidimg
from tests.integration.building import DATE, build_words, published
from tests.testrepo import RepositoryFixture
from voidimg.formats.block_map import decode_block_map

FORMS = ("image", "qcow2", "vhd", "gcp", "incus")
IMAGE = f"void-tiny-{DATE}.img"
QCOW2 = f"void-tiny-{DATE}.qcow2"
VHD = f"void-tiny-{DATE}.vhd"
GCP = f"void-tiny-GCP-{DATE}.tar.gz"
BLOCK_MAP = f"void-tiny-{DATE}.img.bmap"
INCUS = f"void-tiny-INCUS-{DATE}.tar"
INCUS_DISK = f"void-tiny-INCUS-{DATE}.qcow2"


def build(tiny: RepositoryFixture, place: Path, jobs: int, *forms: str) -> Path:
    words = build_words(tiny, place, jobs=jobs)
    for form in forms:
        words += ["--artifact", form]
    ended = voidimg(*words)
    assert ended.returncode == 0, ended.stderr
    return place / "out" / DATE


@pytest.fixture(scope="module")
def place(tiny: RepositoryFixture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of all forms."""
    place = tmp_path_factory.mktemp("forms")
    build(tiny, place, 2, *FORMS)
    return place


@pytest.fixture(scope="module")
def forms(place: Path) -> Path:
    """Where the files are."""
    return place / "out" / DATE


def qemu_img(*words: str | Path) -> str:
    done = subprocess.run(["qemu-img", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_form_is_there_by_its_name(forms: Path) -> None:
    names = {path.name for path in forms.iterdir()}
    assert {IMAGE, BLOCK_MAP, QCOW2, VHD, GCP, INCUS, INCUS_DISK} <= names


def test_they_are_the_same_disk(forms: Path, tmp_path: Path) -> None:
    assert "identical" in qemu_img("compare", "-f", "raw", "-F", "qcow2", forms / IMAGE,
                                   forms / QCOW2)  # fmt: skip
    assert "identical" in qemu_img("compare", "-f", "raw", "-F", "vpc", forms / IMAGE, forms / VHD)
    assert (forms / INCUS_DISK).read_bytes() == (forms / QCOW2).read_bytes()
    subprocess.run(["tar", "-xzf", forms / GCP, "-C", tmp_path], check=True)
    assert "identical" in qemu_img("compare", "-f", "raw", "-F", "raw", forms / IMAGE,
                                   tmp_path / "disk.raw")  # fmt: skip


def test_incus_is_told_what_it_gets(forms: Path) -> None:
    with tarfile.open(forms / INCUS) as archive:
        (member,) = archive.getmembers()
        assert (member.name, member.uid, member.mode) == ("metadata.yaml", 0, 0o644)
        content = archive.extractfile(member)
        assert content is not None
        said = json.load(content)
    assert said["architecture"] == "aarch64"
    assert said["creation_date"] == member.mtime == 1_710_374_400
    assert said["properties"]["os"] == "Void"
    assert said["properties"]["requirements.secureboot"] == "false"


def test_a_build_made_otherwise_gives_the_same_bytes(
    tiny: RepositoryFixture, place: Path, tmp_path: Path
) -> None:
    build(tiny, tmp_path, 1, *FORMS)
    assert published(tmp_path) == published(place)


def test_lint_and_inspect_know_them(forms: Path) -> None:
    for name in (QCOW2, VHD, GCP, INCUS_DISK):
        told = voidimg("inspect", forms / name, "--json")
        assert told.returncode == 0, told.stderr
        assert json.loads(told.stdout)["disk"]["label"] == "mbr"
    told = voidimg("lint", forms, "--json")
    reports = {Path(one["path"]).name: one for one in json.loads(told.stdout)}
    assert {IMAGE, QCOW2, VHD, GCP, INCUS, INCUS_DISK} <= reports.keys()
    by_disk = [
        {defect["check"] for defect in reports[name]["defects"]}
        for name in (IMAGE, QCOW2, VHD, GCP, INCUS_DISK)
    ]
    assert all(found == by_disk[0] for found in by_disk)
    assert {"bmap-covers-metadata", "bmap-checksums"} <= set(reports[IMAGE]["checks"])
    assert reports[INCUS]["defects"] == []
    assert "vhd-footer" in reports[VHD]["checks"]
    whole = reports[forms.name]
    assert not [one for one in whole["defects"] if one["check"] in ("set-media", "set-artifacts")]


def test_the_block_map_makes_a_sound_medium(forms: Path, tmp_path: Path) -> None:
    """bmaptool finds it by its name; what it leaves out holds random bytes."""
    medium = tmp_path / "medium"
    subprocess.run(["bmaptool", "copy", forms / IMAGE, tmp_path / "of-bmaptool"], check=True)
    size = (forms / IMAGE).stat().st_size
    with medium.open("wb") as file, (forms / IMAGE).open("rb") as image:
        file.write(random.Random(1).randbytes(size))
        for one in decode_block_map((forms / BLOCK_MAP).read_bytes(), BLOCK_MAP).extents:
            for open_file in (file, image):
                open_file.seek(one[0])
            file.write(image.read(one[1] - one[0]))
    told = voidimg("lint", medium, forms / IMAGE, "--json")
    on_medium, in_image = (
        [defect["check"] for defect in report["defects"]] for report in json.loads(told.stdout)
    )
    assert on_medium == in_image
    assert not {"fat-sound", "ext4-sound"} & set(on_medium)


def test_a_map_of_holes_is_no_map(forms: Path, tmp_path: Path) -> None:
    """What a copier that looks at the file only would make: the FAT would be random."""
    image = tmp_path / IMAGE
    shutil.copyfile(forms / IMAGE, image)
    subprocess.run(["fallocate", "--dig-holes", image], check=True)
    made = subprocess.run(["bmaptool", "create", image], check=True, capture_output=True)
    (tmp_path / BLOCK_MAP).write_bytes(made.stdout)
    told = voidimg("lint", image, "--json", "--quick")
    (report,) = json.loads(told.stdout)
    assert "bmap-covers-metadata" in {one["check"] for one in report["defects"]}


def test_sums_and_verification_know_every_file(forms: Path, tmp_path: Path) -> None:
    place = tmp_path / DATE
    shutil.copytree(forms, place)
    key = tmp_path / f"void-release-{DATE}.sec"
    made = voidimg("keygen", DATE, "--directory", tmp_path, "--no-passphrase")
    assert made.returncode == 0, made.stderr
    signed = voidimg("sign", place, "--key", key)
    assert signed.returncode == 0, signed.stderr
    sums = (place / "sha256sum.txt").read_text()
    assert all(f"({name})" in sums for name in (BLOCK_MAP, INCUS_DISK, GCP))
    public = key.with_suffix(".pub")
    assert voidimg("verify", place, "--key", public).returncode == 0
    with (place / BLOCK_MAP).open("ab") as file:
        file.write(b" ")
    ended = voidimg("verify", place / BLOCK_MAP, "--key", public)
    assert ended.returncode != 0
    assert BLOCK_MAP in ended.stderr
