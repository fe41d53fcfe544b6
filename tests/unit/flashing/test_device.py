"""Block devices as the kernel shows them, in directories of our own: what is refused, and why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voidimg.errors import UsageError
from voidimg.flashing.device import (
    BlockDevice,
    look_at_device,
    require_unused,
    why_file_in_use,
)

ROOT = "22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw"
PROC = "23 22 0:21 / /proc rw - proc proc rw"


class Machine:
    """A machine with one stick (``sdb``, two partitions) and one internal disk (``nvme0n1``)."""

    def __init__(self, top: Path):
        self.sys, self.proc = top / "sys", top / "proc"
        self.mounts, self.swaps = [ROOT, PROC], ["Filename Type Size Used Priority"]
        self.disk("sdb", "8:16", {"size": "60000000", "removable": "1"})
        self.put("sdb", {"device/vendor": "SanDisk ", "device/model": "Ultra  "})
        for number in (1, 2):
            self.disk(f"sdb/sdb{number}", f"8:{16 + number}", {"partition": str(number)})
        self.disk("nvme0n1", "259:0", {"size": "1000000", "device/model": "Samsung SSD 990"})
        self.disk("nvme0n1/nvme0n1p2", "259:2", {"partition": "2"})

    def disk(self, place: str, number: str, files: dict[str, str]) -> None:
        """A device in ``/sys``, and its link by number."""
        self.put(place, {"dev": number, "size": "2048", "ro": "0", **files})
        (self._place(place) / "holders").mkdir()
        link = self.sys / "dev" / "block" / number
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(self._place(place))

    def put(self, place: str, files: dict[str, str]) -> None:
        for name, content in files.items():
            path = self._place(place) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content + "\n")

    def holder(self, place: str, name: str) -> None:
        (self._place(place) / "holders" / name).mkdir()

    def _place(self, place: str) -> Path:
        return self.sys / "devices" / "pci" / place

    def look(self, number: str) -> BlockDevice:
        (self.proc / "self").mkdir(parents=True, exist_ok=True)
        (self.proc / "self" / "mountinfo").write_text("\n".join(self.mounts) + "\n")
        (self.proc / "swaps").write_text("\n".join(self.swaps) + "\n")
        major, minor = map(int, number.split(":"))
        return look_at_device(os.makedev(major, minor), sys=self.sys, proc=self.proc)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def refusal(device: BlockDevice) -> UsageError:
    with pytest.raises(UsageError) as caught:
        require_unused(device, f"/dev/{device.name}")
    return caught.value


def test_a_stick_that_nothing_uses_is_told_by_model_and_size(machine: Machine) -> None:
    device = machine.look("8:16")
    require_unused(device, "/dev/sdb")
    assert device.described == "SanDisk Ultra, 28.6 GiB, removable, partitions sdb1, sdb2"
    assert device.size_bytes == 60000000 * 512


def test_a_partition_is_refused_with_the_name_of_its_disk(machine: Machine) -> None:
    error = refusal(machine.look("8:17"))
    assert error.code == "E-USAGE-MEDIUM-PARTITION"
    assert "/dev/sdb" in (error.hint or "")


@pytest.mark.parametrize(
    ("line", "name", "place"),
    [
        ("30 22 8:17 / /mnt/card rw - vfat /dev/sdb1 rw", "sdb1", "/mnt/card"),
        ("30 22 8:16 / /mnt rw - vfat /dev/sdb rw", "sdb", "/mnt"),
        ("30 22 0:44 /@home /data rw shared:7 - btrfs /dev/sdb2 rw", "sdb2", "/data"),
        (r"30 22 8:18 / /media/my\040card rw - ext4 /dev/sdb2 rw", "sdb2", "/media/my card"),
        ("30 22 8:18 / /run/media/x rw shared:1 master:2 - ext4 /dev/sdb2 rw", "sdb2",
         "/run/media/x"),
    ],
)  # fmt: skip
def test_what_is_mounted_is_refused(machine: Machine, line: str, name: str, place: str) -> None:
    machine.mounts.append(line)
    error = refusal(machine.look("8:16"))
    assert error.code == "E-USAGE-MEDIUM-MOUNTED"
    assert f"{name} is mounted at {place}" in error.what


@pytest.mark.parametrize("number", ["259:0", "259:2"])
def test_the_disk_of_the_system_is_refused_as_that(machine: Machine, number: str) -> None:
    error = refusal(machine.look(number))
    assert error.code == "E-USAGE-MEDIUM-SYSTEM"
    assert "/ is mounted from nvme0n1p2" in error.what


@pytest.mark.parametrize("place", ["/boot", "/boot/efi", "/home", "/usr", "/var"])
def test_other_parts_of_the_system_are_too(machine: Machine, place: str) -> None:
    machine.mounts.append(f"30 22 8:17 / {place} rw - ext4 /dev/sdb1 rw")
    assert refusal(machine.look("8:16")).code == "E-USAGE-MEDIUM-SYSTEM"


@pytest.mark.parametrize("swap", ["/dev/sdb2 partition 1 0 -2", "/dev/sdb partition 1 0 -2"])
def test_swap_is_in_use(machine: Machine, swap: str) -> None:
    machine.swaps.append(swap)
    error = refusal(machine.look("8:16"))
    assert error.code == "E-USAGE-MEDIUM-IN-USE"
    assert "swap" in error.what


@pytest.mark.parametrize("place", ["sdb", "sdb/sdb2"])
@pytest.mark.parametrize("holder", ["dm-0", "md127", "bcache0"])
def test_lvm_raid_and_encryption_are_in_use(machine: Machine, place: str, holder: str) -> None:
    machine.holder(place, holder)
    error = refusal(machine.look("8:16"))
    assert error.code == "E-USAGE-MEDIUM-IN-USE"
    assert holder in error.what


def test_what_is_made_of_others_is_no_disk(machine: Machine) -> None:
    machine.disk("dm-0", "253:0", {})
    machine.put("dm-0", {"slaves/sdb2/dev": "8:18"})
    assert refusal(machine.look("253:0")).code == "E-USAGE-MEDIUM-PARTITION"


@pytest.mark.parametrize(
    ("files", "code"),
    [({"ro": "1"}, "READ-ONLY"), ({"size": "0"}, "EMPTY")],
)
def test_read_only_and_empty(machine: Machine, files: dict[str, str], code: str) -> None:
    machine.put("sdb", files)
    assert refusal(machine.look("8:16")).code == f"E-USAGE-MEDIUM-{code}"


def test_a_device_that_is_gone_is_told(machine: Machine) -> None:
    with pytest.raises(UsageError) as caught:
        machine.look("8:99")
    assert caught.value.code == "E-USAGE-MEDIUM-UNKNOWN"


@pytest.mark.parametrize("line", ["", "x", "1 2", "30 22 8:17", "30 22 8:17 / /mnt rw"])
def test_odd_lines_of_mounts_do_no_harm(machine: Machine, line: str) -> None:
    machine.mounts.append(line)
    machine.look("8:16")


def test_names_that_begin_alike_are_others(machine: Machine) -> None:
    """``sdb1`` is not ``sdb10``, and ``8:1`` not ``8:16``."""
    machine.mounts += [
        "30 22 8:26 / /mnt rw - ext4 /dev/sdb10 rw",
        "31 22 8:1 / /mnt2 rw - ext4 /dev/sda1 rw",
    ]
    require_unused(machine.look("8:16"), "/dev/sdb")


@pytest.mark.parametrize(
    ("files", "model"),
    [
        ({"device/name": "SD32G"}, "SD32G"),
        ({"loop/backing_file": "/tmp/x.img"}, "/tmp/x.img"),
        ({}, "no model known"),
    ],
)
def test_models_of_other_kinds(machine: Machine, files: dict[str, str], model: str) -> None:
    machine.disk("mmcblk0", "179:0", files)
    assert machine.look("179:0").described.startswith(model)


def test_a_file_that_is_a_loop_device_is_in_use(tmp_path: Path) -> None:
    card = tmp_path / "card.img"
    card.touch()
    place = tmp_path / "sys" / "block" / "loop3" / "loop" / "backing_file"
    place.parent.mkdir(parents=True)
    place.write_text(f"{card}\n")
    assert "loop3" in (why_file_in_use(card, sys=tmp_path / "sys", proc=tmp_path) or "")
    place.write_text(f"{card} (deleted)\n")
    assert why_file_in_use(card, sys=tmp_path / "sys", proc=tmp_path) is None
