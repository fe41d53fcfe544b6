"""A real run of diskimage-builder with the element void, whose image then starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tests.boot.pc import QUIET, START_SECONDS
from tests.command import PROJECT, voidimg, voidimg_json
from tests.images import DATE, PLACE
from tests.testrepo import provide
from voidimg.smoke.console import Console
from voidimg.smoke.emulator import started
from voidimg.smoke.shell import Shell, wait_for_login

WHOLE_DISK = """
- local_loop:
    name: image0
- mkfs:
    name: mkfs_root
    base: image0
    type: ext4
    mount:
      mount_point: /
"""
"""One filesystem on the whole disk: partitions would need device-mapper."""


def why_not() -> str | None:
    """Why diskimage-builder cannot build on this machine, or None."""
    if os.geteuid() != 0 and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode:
        return "diskimage-builder needs root, by sudo without a password"
    found = subprocess.run(["sudo", "losetup", "-f"], capture_output=True, text=True)
    if found.returncode or not Path(found.stdout.strip()).exists():
        return "there is no free loop device"
    return None


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A signed set with the PLATFORMFS of x86_64-disk, which has kernel and initramfs."""
    repository = provide(arch="x86_64")
    (built,) = voidimg_json(
        *("--quiet", "--cache", PLACE / "cache", "--out", PLACE / "out", "build", "x86_64-disk"),
        *("--date", DATE, "--compression", "zstd:1", "--json", "--replace"),
        *("--artifact", "platformfs", "-r", repository.path, "--repo-key", repository.key_plist),
    )
    place = tmp_path / DATE
    place.mkdir()
    shutil.copy(built["path"], place)
    made = voidimg("keygen", DATE, "--no-passphrase", "--directory", tmp_path)
    assert made.returncode == 0, made.stderr
    ended = voidimg("sign", place, "--key", tmp_path / f"void-release-{DATE}.sec")
    assert ended.returncode == 0, ended.stderr
    return next(place.glob("*PLATFORMFS*"))


def create(archive: Path, place: Path) -> subprocess.CompletedProcess[str]:
    """Run disk-image-create, which makes `place`/void.raw and .qcow2; its key lies beside."""
    for name in ("bin", "tmp", "home"):
        (place / name).mkdir(exist_ok=True)
    own = place / "bin" / "voidimg"
    own.write_text(
        f'#!/bin/bash\nexec env PYTHONPATH={PROJECT} {sys.executable} -m voidimg.cli "$@"\n'
    )
    own.chmod(0o755)
    programs = [str(own.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(programs),
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"),
        "ELEMENTS_PATH": voidimg("dib-elements").stdout.strip(),
        "DIB_VOIDIMG_ROOTFS": str(archive),
        "DIB_VOIDIMG_KEY": str(place / f"void-release-{DATE}.pub"),
        "DIB_BLOCK_DEVICE_CONFIG": WHOLE_DISK,
        "DIB_IMAGE_SIZE": "1",
    }
    words = ["disk-image-create", "-n", "--no-tmpfs", "-a", "amd64", "-t", "raw,qcow2"]
    words += ["-o", str(place / "void"), "void"]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=1200)


@pytest.mark.smoke
def test_its_image_starts(signed: Path, tmp_path: Path) -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    ended = create(signed, tmp_path)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    assert f"good  {signed}" in ended.stdout + ended.stderr
    kernel, initramfs = kernel_of(signed, tmp_path)
    words = ["-machine", "q35", "-cpu", "qemu64", "-smp", "2", "-m", "1G", *QUIET]
    words += ["-accel", "tcg,thread=multi", "-kernel", str(kernel), "-initrd", str(initramfs)]
    words += ["-append", "root=/dev/vda rw console=ttyS0,115200"]
    words += ["-drive", f"file={tmp_path}/void.qcow2,format=qcow2,if=virtio,snapshot=on"]
    until = time.monotonic() + START_SECONDS
    with (
        started("qemu-system-x86_64", words) as emulator,
        (tmp_path / "console.log").open("wb") as log,
        Console(emulator.console, log) as console,
    ):
        wait_for_login(console, until)
        shell = Shell.log_in(console, "root", "voidlinux", until)
        for command, expected in (
            ("findmnt -n -r -o SOURCE,FSTYPE /", "/dev/vda ext4"),
            ("ls /usr/local/bin", "install-packages"),
        ):
            answer = shell.run(command, until)
            assert answer is not None
            assert answer.output.strip() == expected


@pytest.mark.smoke
def test_what_was_changed_makes_no_image(signed: Path, tmp_path: Path) -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with signed.open("r+b") as file:
        file.seek(1000)
        file.write(b"changed")
    ended = create(signed, tmp_path)
    assert ended.returncode != 0
    assert "is not what was signed: it is not unpacked" in ended.stdout + ended.stderr
    assert not (tmp_path / "void.raw").exists()


def kernel_of(archive: Path, place: Path) -> tuple[Path, Path]:
    """Kernel and initramfs of the tarball, copied out."""
    raw = place / "platformfs.tar"
    subprocess.run(["zstd", "-d", "-q", archive, "-o", raw], check=True)
    found = {}
    with tarfile.open(raw) as tar:
        for member in tar:
            kind = Path(member.name).name.partition("-")[0]
            if member.isfile() and kind in ("vmlinuz", "initramfs"):
                content = tar.extractfile(member)
                assert content is not None
                found[kind] = place / kind
                found[kind].write_bytes(content.read())
    return found["vmlinuz"], found["initramfs"]
