"""The files of a tree are the same whatever holds it; links are followed inside it only."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from tests.unit.disk.disks import MBR, planned
from tests.unit.disk.trees import EPOCH, FILES, make_tree
from voidimg.disk.image import write_image
from voidimg.errors import ToolError
from voidimg.formats.entries import TreeEntry
from voidimg.formats.partition_table import read_table
from voidimg.inspection.ext4_files import Ext4Files
from voidimg.inspection.squashfs_files import SquashfsFiles
from voidimg.inspection.tree_files import TarFiles, TreeFiles, real_path
from voidimg.live.squashfs import SquashfsOptions, write_squashfs
from voidimg.rootfs.tar import write_tar
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


_ROW = "-rw-r--r-- 0"
NAMES = (
    *("a -> b", "new\nline", "\n", "tab\there", 'quo"te', "apo's", "back\\slash", " both ", "--"),
    *("lat\udce9n", "esc\033[31m", "star*q?[x]{y}", "$HOME`id`", "<12>", "a;b:c,d=e", "~", "%s"),
    *("x" * 255, "é" * 127, "\nl -> m\n", f"d\n{_ROW}", "debugfs: ls -p <2>\n", "-cat", "-pf"),
)
"""What a reader of listings could take for something else; every file system of Linux holds it."""

TARGETS = (
    *(
        "t -> u",
        "new\nline",
        'x"',
        " -> ",
        "a -> b -> c",
        "lat\udce9n",
        "é" * 29,
        "é" * 31,
        "y" * 59,
    ),
    *(
        "y" * 60,
        "\ndebugfs: stat <12>\n",
        f"\n{_ROW}/0 1 2024-03-14 00:00 squashfs-root/etc/evil\n",
    ),
    *('x"\n\ndebugfs: stat <13>\n\nFast link dest: "y', "z" * 4000),
)


def _odd_tree(tree: Path) -> Path:
    for name in ("usr", "dev", "proc", "sys", "boot", "etc"):
        (tree / name).mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (tree / "etc" / name).write_bytes(b"%d" % number)
        (tree / "usr" / name).mkdir()
        (tree / "usr" / name / name).write_bytes(b"in %d" % number)
    # a directory and a directory in it whose path reads like the line of a file
    row = tree / f"x\n{_ROW}" / "0 1 2024-03-14 00:00 squashfs-root"
    row.mkdir(parents=True)
    (row / "evil").write_bytes(b"!")
    for number, target in enumerate(TARGETS):
        (tree / f"link -> {number}").symlink_to(target)
    return tree


def _as_it_is(tree: Path) -> dict[str, TreeEntry]:
    """The entries of a directory of the host."""
    found = {}
    for path in tree.rglob("*"):
        status = path.lstat()
        name = "/" + str(path.relative_to(tree))
        mode, uid, gid = status.st_mode & 0o7777, status.st_uid, status.st_gid
        if path.is_symlink():
            found[name] = TreeEntry("symlink", mode, 0, os.readlink(path), uid, gid)
        elif path.is_dir():
            found[name] = TreeEntry("directory", mode, 0, "", uid, gid)
        else:
            found[name] = TreeEntry("file", mode, status.st_size, "", uid, gid)
    return found


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, TreeFiles]]:
    """A tree of odd names, and the same in a tar, in an ext4 partition and in a squashfs."""
    place = tmp_path_factory.mktemp("odd")
    tree = _odd_tree(place / "tree")
    with (place / "x.tar").open("wb") as out:
        write_tar(tree, out, epoch=EPOCH)
    write_image(planned(MBR, tree), tree, place / "x.img", EPOCH)
    write_squashfs(tree, place / "x.squashfs", SquashfsOptions("gzip"), epoch=EPOCH, jobs=1)
    root = read_table(place / "x.img").partition(2)
    return tree, {
        "tar": TarFiles.of(place / "x.tar", {}, digests=True),
        "ext4": Ext4Files(place / "x.img", root.offset_bytes),
        "squashfs": SquashfsFiles(place / "x.squashfs"),
    }


@pytest.mark.parametrize("holder", ["tar", "ext4", "squashfs"])
def test_odd_names_are_written_and_read_as_they_are(
    odd: tuple[Path, dict[str, TreeFiles]], holder: str
) -> None:
    """Listings are text in which names stand as they are; none is taken for another."""
    tree, holders = odd
    found = {
        path: entry
        for path, entry in holders[holder].entries().items()
        if not path.startswith("/lost+found")
    }
    assert found == _as_it_is(tree)
    contents = {path: (tree / path[1:]).read_bytes() for path, one in found.items()
                if one.kind == "file"}  # fmt: skip
    digests = {path: sha256(content).hexdigest() for path, content in contents.items()}
    assert holders[holder].file_digests() == digests
    if holder != "tar":
        assert holders[holder].contents(contents) == contents


def test_programs_that_read_foreign_bytes_are_bounded() -> None:
    """In what they write and in how long they take."""
    assert run_bounded(["head", "-c", "10", "/dev/zero"], max_bytes=10).stdout == bytes(10)
    with pytest.raises(ToolError, match="wrote more than 1000 B"):
        run_bounded(["cat", "/dev/zero"], max_bytes=1000)
    with pytest.raises(ToolError, match="SIGKILL"):
        run_bounded(["sleep", "60"], max_bytes=1000, seconds=0.1)
    with pytest.raises(ToolError, match="failed with status 1"):
        run_bounded(["false"], max_bytes=1000)
