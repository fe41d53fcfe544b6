"""The files of a tree are the same whatever holds it; links are followed inside it only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.disk.disks import MBR, planned
from tests.unit.disk.trees import EPOCH, FILES, make_tree
from voidimg.disk.image import write_image
from voidimg.errors import LayoutError, ToolError
from voidimg.formats.entries import TreeEntry
from voidimg.formats.partition_table import read_table
from voidimg.inspection.ext4_files import Ext4Files
from voidimg.inspection.squashfs_files import SquashfsFiles
from voidimg.inspection.tree_files import TarFiles, TreeFiles, real_path
from voidimg.live.squashfs import SquashfsOptions, write_squashfs
from voidimg.run import run
from voidimg.sandbox.confined import run_bounded

CONFIG = "/etc/ssh/sshd_config"


@pytest.fixture(scope="module")
def holders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TreeFiles]:
    """One tree in a tar, in an ext4 partition and in a squashfs."""
    place = tmp_path_factory.mktemp("holders")
    tree = make_tree(place / "tree", 1)
    (tree / "sys").mkdir()
    (tree / "dev").mkdir()
    if os.geteuid() == 0:
        os.chown(tree / "dev", 100_000, 22)
    run(["tar", "-c", "--format=posix", "-f", place / "x.tar", "."], cwd=tree)
    write_image(planned(MBR, tree), tree, place / "x.img", EPOCH)
    write_squashfs(tree, place / "x.squashfs", SquashfsOptions("gzip"), epoch=EPOCH, jobs=1)
    root = read_table(place / "x.img").partition(2)
    return {
        "tar": TarFiles.of(place / "x.tar", {CONFIG}),
        "ext4": Ext4Files(place / "x.img", root.offset_bytes),
        "squashfs": SquashfsFiles(place / "x.squashfs"),
    }


def _without_boot(files: TreeFiles) -> dict[str, TreeEntry]:
    """Everything but /boot, which is a partition of its own in the image."""
    return {
        path: entry
        for path, entry in files.entries().items()
        if not path.startswith(("/boot/", "/lost+found"))
    }


@pytest.mark.parametrize("holder", ["ext4", "squashfs"])
def test_the_same_entries_from_every_holder(holders: dict[str, TreeFiles], holder: str) -> None:
    """Kinds, modes, sizes and targets; names that are not ASCII, long links, hard links."""
    expected, found = _without_boot(holders["tar"]), _without_boot(holders[holder])
    assert found == expected
    assert found["/usr/share/long"].target == "x" * 80
    if os.geteuid() == 0:
        assert (found["/dev"].uid, found["/dev"].gid) == (100_000, 22)
    assert found["/usr/bin/su"] == TreeEntry("file", 0o4755, 9004)
    assert found["/usr/bin/hard"] == found["/usr/bin/su"]


@pytest.mark.parametrize("holder", ["tar", "ext4", "squashfs"])
def test_files_are_read_from_every_holder(holders: dict[str, TreeFiles], holder: str) -> None:
    """Their bytes; None for what is not there or no file."""
    files = holders[holder]
    assert files.read(CONFIG) == FILES[CONFIG][0]
    assert files.read("/etc/nothing") is None
    assert files.names("/etc/sv") == ("sshd",)
    assert files.names("/etc/nothing") == ()


def test_a_name_that_is_a_command_is_not_given_to_debugfs(holders: dict[str, TreeFiles]) -> None:
    """Quotes would end the name."""
    assert holders["ext4"].read('/etc/fstab" "/tmp/x') is None


LINKS = {
    "/bin": TreeEntry("symlink", 0o777, target="usr/bin"),
    "/usr": TreeEntry("directory", 0o755),
    "/usr/bin": TreeEntry("directory", 0o755),
    "/usr/bin/sh": TreeEntry("symlink", 0o777, target="/bin/dash"),
    "/usr/bin/dash": TreeEntry("file", 0o755, 1),
    "/up": TreeEntry("symlink", 0o777, target="../../../usr/./bin"),
    "/round": TreeEntry("symlink", 0o777, target="about"),
    "/about": TreeEntry("symlink", 0o777, target="/round"),
    "/empty": TreeEntry("symlink", 0o777),
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/bin/sh", "/usr/bin/dash"),
        ("/up/dash", "/usr/bin/dash"),
        ("/", "/"),
        ("/round", None),
        ("/empty", None),
        ("/nothing", None),
        ("/usr/../bin/../dash", None),
        ("/usr/../bin/dash", "/usr/bin/dash"),
    ],
)
def test_links_stay_inside(path: str, expected: str | None) -> None:
    """As in a chroot: nothing is above the top, and circles lead nowhere."""
    assert real_path(LINKS, path) == expected


def test_a_name_with_a_line_break_is_refused(tmp_path: Path) -> None:
    """In a listing it would be taken for another file."""
    tree = tmp_path / "tree"
    for name in ("usr", "dev", "proc", "sys"):
        (tree / name).mkdir(parents=True)
    (tree / "usr/a\nb").touch()
    image = tmp_path / "x.squashfs"
    write_squashfs(tree, image, SquashfsOptions("gzip"), epoch=EPOCH, jobs=1)
    with pytest.raises(LayoutError) as caught:
        SquashfsFiles(image).entries()
    assert caught.value.code == "E-LAYOUT-SQUASHFS-DAMAGED"


def test_programs_that_read_foreign_bytes_are_bounded() -> None:
    """In what they write and in how long they take."""
    assert run_bounded(["head", "-c", "10", "/dev/zero"], max_bytes=10).stdout == bytes(10)
    with pytest.raises(ToolError, match="wrote more than 1000 B"):
        run_bounded(["cat", "/dev/zero"], max_bytes=1000)
    with pytest.raises(ToolError, match="SIGKILL"):
        run_bounded(["sleep", "60"], max_bytes=1000, seconds=0.1)
    with pytest.raises(ToolError, match="failed with status 1"):
        run_bounded(["false"], max_bytes=1000)
