"""What `inspect` finds in images and tars, and what it says of anything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.disk.disks import GPT, MBR, planned
from tests.unit.disk.trees import EPOCH, make_tree
from voidimg.disk.compress import Compression, compress_file
from voidimg.disk.image import write_image
from voidimg.errors import LayoutError, StoreError, VoidimgError
from voidimg.inspection.disk import Inspection, inspect
from voidimg.inspection.findings import FoundAccess, Package
from voidimg.run import run
from voidimg.spec.disk_model import Disk


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same tree as images and tars of every kind."""
    out = tmp_path_factory.mktemp("artifacts")
    tree = make_tree(tmp_path_factory.mktemp("tree"), 1)
    made = {}
    for name, disk in (("mbr.img", MBR), ("gpt.img", GPT)):
        made[name] = out / name
        write_image(planned(disk, tree), tree, made[name], EPOCH)
    made["x.tar"] = out / "x.tar"
    run(["tar", "-c", "--format=posix", "-f", made["x.tar"], "."], cwd=tree)
    for name in ("mbr.img", "x.tar"):
        for compression in (Compression("xz", 0), Compression("zstd", 1)):
            packed = out / f"{name}{compression.suffix}"
            with packed.open("wb") as file:
                compress_file(made[name], file, compression, jobs=2)
            made[packed.name] = packed
    return made


ALL = ["mbr.img", "gpt.img", "mbr.img.xz", "mbr.img.zst", "x.tar", "x.tar.xz", "x.tar.zst"]


@pytest.fixture(scope="module")
def found(
    artifacts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Inspection]:
    """What each of them is; nothing stays in the scratch directory."""
    scratch = tmp_path_factory.mktemp("scratch")
    inspections = {name: inspect(artifacts[name], scratch=scratch) for name in ALL}
    assert list(scratch.iterdir()) == []
    return inspections


@pytest.mark.parametrize("name", ALL)
def test_the_tree_is_read_from_every_kind(found: dict[str, Inspection], name: str) -> None:
    """Packages, services, fstab, boot files and access policy, whatever holds them."""
    seen = found[name]
    assert seen.kind == ("tar" if "tar" in name else "disk image")
    assert seen.compression == {"xz": "xz", "zst": "zstd"}.get(name.rpartition(".")[2], "none")
    assert seen.architecture == "aarch64"
    assert seen.packages == (
        Package("bash-5.2.21_1", "aarch64", "installed", automatic=True),
        Package("rpi-base-2.2_1", "noarch", "unpacked", automatic=False),
    )
    assert seen.services == ("sshd",)
    assert seen.fstab == ("UUID=x / ext4 defaults 0 1",)
    assert seen.access == FoundAccess("set", "yes")
    assert seen.boot.kernels == ("/kernel8.img",)
    assert (seen.boot.device_trees, seen.boot.overlays) == (1, 2)
    assert seen.boot.cmdline == "root=PARTUUID=x rootwait"
    assert seen.boot.config is not None
    assert "dtparam=audio=on" in seen.boot.config
    assert json.loads(json.dumps(seen.as_json()))["services"] == ["sshd"]


@pytest.mark.parametrize(("name", "disk"), [("mbr.img", MBR), ("gpt.img", GPT)])
def test_disks_are_described(found: dict[str, Inspection], name: str, disk: Disk) -> None:
    """Table and filesystems, with what can be said of each."""
    seen = found[name].disk
    assert seen is not None
    boot, root = (partition.filesystem for partition in seen.partitions)
    assert boot is not None
    assert root is not None
    assert (boot.type, boot.label) == ("FAT32" if disk is MBR else "FAT16", "BOOT")
    assert 0 < boot.free_bytes < boot.size_bytes
    assert (root.type, root.label, root.clean) == ("ext4", "void", True)
    assert root.journal == (disk is GPT)
    assert root.features is not None
    assert "metadata_csum" in root.features
    assert seen.partitions[0].active


def test_a_compressed_image_is_the_same_as_the_raw_one(found: dict[str, Inspection]) -> None:
    """Only path, compression and size of the file differ."""
    assert found["mbr.img.xz"].disk == found["mbr.img"].disk == found["mbr.img.zst"].disk


@pytest.mark.parametrize("name", ["mbr.img.xz", "mbr.img.zst", "x.tar.xz", "x.tar", "mbr.img"])
def test_truncated_artifacts_are_refused(
    artifacts: dict[str, Path], name: str, tmp_path: Path
) -> None:
    """Half of any of them is told to be damaged, and nothing is left behind."""
    half = tmp_path / name
    whole = artifacts[name]
    with whole.open("rb") as file:
        half.write_bytes(file.read(whole.stat().st_size // 2))
    with pytest.raises(LayoutError) as caught:
        inspect(half, scratch=tmp_path / "scratch")
    assert caught.value.code in ("E-LAYOUT-DAMAGED", "E-LAYOUT-TRUNCATED")
    scratch = tmp_path / "scratch"
    assert not scratch.exists() or list(scratch.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"hello", bytes(100_000), b"\x7fELF" + bytes(1000)])
def test_what_is_no_artifact_is_said_so(tmp_path: Path, content: bytes) -> None:
    """The hint lists what can be read."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(LayoutError) as caught:
        inspect(path)
    assert caught.value.code == "E-LAYOUT-UNKNOWN-ARTIFACT"


def test_an_iso_is_named(tmp_path: Path) -> None:
    """A hybrid ISO has an MBR too, but is no disk image."""
    content = bytearray(40_000)
    content[510:512] = b"\x55\xaa"
    content[32769:32774] = b"CD001"
    (tmp_path / "live.iso").write_bytes(content)
    with pytest.raises(LayoutError, match="ISO"):
        inspect(tmp_path / "live.iso")


def test_a_missing_file_is_a_store_error(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(StoreError, match="nowhere"):
        inspect(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("shadow", "expected"),
    [
        (b"root:$6$x$y:1::::::\n", "set"),
        (b"root:*:1::::::\n", "locked"),
        (b"root:!$6$x$y:1::::::\n", "locked"),
        (b"root::1::::::\n", "empty"),
        (b"other:x:1::::::\n", "absent"),
    ],
)
@pytest.mark.parametrize(
    ("sshd", "login"),
    [
        (b"PermitRootLogin yes\nPermitRootLogin no\n", "yes"),
        (b"#PermitRootLogin yes\n", "prohibit-password"),
        (b"Match User x\nPermitRootLogin yes\n", "prohibit-password"),
        (b"permitrootlogin=No\n", "no"),
    ],
)
def test_access_is_judged_as_the_programs_do(
    tmp_path: Path, shadow: bytes, expected: str, sshd: bytes, login: str
) -> None:
    """The state of root's password, and the first PermitRootLogin that holds for all."""
    (tmp_path / "etc/ssh").mkdir(parents=True)
    (tmp_path / "etc/shadow").write_bytes(shadow)
    (tmp_path / "etc/ssh/sshd_config").write_bytes(sshd)
    run(["tar", "-c", "-f", "x.tar", "etc"], cwd=tmp_path)
    seen = inspect(tmp_path / "x.tar")
    assert seen.access == FoundAccess(expected, login)
    assert (seen.architecture, seen.packages, seen.boot.kernels) == (None, (), ())


def test_a_damaged_package_database_is_an_error(tmp_path: Path) -> None:
    """Not a tree without packages."""
    database = tmp_path / "var/db/xbps/pkgdb-0.38.plist"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"<plist>")
    run(["tar", "-c", "-f", "x.tar", "var"], cwd=tmp_path)
    with pytest.raises(VoidimgError) as caught:
        inspect(tmp_path / "x.tar")
    assert caught.value.code == "E-LAYOUT-DAMAGED"
