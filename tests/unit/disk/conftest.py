"""Small raw images, made by the tools that users of images have."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from voidimg.disk.sparse import place_sparse
from voidimg.run import find_program, run

MIB = 2**20


def feed(program: str, script: str, *arguments: str | Path) -> None:
    """Run `program` with `script` on its input."""
    words = [find_program(program), *map(str, arguments)]
    subprocess.run(words, input=script.encode(), check=True, capture_output=True)


@pytest.fixture
def mbr_image(pristine_image: Path, tmp_path: Path) -> Path:
    """A copy of `pristine_image` that may be changed."""
    image = tmp_path / "mbr.img"
    with image.open("wb") as file:
        file.truncate(pristine_image.stat().st_size)
    place_sparse(pristine_image, image, 0)
    return image


@pytest.fixture(scope="session")
def pristine_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 MiB with a FAT32 boot partition of 40 MiB at 1 MiB that holds a few files, and a root."""
    tmp_path = tmp_path_factory.mktemp("pristine")
    image = tmp_path / "mbr.img"
    with image.open("wb") as file:
        file.truncate(80 * MIB)
    layout = "label: dos\nlabel-id: 0x1234abcd\n2048,81920,c,*\n83968,,83\n"
    feed("sfdisk", layout, image)
    mkfs = ["mkfs.vfat", "-F", "32", "-n", "BOOT", "-i", "DEADBEEF", "--offset", "2048"]
    run([*mkfs, image, str(40 * 1024)])
    fat = f"{image}@@1M"
    (tmp_path / "cmdline.txt").write_text("root=PARTUUID=1234abcd-02\n")
    (tmp_path / "odd [1].dtbo").write_bytes(b"\xd0\x0d")
    run(["mmd", "-i", fat, "::/overlays"])
    run(["mcopy", "-i", fat, tmp_path / "cmdline.txt", "::/"])
    run(["mcopy", "-i", fat, str(tmp_path / "odd [1].dtbo"), "::/overlays/"])
    return image
