"""Whole images of small trees: what the filesystem's own tools say, and the same bytes twice."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from tests.unit.disk.disks import BOOT, GPT, IDENTITY, MBR, MIB, ROOT, planned
from tests.unit.disk.trees import EPOCH, FILES, make_tree
from voidimg.disk.contents import measure_tree
from voidimg.disk.identifiers import disk_identifiers
from voidimg.disk.image import write_image
from voidimg.disk.plan import Ext4Plan
from voidimg.errors import CollectedError, LayoutError, ToolError
from voidimg.formats.ext4 import read_ext4
from voidimg.formats.partition_table import read_table
from voidimg.inspection.boot_files import open_boot_files
from voidimg.run import run


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small tree."""
    return make_tree(tmp_path_factory.mktemp("tree"), 1)


@pytest.fixture(scope="module")
def images(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An image for each kind of partition table."""
    out = tmp_path_factory.mktemp("images")
    paths = {}
    for name, disk in (("mbr", MBR), ("gpt", GPT)):
        paths[name] = out / f"{name}.img"
        write_image(planned(disk, tree), tree, paths[name], EPOCH)
    return paths


@pytest.mark.parametrize("name", ["mbr", "gpt"])
def test_tools_find_nothing_wrong(images: dict[str, Path], name: str) -> None:
    """What sfdisk, sgdisk and libparted say of the table."""
    path = images[name]
    verified = run(["sfdisk", "--verify", path])
    assert b"No errors detected" in verified.stdout
    if name == "gpt":
        assert b"No problems found" in run(["sgdisk", "-v", path]).stdout


def test_libparted_reads_the_table(images: dict[str, Path]) -> None:
    """Both tables are read back by libparted with the planned sectors."""
    import parted

    for path in images.values():
        disk = parted.newDisk(parted.getDevice(str(path)))
        found = [(p.geometry.start, p.geometry.length) for p in disk.partitions]
        assert found == [(e.start_sector, e.sectors) for e in read_table(path).partitions]


def test_the_mbr_holds_no_boot_code(images: dict[str, Path]) -> None:
    """The first 440 bytes are free for a boot loader."""
    assert images["mbr"].read_bytes()[:440] == bytes(440)


def test_identifiers_are_those_of_the_plan(images: dict[str, Path], tree: Path) -> None:
    """What fstab and the command line were rendered with is what blkid finds."""
    names = disk_identifiers(MBR, IDENTITY)
    boot, root = (names.partition(name) for name in ("boot", "root"))
    table = read_table(images["mbr"])
    assert [entry.partuuid for entry in table.partitions] == [boot.partuuid, root.partuuid]
    for number, uuid in ((1, boot.uuid), (2, root.uuid)):
        offset = str(table.partition(number).offset_bytes)
        found = run(["blkid", "-p", "-O", offset, "-o", "value", "-s", "UUID", images["mbr"]])
        assert found.stdout.decode().strip() == uuid


def test_the_boot_partition_holds_boot(images: dict[str, Path]) -> None:
    """Every file of /boot, whatever its name and mode, with its content."""
    for path in images.values():
        boot = open_boot_files(path)
        expected = {name[5:]: held for name, (held, _) in FILES.items() if name[:6] == "/boot/"}
        assert boot.list() == tuple(sorted(expected))
        assert {name: boot.read(name) for name in expected} == expected


def debugfs(image: Path, command: str) -> str:
    """What debugfs says of the root filesystem."""
    offset = read_table(image).partition(2).offset_bytes
    return run(["debugfs", "-R", command, f"{image}?offset={offset}"]).stdout.decode()


def test_the_root_filesystem_holds_the_rest(images: dict[str, Path], tmp_path: Path) -> None:
    """Content, modes and links; /boot is there and empty; every time is the epoch or before."""
    image = images["mbr"]
    target = tmp_path / "dump"
    target.mkdir()
    debugfs(image, f"rdump / {target}")
    for path, (content, _) in FILES.items():
        if not path.startswith("/boot/"):
            assert (target / path[1:]).read_bytes() == content
    assert list((target / "boot").iterdir()) == []
    assert os.readlink(target / "bin") == "usr/bin"
    assert (target / "usr/lib/sparse").stat().st_size == 2_000_003
    for path, mode in (
        ("/", "0755"),
        ("/tmp", "01777"),
        ("/boot", "0755"),
        ("/usr/bin/su", "04755"),
    ):
        assert f"Mode:  {mode} " in debugfs(image, f"stat {path}")
    assert "Links: 2" in debugfs(image, "stat /usr/bin/su")
    epoch = f"0x{EPOCH:08x}"
    new = debugfs(image, "stat /usr/lib/many/file0000")
    assert all(f"{name}: {epoch}" in new for name in ("ctime", "atime", "mtime", "crtime"))


def test_the_root_filesystem_is_as_planned(images: dict[str, Path], tree: Path) -> None:
    """A journal only where asked for; the headroom is free; it can grow to 2 TiB online."""
    for name, disk in (("mbr", MBR), ("gpt", GPT)):
        plan = planned(disk, tree)
        assert images[name].stat().st_size == plan.size_bytes
        root = plan.partition("root")
        with images[name].open("rb") as file:
            volume = read_ext4(file, root.offset_bytes)
        assert volume is not None
        assert isinstance(root.filesystem, Ext4Plan)
        assert volume.journal == disk.partitions[1].ext4.journal
        assert volume.clean
        assert volume.label == "void"
        assert volume.free_bytes >= disk.headroom
        assert volume.growth_limit_bytes == 2**41


def test_owners_are_those_of_the_tree(tmp_path: Path) -> None:
    """Any owner when run as root, as inside the namespace; else the one owner that there is."""
    tree = make_tree(tmp_path / "tree", 1)
    owners = {"usr": (0, 0), "usr/bin/large": (42, 1000), "boot": (7, 8), "": (3, 4)}
    for path, (uid, gid) in owners.items():
        if os.geteuid() == 0:
            os.chown(tree / path, uid, gid)
        else:
            owners[path] = (os.getuid(), (tree / path).stat().st_gid)
    write_image(planned(MBR, tree), tree, tmp_path / "x.img", EPOCH)
    for path, (uid, gid) in owners.items():
        told = debugfs(tmp_path / "x.img", f"stat /{path}").split()
        assert (told[told.index("User:") + 1], told[told.index("Group:") + 1]) == (
            str(uid),
            str(gid),
        )


def test_images_are_sparse(images: dict[str, Path]) -> None:
    """Only what is not zero takes space on the host."""
    for path in images.values():
        status = path.stat()
        assert status.st_blocks * 512 < 9 * MIB < status.st_size
        assert status.st_mode & 0o777 == 0o644


def test_blobs_lie_at_their_offset(images: dict[str, Path]) -> None:
    """The boot loader is written as it is."""
    content = FILES["/usr/bin/su"][0]
    with images["gpt"].open("rb") as file:
        file.seek(32768)
        assert file.read(len(content)) == content


@pytest.mark.parametrize("name", ["mbr", "gpt"])
def test_same_bytes_from_a_tree_made_otherwise(
    images: dict[str, Path], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order of creation, directory, access times, umask and time zone leave no trace."""
    other = make_tree(tmp_path / "elsewhere", 99)
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    monkeypatch.setenv("MKE2FS_CONFIG", "/nonexistent")
    time.tzset()
    before = os.umask(0o077)
    try:
        disk = {"mbr": MBR, "gpt": GPT}[name]
        write_image(planned(disk, other), other, tmp_path / "again.img", EPOCH)
    finally:
        os.umask(before)
        monkeypatch.undo()
        time.tzset()
    digests = [
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (images[name], tmp_path / "again.img")
    ]
    assert digests[0] == digests[1]


def test_nothing_is_left_beside_the_image(images: dict[str, Path], tmp_path: Path) -> None:
    """Also when it fails, only what was there before is there."""
    assert sorted(path.name for path in images["mbr"].parent.iterdir()) == ["gpt.img", "mbr.img"]
    tree = make_tree(tmp_path / "tree", 1)
    (tree / "boot/link").symlink_to("kernel8.img")
    (tree / "boot/KERNEL8.IMG").write_bytes(b"")
    (tree / "boot/c:d").write_bytes(b"")
    (tree / "boot/end.").write_bytes(b"")
    (tree / "boot/Aux.txt").write_bytes(b"")
    with pytest.raises(CollectedError) as caught:
        write_image(planned(MBR, tree), tree, tmp_path / "x.img", EPOCH)
    codes = {(error.where, error.code) for error in caught.value.errors}
    assert codes == {
        ("/link", "E-LAYOUT-FAT-KIND"),
        ("/kernel8.img", "E-LAYOUT-FAT-CASE"),
        ("/c:d", "E-LAYOUT-FAT-NAME"),
        ("/end.", "E-LAYOUT-FAT-NAME"),
        ("/Aux.txt", "E-LAYOUT-FAT-NAME"),
    }
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (["dœ.txt"], {"dœ.txt"}),
        (["do.txt", "dœ.txt"], {"dœ.txt"}),
        (
            ["dœ.txt", "№.txt", "é", "😀.c", "\u0131.txt", "\u017f.txt", "a"],
            {"dœ.txt", "№.txt", "é", "😀.c", "\u0131.txt", "\u017f.txt"},
        ),
    ],
)
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_name_that_fat_would_change_is_refused(
    tmp_path: Path, names: list[str], refused: set[str], kind: str
) -> None:
    """mtools takes letters for similar ones of its code page, and asks for ever when two clash."""
    tree = make_tree(tmp_path / "tree", 1)
    for name in names:
        if kind == "file":
            (tree / "boot" / name).write_bytes(b"")
        else:
            (tree / "boot" / name / "inner").mkdir(parents=True)
    with pytest.raises((LayoutError, CollectedError)) as caught:
        write_image(planned(MBR, tree), tree, tmp_path / "x.img", EPOCH)
    errors = getattr(caught.value, "errors", [caught.value])
    assert {error.where for error in errors} == {f"/{name}" for name in refused}
    assert {error.code for error in errors} == {"E-LAYOUT-FAT-NAME"}
    assert not (tmp_path / "x.img").exists()


def test_names_that_fat_can_hold_are_held(tmp_path: Path) -> None:
    """Capitals, blanks, brackets and letters that no code page has, as they are."""
    tree = make_tree(tmp_path / "tree", 1)
    names = ["E.TXT", "mIxEd.TxT", "a b.txt", "[x].txt", "日本.txt", ".hidden", "x" * 255, "a+b=c"]
    for name in names:
        (tree / "boot" / name).write_bytes(name.encode())
    write_image(planned(MBR, tree), tree, tmp_path / "x.img", EPOCH)
    boot = open_boot_files(tmp_path / "x.img", 1)
    for name in names:
        assert boot.read(f"/{name}") == name.encode()


def test_a_tree_that_grew_after_the_plan_is_an_error(tmp_path: Path) -> None:
    """More than the filesystem holds: the tool's message comes through."""
    tree = make_tree(tmp_path / "tree", 1)
    plan = planned(MBR, tree)
    (tree / "usr/huge").write_bytes(b"x" * 12 * MIB)
    with pytest.raises(ToolError, match="mke2fs"):
        write_image(plan, tree, tmp_path / "x.img", EPOCH)


def test_a_link_cannot_lead_a_mount_out_of_the_tree(tmp_path: Path) -> None:
    """/boot as a link to the host's /boot is refused."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "boot").symlink_to("/")
    disk = MBR.model_copy(
        update={"partitions": (BOOT.model_copy(update={"mount": "/boot/efi"}), ROOT)}
    )
    with pytest.raises(LayoutError, match="does not stay inside"):
        measure_tree(tree, disk)


@pytest.mark.parametrize(
    ("code", "change"), [("NO-MOUNT-POINT", "boot"), ("NO-BLOB", "usr/bin/su")]
)
def test_what_the_tree_lacks_is_named(tmp_path: Path, code: str, change: str) -> None:
    """A mount point or boot loader that no package brought."""
    tree = make_tree(tmp_path / "tree", 1)
    (tree / change).rename(tmp_path / "gone")
    with pytest.raises(LayoutError, match=change) as caught:
        measure_tree(tree, GPT)
    assert caught.value.code == f"E-LAYOUT-{code}"
