"""Images are made and read in directories and by names that programs would take for something else.

mtools expands ``$NAME``, drops a backslash and reads an offset behind ``@@``; e2fsprogs reads
options behind ``?``; libparted's binding wants UTF-8.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from tests.unit.disk.disks import MBR, planned
from tests.unit.disk.trees import EPOCH, FILES, make_tree
from voidimg.arguments import Inside, is_plain, spelled
from voidimg.disk.image import write_image
from voidimg.errors import ToolError
from voidimg.formats.partition_table import read_table
from voidimg.inspection.boot_files import open_boot_files
from voidimg.inspection.ext4_files import Ext4Files
from voidimg.inspection.squashfs_files import SquashfsFiles
from voidimg.live.squashfs import SquashfsOptions, write_squashfs
from voidimg.run import run
from voidimg.sandbox.confined import run_bounded, streamed
from voidimg.tree.copy import copy_tree

ODD = (
    *("two words", "$HOME", "a?offset=3", "back\\slash", "lat\udce9n", "new\nline", "x@@5", "-n"),
    *("comma,colon:", "quo'te\"", "st*r[a]", "%s", "\033[31m", "a=b", "~", "é" * 120),
)
CONFIG = "/etc/ssh/sshd_config"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small tree, for a disk and for a live system."""
    tree = make_tree(tmp_path_factory.mktemp("tree"), 1)
    for name in ("sys", "dev"):
        (tree / name).mkdir()
    return tree


@pytest.fixture(scope="module")
def plain(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of what is made in a directory with a plain name."""
    return _made(tree, tmp_path_factory.mktemp("plain"))


def _made(tree: Path, place: Path) -> dict[str, str]:
    write_image(planned(MBR, tree), tree, place / "x.img", EPOCH)
    write_squashfs(tree, place / "x.squashfs", SquashfsOptions("gzip"), epoch=EPOCH, jobs=1)
    return {name: sha256((place / name).read_bytes()).hexdigest() for name in os.listdir(place)}


@pytest.mark.parametrize("name", ODD[:9])
def test_the_name_of_a_place_decides_nothing(
    name: str, tree: Path, plain: dict[str, str], tmp_path: Path
) -> None:
    """The same bytes as elsewhere, from a tree there too; and they are read, by such a name."""
    place = tmp_path / name
    place.mkdir()
    copy_tree(tree, place / "tree")
    out = place / "out"
    out.mkdir()
    assert _made(place / "tree", out) == plain
    image = (out / "x.img").rename(place / name)
    squashfs = (out / "x.squashfs").rename(place / f"{name}.squashfs")
    root = read_table(image).partition(2)
    assert Ext4Files(image, root.offset_bytes).read(CONFIG) == FILES[CONFIG][0]
    assert Ext4Files(image, root.offset_bytes).file_digests()
    assert SquashfsFiles(squashfs).read(CONFIG) == FILES[CONFIG][0]
    assert SquashfsFiles(squashfs).file_digests()
    boot = open_boot_files(image)
    assert boot.read("/cmdline.txt") == FILES["/boot/cmdline.txt"][0]
    target = place / "copied"
    target.mkdir()
    boot.copy_all(target)
    assert (target / "cmdline.txt").read_bytes() == FILES["/boot/cmdline.txt"][0]


@pytest.mark.parametrize("name", [*ODD, "d" * 255])
def test_programs_get_a_name_of_plain_letters(name: str, tmp_path: Path) -> None:
    """Of a file, of a directory, of one that is not there yet; relative to where they run."""
    file = tmp_path / name
    file.write_bytes(b"content")
    given = [file, tmp_path / "new", file]
    with spelled([*given[:2], Inside(file, "?x")]) as (words, held):
        assert all(is_plain(word.removesuffix("?x")) for word in words)
        assert words[2].endswith("?x")
        assert len(held) == sum(not is_plain(str(path)) for path in given)
    assert run(["cat", file]).stdout == b"content"
    assert run(["cat", Path(name)], cwd=tmp_path).stdout == b"content"
    assert run_bounded(["cat", file], max_bytes=100, reads=[file]).stdout == b"content"
    with streamed(["cat", file], reads=[file]) as stream:
        assert stream.read() == b"content"
    directory = tmp_path / f"e{name[1:]}"
    directory.mkdir(exist_ok=True)
    run(["touch", directory / "made"])
    assert (directory / "made").exists()
    assert run(["find", directory, "-maxdepth", "0", "-type", "d"]).stdout


def test_what_is_not_there_is_told_by_its_own_name(tmp_path: Path) -> None:
    """The words that are shown are those that were given."""
    gone = tmp_path / "no $one" / "here"
    with pytest.raises(ToolError) as caught:
        run(["cat", gone])
    assert "no $one" in (caught.value.hint or "")
    os.mkdir(gone.parent)
    with pytest.raises(ToolError) as caught:
        run(["cat", gone])
    assert "no $one" in (caught.value.hint or "")


def test_nobody_can_be_asked() -> None:
    """Programs have no input and no terminal, whoever starts them."""
    asks = ["sh", "-c", "cat; (: < /dev/tty) 2>/dev/null && echo terminal; cat /proc/self/stat"]
    stat = [Path("/proc")]
    with streamed(asks, reads=stat) as stream:
        said = [stream.read()]
    said += [run(asks).stdout, run_bounded(asks, max_bytes=4096, reads=stat).stdout]
    for one in said:
        fields = one.rpartition(b")")[2].split()
        assert b"terminal" not in one
        assert int(fields[4]) == 0, "a terminal controls it"
