"""The verb `inspect`: text for people, JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.unit.disk.disks import GPT, planned
from tests.unit.disk.trees import EPOCH, make_tree
from voidimg.cli.main import cli
from voidimg.disk.image import write_image
from voidimg.errors import LayoutError


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small image with a GPT."""
    tree = make_tree(tmp_path_factory.mktemp("tree"), 1)
    path = tmp_path_factory.mktemp("out") / "x.img"
    write_image(planned(GPT, tree), tree, path, EPOCH)
    return path


def test_text_names_what_matters(image: Path) -> None:
    """Table, filesystems, boot files, packages and access."""
    ended = CliRunner().invoke(cli, ["-q", "inspect", "--packages", str(image)])
    assert ended.exit_code == 0, ended.output
    for words in (
        "disk image",
        "GPT ",
        "sector 32768, 16384 sectors (8 MiB)",
        "active 'boot'",
        "FAT16 'BOOT' UUID=",
        "ext4 'void' UUID=",
        "clean, journal, grows to 2048 GiB while mounted",
        "kernels       kernel8.img",
        "cmdline.txt   root=PARTUUID=x rootwait",
        "  dtparam=audio=on",
        "not configured: rpi-base-2.2_1",
        "  bash-5.2.21_1 aarch64",
        "services      sshd",
        "root          a password of its own",
        "ssh as root   yes",
    ):
        assert words in ended.output, words


def test_json_is_the_inspection(image: Path) -> None:
    """Keys are those of `Inspection`."""
    ended = CliRunner().invoke(cli, ["-q", "inspect", "--json", str(image)])
    assert ended.exit_code == 0
    told = json.loads(ended.output)
    assert told["disk"]["partitions"][0]["filesystem"]["type"] == "FAT16"
    assert told["boot"]["kernels"] == ["/kernel8.img"]


def test_an_unknown_file_is_an_error(tmp_path: Path) -> None:
    """The library's error comes through, for the exit status of its class."""
    (tmp_path / "x").write_bytes(b"hello")
    ended = CliRunner().invoke(cli, ["-q", "inspect", str(tmp_path / "x")])
    assert isinstance(ended.exception, LayoutError)
