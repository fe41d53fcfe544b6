"""`voidimg smoke` as it is typed, as far as it goes without a kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pytest

NAME = "void-rpi-aarch64-20240314.img"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A partitioned image with an empty boot partition."""
    image, fat = tmp_path / NAME, tmp_path / "fat"
    for path, size_bytes in ((image, 8 * 2**20), (fat, 4 * 2**20)):
        with path.open("wb") as file:
            file.truncate(size_bytes)
    subprocess.run(["mkfs.vfat", fat], check=True, capture_output=True)
    table = "label: dos\nlabel-id: 0x5a1e0001\nstart=1MiB,size=4MiB,type=c\nstart=5MiB,type=83\n"
    subprocess.run(
        ["/usr/sbin/sfdisk", "-q", image], input=table.encode(), check=True, capture_output=True
    )
    with image.open("r+b") as file:
        file.seek(2**20)
        file.write(fat.read_bytes())
    return image


def _smoke(words: Sequence[str | Path], cwd: Path) -> subprocess.CompletedProcess[bytes]:
    code = "from voidimg.cli.main import entry_point; entry_point()"
    command: list[str | Path] = [sys.executable, "-c", code, "--cache", cwd / "cache", "smoke"]
    return subprocess.run([*command, *words], cwd=cwd, env=os.environ, capture_output=True)


def test_an_image_without_a_kernel_fails_with_a_verdict(tmp_path: Path, image: Path) -> None:
    """On every machine, in JSON and JUnit, and the image stays as it was."""
    before = image.read_bytes()
    ended = _smoke([image, "--json", "--junit", "verdict.xml", "--medium", "usb"], tmp_path)
    assert (ended.returncode, before) == (15, image.read_bytes())
    assert b"E-BOOT-BOOT-FILE" in ended.stderr
    (boot,) = json.loads(ended.stdout)["boots"]
    assert {"failed", "skipped"} == {check["status"] for check in boot["checks"]}
    (suite,) = ET.parse(tmp_path / "verdict.xml").getroot()
    assert suite.get("failures") == "1"
    assert (tmp_path / "out/smoke/void-rpi-aarch64-20240314.usb-virt.log").exists()
    assert list((tmp_path / "cache/work").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ([NAME, "--medium", "virtio"], 2, b"E-USAGE-MEDIUM"),
        (["fat"], 2, b"E-USAGE-IMAGE-NAME"),
        (["fat", "--platform", "rpi-aarch64"], 8, b"E-LAYOUT"),
        (["fat", "--platform", "no-such-board"], 3, b"E-SPEC"),
    ],
)
def test_what_cannot_be_booted_is_said_before(
    tmp_path: Path, image: Path, words: list[str], status: int, code: bytes
) -> None:
    """Without a traceback, and without starting QEMU."""
    ended = _smoke(words, image.parent)
    assert status == ended.returncode
    assert code in ended.stderr
    assert b"Traceback" not in ended.stderr
