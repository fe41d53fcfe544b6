"""Void's own sets: exactly the files that Void publishes, under its names."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import PROJECT
from voidimg.artifacts.registry import stages_of
from voidimg.catalog.catalog import Catalog
from voidimg.disk.compress import parse_compression
from voidimg.disk.plan import plan_disk
from voidimg.errors import ToolError, UsageError
from voidimg.fetch import Location
from voidimg.formats.contents import Contents
from voidimg.identity import Identity, ReleaseDate
from voidimg.pipeline.options import BuildOptions
from voidimg.release import judging
from voidimg.release.matrix import MatrixJob, matrix_text, plan_matrix
from voidimg.release.options import ReleaseOptions
from voidimg.release.planning import plan_release
from voidimg.release.rows import grouped, planned_artifacts
from voidimg.release.sharing import shares
from voidimg.spec.model import Recipe
from voidimg.supply.lock import Lock, LockedRepository
from voidimg.supply.opened import OpenRepository
from voidimg.supply.resolve import make_lock, plan_stages, stage_requests
from voidimg.xbps.keys import PrivateKey, PublicKey, create_repository_key
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.resolve.resolver import Repository

PC = ("x86_64", "x86_64-musl", "i686")
ARM_LIVE = ("aarch64", "aarch64-musl", "asahi", "asahi-musl")
ARM = ("armv6l", "armv6l-musl", "armv7l", "armv7l-musl", "aarch64", "aarch64-musl")
WSL = ("x86_64", "x86_64-musl", "aarch64", "aarch64-musl")


def live(date: str, platforms: tuple[str, ...]) -> set[str]:
    """As on Void's mirrors: two flavours of each."""
    return {f"void-live-{one}-{date}-{end}.iso" for one in platforms for end in ("base", "xfce")}


def march_2024(date: str) -> set[str]:
    """The files of the set of 14 March 2024."""
    return {
        *live(date, PC),
        *(f"void-{arch}-ROOTFS-{date}.tar.xz" for arch in (*PC, *ARM)),
        *(f"void-rpi-{arch}-PLATFORMFS-{date}.tar.xz" for arch in ARM),
        *(f"void-rpi-{arch}-{date}.img.xz" for arch in ARM),
    }


def february_2025(date: str) -> set[str]:
    """Those of the set of 2 February 2025."""
    return march_2024(date) | live(date, ARM_LIVE)


def current(date: str) -> set[str]:
    """Those that Void's workflow makes today."""
    return february_2025(date) | {f"void-{arch}-{date}.wsl" for arch in WSL}


@pytest.mark.parametrize(
    ("name", "date", "count", "files"),
    [
        ("void-20240314", "20240314", 27, march_2024("20240314")),
        ("void-20250202", "20250202", 35, february_2025("20250202")),
        ("void-current", "20260901", 39, current("20260901")),
    ],
)
def test_a_set_has_the_files_of_void(name: str, date: str, count: int, files: set[str]) -> None:
    """Neither more nor fewer, and each once."""
    whole = Catalog().resolved_set(name)
    planned = planned_artifacts(whole, ReleaseDate.parse(date), parse_compression("xz"))
    assert len(planned) == len(files) == count
    assert {one.name for one in planned} == files


# --- planned completely, from indexes that name their packages ---


def entry(name: str, arch: str, *depends: str) -> PlistDict:
    """A package as an index has it."""
    return {
        "pkgver": f"{name}-1.0_1",
        "architecture": arch,
        "run_depends": [f"{one}>=0" for one in depends],
        "installed_size": 3000,
        "filename-size": 1000,
        "filename-sha256": hashlib.sha256(f"{name} {arch}".encode()).hexdigest(),
    }


def index_of(recipe: Recipe, kinds: list[str], key: PublicKey) -> OpenRepository:
    """A repository with exactly what the artifacts ask for, and what has their services."""
    wanted = {name for stage in stages_of(kinds) for name in stage_requests(recipe, stage)}
    services = {"acpid", "openssh", "eudev", "dhcpcd", "wpa_supplicant", "linux-base", "runit-void"}
    services |= set(SERVICES)
    index = {name: entry(name, recipe.arch) for name in sorted(wanted | services)}
    needed = sorted(services - wanted)
    for base in ("base-system", "base-container-full", "wsl-base"):
        index[base] = entry(base, recipe.arch, *needed)
    return OpenRepository(
        location=Location.parse("/generated"),
        locked=LockedRepository("generated", recipe.arch, "0" * 64, key.fingerprint),
        key=key,
        repository=Repository("generated", index, {}, remote=False),
        modified_epoch=None,
        content=b"",
    )


SERVICES = (
    "NetworkManager",
    "avahi",
    "bluez",
    "chrony",
    "cloud-guest-utils",
    "dbus",
    "elogind",
    "espeakup",
    "gpm",
    "lightdm",
    "polkit",
    "speakersafetyd",
)


@pytest.fixture(scope="module")
def lock_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One lock of everything that Void makes today."""
    place = tmp_path_factory.mktemp("generated")
    create_repository_key(place / "key.pem", 2048)
    key = PrivateKey.read(place / "key.pem").public("generated")
    whole = Catalog().resolved_set("void-current")
    planned = planned_artifacts(whole, ReleaseDate.parse("20260901"), parse_compression("xz"))
    locks = []
    for group in grouped(planned).values():
        recipe, kinds = group[0].resolved.recipe, [one.kind for one in group]
        opened = (index_of(recipe, kinds, key),)
        plans = plan_stages(recipe, opened, stages_of(kinds))
        locks.append(make_lock(recipe, opened, plans))
    file = place / "lock.json"
    file.write_bytes(Lock.joined(locks).encode())
    return file


def options_for(lock_file: Path) -> ReleaseOptions:
    """Those of a plan from that lock."""
    place = lock_file.parent
    build = BuildOptions.parse(cache=place / "cache", out=place / "out", lock=lock_file)
    return ReleaseOptions.parse(build)


@pytest.mark.parametrize(
    ("name", "count"), [("void-20240314", 27), ("void-20250202", 35), ("void-current", 39)]
)
def test_a_set_of_void_is_planned_completely(name: str, count: int, lock_file: Path) -> None:
    """Packages, sizes and room of every artifact are known before anything is fetched."""
    whole = Catalog().resolved_set(name)
    rows = plan_release(whole, ReleaseDate.parse("20260901"), options_for(lock_file)).rows
    assert len(rows) == count
    assert all(row.fetch_bytes >= 1000 and row.disk_bytes > row.fetch_bytes for row in rows)


@pytest.mark.parametrize("arch", ARM)
def test_the_layout_of_an_image_is_that_of_void(arch: str) -> None:
    """The table of void-mklive's mkimage.sh: MBR, the boot partition active from sector 2048 and of
    256 MiB, the root behind it to the end of the disk, without a journal.

    On purpose it is FAT32 with its own type, which more boards start from than FAT16 with that of
    FAT32.
    """
    disk = Catalog().recipe(f"rpi-{arch}").recipe.disk
    assert disk is not None
    contents = {one.name: Contents() for one in disk.partitions}
    plan = plan_disk(disk, contents=contents, identity=Identity("a test"), blob_bytes={})
    boot, root = plan.partitions
    assert disk.label == "mbr"
    assert (boot.start_sector, boot.sectors) == (2048, 256 * 2**20 // 512)
    assert root.start_sector == 526_336
    assert (root.start_sector + root.sectors) * 512 == plan.size_bytes
    said = [(one.type, one.active, one.filesystem, one.mount) for one in disk.partitions]
    assert said == [("0x0c", True, "vfat", "/boot"), ("0x83", False, "ext4", "/")]
    assert disk.partitions[0].fat is not None
    assert disk.partitions[0].fat.bits == 32
    assert disk.partitions[1].ext4 is not None
    assert disk.partitions[1].ext4.journal is False


def test_the_matrix_has_every_artifact_once(lock_file: Path) -> None:
    """One job for what shares a ROOTFS, on a runner of its architecture, in words of each CI."""
    whole, date = Catalog().resolved_set("void-current"), ReleaseDate.parse("20260901")
    jobs = plan_matrix(whole, date, options_for(lock_file))
    made = [name for job in jobs for name in job.artifacts]
    assert len(made) == len(set(made)) == 39
    assert [job.shard for job in jobs] == [f"{n}/{len(jobs)}" for n in range(1, len(jobs) + 1)]
    by_name = {name: job for job in jobs for name in job.artifacts}
    board = by_name["void-rpi-aarch64-20260901.img.xz"]
    assert "void-aarch64-ROOTFS-20260901.tar.xz" in board.artifacts
    assert "void-rpi-aarch64-PLATFORMFS-20260901.tar.xz" in board.artifacts
    assert board.runner == "ubuntu-24.04-arm"
    assert by_name["void-rpi-armv7l-20260901.img.xz"].runner == "ubuntu-24.04"
    assert all(job.disk_bytes > 0 for job in jobs)
    said = json.loads(matrix_text(jobs, "github", whole, date))
    assert len(said["include"]) == len(jobs)
    assert matrix_text(jobs, "github", whole, date).count("\n") == 1
    assert {"shard", "runs-on", "needs-kvm", "disk-bytes", "artifact-name", "name"} <= set(
        said["include"][0]
    )
    planned = planned_artifacts(whole, date, parse_compression("xz"))
    for count in (1, 2, 5, len(jobs), 30, 39):
        cut = shares(planned, count)
        assert sorted(name for names in cut for name in names) == sorted(made)
        assert all(cut)
    with pytest.raises(UsageError, match="cannot be cut"):
        shares(planned, 40)


def test_what_a_ci_reads_is_as_it_wants_it(lock_file: Path, tmp_path: Path) -> None:
    """The workflow of docs/ci and a child pipeline, by the schemas of GitHub and GitLab."""
    whole, date = Catalog().resolved_set("pi"), ReleaseDate.parse("20260901")
    jobs = plan_matrix(whole, date, options_for(lock_file))
    child = tmp_path / "child.yml"
    child.write_text(matrix_text(jobs, "gitlab", whole, date))
    workflow = PROJECT / "docs" / "ci" / "release.yml"
    for schema, file in (("github-workflows", workflow), ("gitlab-ci", child)):
        words = ["--builtin-schema", f"vendor.{schema}", str(file)]
        checked = subprocess.run(
            [sys.executable, "-m", "check_jsonschema", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_workflow_says_what_the_command_takes() -> None:
    """Every verb and option in it is one of ours; every key of the matrix is one that we print."""
    text = (PROJECT / "docs" / "ci" / "release.yml").read_text()
    keys = set(re.findall(r"matrix\.([a-z-]+)", text)) - {"outputs"}
    job = MatrixJob("1/1", (), (), (), "", kvm=False, disk_bytes=0)
    assert keys - {"matrix"} <= set(job.as_json())
    for verb, rest in re.findall(r"\.venv/bin/voidimg (\w+) (.*)", text):
        options = set(re.findall(r"--[a-z]+", rest.partition(" >")[0]))
        asked = subprocess.run(
            [sys.executable, "-m", "voidimg.cli", verb, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert options <= set(re.findall(r"--[a-z]+", asked.stdout)), verb


def test_every_program_is_looked_for_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What makes, lints and boots; of boots only when some are asked for."""
    asked: set[str] = set()
    monkeypatch.setattr(judging, "find_program", asked.add)
    monkeypatch.setattr(judging, "find_uefi", lambda qemu, ia32: asked.add(f"{qemu} {ia32}"))
    whole = Catalog().resolved_set("nightly")
    planned = planned_artifacts(whole, ReleaseDate.parse("20260901"), parse_compression("xz"))
    judging.require_programs(planned, "none")
    made = {"openssl", "mke2fs", "mkfs.vfat", "mmd", "mcopy", "mksquashfs", "grub-mkimage"}
    assert asked == made | {"mdir", "debugfs", "e2fsck", "fsck.vfat", "unsquashfs"}
    judging.require_programs(planned, "one")
    assert {"qemu-system-aarch64", "qemu-system-x86_64", "qemu-system-x86_64 False"} <= asked
    monkeypatch.undo()
    monkeypatch.setattr("voidimg.run.program_path", lambda _name: None)
    with pytest.raises(ToolError, match="is not installed"):
        judging.require_programs(planned, "none")
