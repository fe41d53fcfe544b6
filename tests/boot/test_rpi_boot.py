"""One image of rpi-aarch64 starts from NVMe, USB and SD; harmed ones and false words do not pass.

Everything is real: packages of a whole system, runit, getty, a typed login, the kernel's own view
of the disk. Only the processor is emulated.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.boot.conftest import Pristine, sha256_of, smoke
from tests.images import DATE, built_image

pytestmark = pytest.mark.boot

ROOT_DEVICE = {"nvme": "/dev/nvme0n1p2", "usb": "/dev/sda2", "sd": "/dev/mmcblk0p2"}
MACHINE = {"nvme": "virt", "usb": "virt", "sd": "raspi3b"}
START = "the guest starts up to a login prompt"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one run of `voidimg smoke` left behind."""

    place: Path
    report: dict[str, Any]
    suites: dict[str, ET.Element]

    def boot(self, medium: str) -> dict[str, Any]:
        """The boot from `medium`."""
        (found,) = [boot for boot in self.report["boots"] if boot["medium"] == medium]
        assert isinstance(found, dict)
        return found

    def output(self, medium: str, statement: str) -> str:
        """What the guest answered on `statement`."""
        (found,) = [
            check for check in self.boot(medium)["checks"] if check["name"].startswith(statement)
        ]
        return str(found["output"])


@pytest.fixture(scope="session")
def verdict(image: Pristine, tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    """All three media, one after another, in one run."""
    place = tmp_path_factory.mktemp("boots")
    junit = place / "smoke.xml"
    media = [word for medium in ROOT_DEVICE for word in ("--medium", medium)]
    ended = smoke(image.path, place, *media, "--junit", junit)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    suites = {str(suite.get("name")): suite for suite in ET.parse(junit).getroot()}
    return Verdict(place, json.loads(ended.stdout), suites)


@pytest.fixture(scope="session")
def partuuids(image: Pristine, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Those of the image, as sfdisk sees them."""
    raw = tmp_path_factory.mktemp("table") / "raw.img"
    subprocess.run(["zstd", "-d", "-q", image.path, "-o", raw], check=True)
    listed = subprocess.run(["/usr/sbin/sfdisk", "-J", raw], check=True, capture_output=True)
    raw.unlink()
    table = json.loads(listed.stdout)["partitiontable"]
    signature = int(table["id"], 16)
    return [f"{signature:08x}-{number:02x}" for number in range(1, len(table["partitions"]) + 1)]


@pytest.mark.parametrize("medium", list(ROOT_DEVICE))
def test_the_image_starts_and_keeps_every_promise(medium: str, verdict: Verdict) -> None:
    """Every statement is true, the guest was let in by password and powered itself off."""
    boot = verdict.boot(medium)
    assert boot["machine"] == MACHINE[medium]
    assert {check["name"]: check["status"] for check in boot["checks"]} == {
        check["name"]: "passed" for check in boot["checks"]
    }
    assert (boot["passed"], boot["powered_off"]) == (True, True)
    names = [check["name"] for check in boot["checks"]]
    assert names[:2] == [START, "root logs in on the console"]
    assert len(names) > 8


@pytest.mark.parametrize("medium", list(ROOT_DEVICE))
def test_the_root_is_on_that_medium(medium: str, verdict: Verdict, partuuids: list[str]) -> None:
    """Called differently each time, and always found by the PARTUUID of the image."""
    mounted = verdict.output(medium, "the root is an ext4 filesystem, writable")
    assert mounted.split()[:2] == [ROOT_DEVICE[medium], "ext4"]
    assert partuuids[1] in verdict.output(medium, "the kernel was given the root by PARTUUID")
    assert verdict.output(medium, "the root is the partition of").split() == [partuuids[1]]
    assert verdict.output(medium, "/boot is mounted").split() == [partuuids[0]]


@pytest.mark.parametrize("medium", list(ROOT_DEVICE))
def test_the_guest_says_what_it_is_and_runs(medium: str, verdict: Verdict) -> None:
    """Its date, its clock's and its login's daemons, a root as large as the medium allows."""
    assert f'IMAGE_VERSION="{DATE}"' in verdict.output(medium, "the image says its release date")
    assert re.search(r"processes: [1-9]", verdict.output(medium, "chronyd is running"))
    assert re.search(r"LISTEN\s.*:22\s", verdict.output(medium, "sshd is running"))
    assert "grown: 1" in verdict.output(medium, "the root filesystem has grown")


def test_no_two_first_boots_make_the_same_machine(verdict: Verdict) -> None:
    """Host keys, identifiers and seeds of each boot are not those of the boots before."""
    name = "keys, identifiers and seeds are of this boot alone"
    first, *later = verdict.report["boots"]
    assert name not in [check["name"] for check in first["checks"]]
    for boot in later:
        (check,) = [check for check in boot["checks"] if check["name"] == name]
        assert check["status"] == "passed"
        assert "/etc/ssh/ssh_host_" in check["output"]


def test_the_image_was_only_read(image: Pristine, verdict: Verdict) -> None:
    """The three guests wrote to their disks, not to the file; nothing unpacked is left."""
    assert verdict.report["passed"] is True
    assert image.sha256 == sha256_of(image.path)
    assert list((verdict.place / "cache" / "work").iterdir()) == []


def test_junit_says_the_same(verdict: Verdict) -> None:
    """A suite for each boot, a case for each check, with the console."""
    assert len(verdict.suites) == len(ROOT_DEVICE)
    for medium, machine in MACHINE.items():
        suite = verdict.suites[f"rpi-aarch64 {medium} on {machine}"]
        checks = verdict.boot(medium)["checks"]
        assert [case.get("name") for case in suite.iter("testcase")] == [
            check["name"] for check in checks
        ]
        assert (suite.get("tests"), suite.get("failures")) == (str(len(checks)), "0")
        assert suite.get("skipped") == suite.get("errors") == "0"
        assert "enter stage: /etc/runit/1" in (suite.findtext("system-out") or "")


def test_a_statement_that_is_false_is_told_and_the_others_still_judged(
    image: Pristine, tmp_path: Path
) -> None:
    """Exit status 15; a command that never ends costs its own time only."""
    junit = tmp_path / "smoke.xml"
    words = ["--medium", "nvme", "--profile", "untrue"]
    ended = smoke(image.path, tmp_path, *words, "--junit", junit)
    assert ended.returncode == 15, ended.stderr
    (boot,) = json.loads(ended.stdout)["boots"]
    failed = {check["name"]: check for check in boot["checks"] if check["status"] == "failed"}
    assert set(failed) == {"the root is btrfs", "a command that never ends"}
    assert failed["the root is btrfs"]["output"].strip() == "ext4"
    assert "gave no answer" in failed["a command that never ends"]["message"]
    assert boot["powered_off"] is True
    assert "nvme on virt: the root is btrfs" in ended.stderr
    (suite,) = ET.parse(junit).getroot()
    assert suite.get("failures") == "2"
    failures = [
        case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None
    ]
    assert set(failures) == set(failed)


def test_a_root_that_does_not_exist_is_named(raw_image: Path, tmp_path: Path) -> None:
    """cmdline.txt has another PARTUUID than the partition table: 15, and it says which."""
    content = _in_boot_partition("mtype", raw_image, "::cmdline.txt").decode()
    wrong = re.sub(r"PARTUUID=[0-9a-f]{8}-02", "PARTUUID=deadbeef-02", content)
    assert wrong != content
    _in_boot_partition("mcopy", raw_image, "-o", "-", "::cmdline.txt", stdin=wrong.encode())
    ended = smoke(raw_image, tmp_path, "--medium", "nvme")
    assert ended.returncode == 15, ended.stderr
    assert "root=PARTUUID=deadbeef-02" in ended.stderr
    (boot,) = json.loads(ended.stdout)["boots"]
    start, *others = boot["checks"]
    assert (start["name"], start["status"], start["code"]) == (START, "failed", "ROOT")
    assert {check["status"] for check in others} == {"skipped"}


def test_a_boot_partition_that_is_not_found_stops_the_guest(
    raw_image: Path, tmp_path: Path
) -> None:
    """Its serial is not the one of fstab: stage 1 gives up, and that is noticed at once."""
    with raw_image.open("r+b") as file:
        file.seek(2**20 + 67)
        file.write(b"\xef\xbe\xad\xde")
    ended = smoke(raw_image, tmp_path, "--medium", "nvme")
    assert ended.returncode == 15, ended.stderr
    assert "emergency shell" in ended.stderr
    (boot,) = json.loads(ended.stdout)["boots"]
    assert (boot["checks"][0]["status"], boot["checks"][0]["code"]) == ("failed", "EMERGENCY")
    assert boot["login_seconds"] is None
    last_step = Path(boot["log"]).read_text("utf-8", "replace").rpartition("=> ")[2]
    assert last_step.startswith("Checking filesystems")


@pytest.mark.smoke
def test_a_pi_3_starts_from_usb(image: Pristine, tmp_path: Path) -> None:
    """Through the board's own USB controller."""
    ended = smoke(image.path, tmp_path, "--platform", "pi-usb", "--medium", "usb")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert image.sha256 == sha256_of(image.path)


@pytest.mark.smoke
def test_the_disk_as_qcow2_starts(tmp_path: Path) -> None:
    """It is the same disk, and is only read."""
    path = tmp_path / f"void-rpi-aarch64-{DATE}.qcow2"
    shutil.copyfile(built_image(kind="qcow2"), path)
    before = sha256_of(path)
    ended = smoke(path, tmp_path, "--medium", "nvme")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert sha256_of(path) == before


def _in_boot_partition(tool: str, image: Path, *words: str, stdin: bytes = b"") -> bytes:
    """What a program of mtools printed; the boot partition starts at 1 MiB."""
    argv = [tool, "-i", f"{image}@@1M", *words]
    return subprocess.run(argv, input=stdin, check=True, capture_output=True).stdout
