"""The examples of docs/guide.md are right: they are checked and resolved as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents import DOCS
from voidimg.catalog.catalog import Catalog

_BLOCK = re.compile(r"^```(\w+)\n(?:# |\{# )(\S+)(?: #\})?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The directory that the guide describes, with the files that it shows."""
    for _, name, text in _BLOCK.findall((DOCS / "guide.md").read_text(encoding="utf-8")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "files/signage/srv/films").mkdir(parents=True)
    (tmp_path / "files/player").write_text("a program\n")  # the one that is pinned
    return tmp_path


def test_every_example_is_right(directory: Path) -> None:
    files = sorted(directory.rglob("*.toml"))
    assert [file.name for file in files] == [
        "kiosk-pi.toml",
        "my-board.toml",
        "pc-home.toml",
        "pc-swap.toml",
        "pi-gpt.toml",
        "kiosk.toml",
        "my-server.toml",
        "signage.toml",
        "swiss.toml",
    ]
    assert Catalog([directory]).check_files(files) == []


def test_the_examples_do_what_the_guide_says(directory: Path) -> None:
    catalog = Catalog([directory])
    pi = catalog.recipe("kiosk-pi").recipe
    assert pi.profile == "kiosk"
    assert [user.name for user in pi.users] == ["root", "guide"]
    assert {"base-system", "rpi-base", "tmux"} <= set(pi.platformfs.packages)
    assert pi.disk is not None
    sizes = {partition.name: partition.size for partition in pi.disk.partitions}
    assert sizes == {"boot": 512 * 2**20, "root": "rest"}

    swiss = catalog.recipe("x86_64", "swiss").recipe.live
    assert swiss is not None
    assert swiss.keyboard.layouts == ("ch", "ch(fr)", "it", "us")
    assert {"gimp", "xfce4", "lightdm"} <= set(swiss.packages)
    assert swiss.access.groups == ("audio", "video", "wheel")


def test_the_layouts_do_what_the_guide_says(directory: Path) -> None:
    """Only the last partition grows, and everything before it has a size."""
    catalog = Catalog([directory])
    for name, label, last in (
        ("pc-swap", "gpt", "root"),
        ("pc-home", "gpt", "home"),
        ("pi-gpt", "gpt", "root"),
    ):
        disk = catalog.recipe(name).recipe.disk
        assert disk is not None
        assert (disk.label, disk.partitions[-1].name) == (label, last)
        assert [one.size == "rest" for one in disk.partitions].count(True) == 1
    server = catalog.recipe("x86_64-disk", "my-server").recipe
    assert [user.password for user in server.users] == [None]
    assert any(file.path.endswith("/authorized_keys") for file in server.platformfs.files)
